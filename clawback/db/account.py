"""The account that the embedded server runs as.

PostgreSQL refuses to run as root, so root's server runs as an unprivileged account: the owner of
the data if that is not root, else `nobody`. Where that account cannot reach the data or the
programs (a folder of mode 0700 above them, a strict umask), the server keeps one capability, to
look past permissions, instead of opening up anybody's folders. On Linux everything started here
ends when the thread that started it ends.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_SET_SECUREBITS: Final = 28
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_SETPCAP: Final = 8
SECBIT_NO_SETUID_FIXUP: Final = 4
CAPABILITY_VERSION_3: Final = 0x20080522


ALLOCATOR: Final = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "33554432"}
"""A batch's text is larger than what glibc maps anew by default: its pages would be returned to
the system and faulted in again with each batch. Elsewhere than on glibc it means nothing."""


class EmbeddedError(Exception):
    """The embedded server cannot run; the message says what to do."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Account:
    """Who runs the server: ourselves, or for root somebody else."""

    def __init__(self, uid: int | None, gid: int | None, *, capability: int | None = None) -> None:
        """`uid` None: as we are. `capability`: the one that is kept on becoming the account."""
        self._uid = uid
        self._gid = gid
        self._capability = capability
        self._starter = os.getpid()
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        if self._libc is not None:
            # Looked up now: after the fork no lock of the linker may be needed.
            self._prctl, self._capset = self._libc.prctl, self._libc.capset

    def own_folder(self, folder: Path) -> None:
        """Make a folder of mode 0700 that belongs to the account.

        Raises: EmbeddedError if there is a link where the folder should be.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink():
            raise EmbeddedError(f"{folder} is a link: remove it, its place is that of a folder")
        folder.chmod(0o700)
        self.give(folder)

    def give(self, path: Path) -> None:
        """Hand a file or folder to the account."""
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid, follow_symlinks=False)

    def give_tree(self, folder: Path) -> None:
        """Hand over a folder with all that is in it, if it belongs to root (a copy, a restore)."""
        if self._uid is None or folder.stat().st_uid != 0:
            return
        for top, folders, files in os.walk(folder):
            for name in (*folders, *files):
                self.give(Path(top, name))
        self.give(folder)

    def owns(self, folder: Path) -> bool:
        """Whether this is a folder, no link, of ours or of the account."""
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return False
        is_folder = folder.is_dir() and not folder.is_symlink()
        return is_folder and status.st_uid in {os.geteuid(), self._uid}

    def environment(self) -> dict[str, str]:
        """Nothing of ours but the search path: PG… variables would change the server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **ALLOCATOR}

    def enter(self) -> None:
        """Become the account, to be stopped when our starter ends, however it ends (Linux).

        Runs in the child, before the program. Raises: OSError if the system refuses.
        """
        if self._uid is not None and self._gid is not None:
            if self._capability is not None:
                self._checked(self._prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
            os.setgroups([])
            os.setgid(self._gid)
            os.setuid(self._uid)
            if self._capability is not None:
                self._keep(self._capability)
        if self._libc is not None:
            # After setuid, which forgets it.
            self._checked(self._prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0))
            if os.getppid() != self._starter:
                os.kill(os.getpid(), signal.SIGKILL)

    def _keep(self, capability: int) -> None:
        """Keep one capability, also over `exec`, and have access(2) know it: initdb asks that."""
        self._set_capabilities(1 << capability | 1 << CAP_SETPCAP)
        self._prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        self._set_capabilities(1 << capability)
        self._checked(self._prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))

    def _set_capabilities(self, bits: int) -> None:
        data = (_Data * 2)(_Data(bits, bits, bits), _Data(0, 0, 0))
        header = _Header(CAPABILITY_VERSION_3, 0)
        self._checked(self._capset(ctypes.byref(header), ctypes.byref(data)))

    @staticmethod
    def _checked(code: int) -> None:
        if code != 0:
            raise OSError(ctypes.get_errno(), "the system refused")


def choose(data: Sequence[Path], programs: Sequence[Path]) -> Account:
    """The account that can run these programs over this data.

    `data` is given from the inside out; the first path that is there and not root's names the
    account. Raises: EmbeddedError if there is no such account, or if it can reach nothing.
    """
    if os.geteuid() != 0:
        return Account(None, None)
    uid, gid = _identity(data)
    closed = [path for path in programs if not _lets(path, uid, gid, 0o5)]
    closed += [path for path in data if path.exists() and not _lets(path, uid, gid, 0o1)]
    if not closed:
        return Account(uid, gid)
    # To look past folders is enough, unless the account may not even run the programs there.
    wanted = [CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE]
    if any(_granted(path.stat(), uid, gid) & 0o1 == 0 for path in programs):
        wanted.remove(CAP_DAC_READ_SEARCH)
    return Account(uid, gid, capability=_held(wanted, closed[0], uid))


def _identity(data: Sequence[Path]) -> tuple[int, int]:
    for path in data:
        if path.exists() and (status := path.stat()).st_uid != 0 and _is_known(status.st_uid):
            return status.st_uid, status.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL must not run as root, and there is no account `nobody`: start as a normal "
            "user, or give the data folder to one, or set DATABASE_URL"
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def _is_known(uid: int) -> bool:
    """Whether the account has a name here: initdb insists on one."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _held(wanted: Sequence[int], path: Path, uid: int) -> int:
    """The first of these capabilities that we have and could hand on."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        have = int(fields["CapPrm"], 16) & int(fields["CapBnd"], 16)
        for capability in wanted:
            if have >> capability & 1 and have >> CAP_SETPCAP & 1:
                return capability
    name = pwd.getpwuid(uid).pw_name
    raise EmbeddedError(
        f"PostgreSQL must not run as root, and the account {name} cannot reach {path}: "
        "open the folders above it with chmod o+x, or choose another folder with --data, "
        "or start as a normal user"
    )


def _lets(path: Path, uid: int, gid: int, bits: int) -> bool:
    """Whether the path grants these bits and every folder down to it lets the account through."""
    resolved = path.resolve()
    wanted = [(resolved, bits), *((folder, 0o1) for folder in resolved.parents)]
    return all(_granted(folder.stat(), uid, gid) & need == need for folder, need in wanted)


def _granted(status: os.stat_result, uid: int, gid: int) -> int:
    if status.st_uid == uid:
        return status.st_mode >> 6 & 0o7
    if status.st_gid == gid:
        return status.st_mode >> 3 & 0o7
    return status.st_mode & 0o7

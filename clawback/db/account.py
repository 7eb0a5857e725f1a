"""The account that the embedded server runs as.

PostgreSQL refuses to run as root, so root's server runs as an unprivileged account: the owner of
the data folder if that is not root, else `nobody`. Where that account cannot reach the data or
the programs (a folder of mode 0700 above them), the process keeps one capability, to look past
folder permissions, instead of opening up anybody's folders.
"""

import contextlib
import ctypes
import os
import pwd
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_READ_SEARCH: Final = 2
CAPABILITY_VERSION_3: Final = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _libc() -> ctypes.CDLL | None:
    with contextlib.suppress(OSError):
        return ctypes.CDLL("libc.so.6", use_errno=True)
    return None


class Account:
    """Who runs the server: ourselves, or for root somebody else."""

    def __init__(self, uid: int | None, gid: int | None, *, needs_search: bool) -> None:
        """`uid` None: as we are."""
        self._uid = uid
        self._gid = gid
        self._needs_search = needs_search
        self._libc = _libc()

    def own_folder(self, folder: Path) -> None:
        """Make a folder of mode 0700 that belongs to the account."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.give(folder)

    def give(self, path: Path) -> None:
        """Hand a file or folder to the account."""
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)

    def environment(self) -> dict[str, str]:
        """Nothing of ours but the search path: PG… variables would change the server."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

    def enter(self) -> None:
        """Become the account; runs in the child, before the program."""
        if self._uid is None or self._gid is None:
            return
        keeps = self._needs_search and self._libc is not None
        if keeps and self._libc is not None:
            self._libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setgid(self._gid)
        os.setuid(self._uid)
        if keeps and self._libc is not None:
            bit = 1 << CAP_DAC_READ_SEARCH
            data = (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))
            self._libc.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), data)
            self._libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)

    def enter_until_parent_dies(self) -> None:
        """Become the account, and be stopped when our parent dies, however it dies (Linux)."""
        self.enter()
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


def choose(needed: Sequence[Path]) -> Account:
    """The account that can run a server over these paths; the first is the data folder."""
    if os.geteuid() != 0:
        return Account(None, None, needs_search=False)
    owner = needed[0].stat()
    if owner.st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
    else:
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
    is_open = all(_is_open_to(path, uid, gid) for path in needed)
    return Account(uid, gid, needs_search=not is_open)


def _is_open_to(path: Path, uid: int, gid: int) -> bool:
    """Whether every folder down to the path lets the account through."""
    for folder in [path, *path.parents]:
        status = folder.stat()
        if status.st_uid == uid:
            bit = 0o100
        elif status.st_gid == gid:
            bit = 0o010
        else:
            bit = 0o001
        if not status.st_mode & bit:
            return False
    return True

"""What an earlier start left running on a cluster, found and ended with care.

A process is one of ours only if it is a `postgres` that works in this very folder, however the
folder is called: a pid file alone proves nothing, its number may be a stranger's by now. Nothing
else is ever signalled, and a signal goes to the process that was looked at, not to a later one of
its number. Where there is no /proc only a postmaster that names the folder is found, and its pid
file is left for PostgreSQL to judge.
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from clawback import clock
from clawback.db.account import Account, EmbeddedError

POLITE_SECONDS: Final = 30.0
HARD_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.02
_PROC: Final = Path("/proc")
_SCAN: Final = 'for p in /proc/[0-9]*; do [ "$p/cwd" -ef "$0" ] && echo "${p#/proc/}"; done; true'


def postmaster(cluster: Path) -> int | None:
    """The server of this cluster, as its pid file and its own command line agree."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        words = _command(pid)
        is_ours = Path(words[words.index("-D") + 1]).samefile(cluster)
    except (OSError, ValueError, IndexError):
        return None
    return pid if is_ours and Path(words[0]).name == "postgres" else None


def end(cluster: Path, account: Account) -> None:
    """End every process of the cluster, then clear the pid file that names one.

    The postmaster is asked first, as by an operator's fast stop. Backends that outlived their
    postmaster are killed: their memory is lost, the next start recovers from the log.
    Raises: EmbeddedError if one of them does not go.
    """
    if not cluster.exists():
        return
    if not _PROC.joinpath("self", "cwd").exists() or not hasattr(os, "pidfd_open"):
        _end_postmaster(cluster)
        return
    with contextlib.ExitStack() as held:
        processes = {pid: held.enter_context(_held(pid)) for pid in _servers()}
        ours = {pid: processes[pid] for pid in _working_in(cluster, account) & processes.keys()}
        first = postmaster(cluster)
        if first in ours:
            _stop(ours[first], (signal.SIGINT, POLITE_SECONDS), (signal.SIGQUIT, HARD_SECONDS))
        for pid, process in ours.items():
            if not _stop(process, (signal.SIGKILL, HARD_SECONDS)):
                raise EmbeddedError(f"process {pid} of an earlier server does not end: kill it")
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _command(pid: int) -> list[str]:
    """The words that a process was started with."""
    if _PROC.joinpath("self", "cmdline").exists():
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    asked = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    done = subprocess.run(  # noqa: S603 - a number of ours, no shell
        asked, capture_output=True, text=True, check=False
    )
    program, _, rest = done.stdout.strip().partition(" -D ")
    return [program, "-D", rest.partition(" -c ")[0]]


def _servers() -> Iterator[int]:
    """Every process that is called postgres, whose ever it is."""
    for entry in _PROC.iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text() == "postgres\n":
                yield int(entry.name)


def _working_in(cluster: Path, account: Account) -> set[int]:
    """The processes whose working folder this is, as far as their own account can see them.

    Asked as the account: in a container not even root may look into another's process.
    """
    done = subprocess.run(  # noqa: S603 - a fixed script, the folder is its argument
        ["/bin/sh", "-c", _SCAN, str(cluster)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=account.environment(),
        preexec_fn=account.enter,
    )
    return {int(line) for line in done.stdout.split()}


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """The process itself, not its number; None if it ended meanwhile."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _stop(process: int | None, *steps: tuple[signal.Signals, float]) -> bool:
    """Signal, wait, signal harder; whether the process has ended."""
    if process is None:
        return True
    watch = select.poll()
    watch.register(process, select.POLLIN)
    for number, seconds in steps:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)
        if watch.poll(seconds * 1000):
            return True
    return False


def _end_postmaster(cluster: Path) -> None:
    """The same by number alone, where the system knows no better."""
    pid = postmaster(cluster)
    if pid is None:
        return
    os.kill(pid, signal.SIGINT)
    if not _comes_true(lambda: postmaster(cluster) is None, POLITE_SECONDS):
        raise EmbeddedError(f"process {pid} of an earlier server does not end: kill it")


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() > deadline:
            return False
        clock.sleep_seconds(POLL_SECONDS)
    return True

"""Which processes there are, read from /proc: what a test started has to be gone in the end."""

import time
from collections.abc import Iterable
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    return _state_and_parent(pid)[0] not in {"", "Z", "X"}


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and those that they started."""
    parents = {
        int(folder.name): _state_and_parent(int(folder.name))[1]
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal()
    }
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def wait_gone(pids: Iterable[int], seconds: float) -> list[int]:
    """Those that still run when the time is over."""
    until = time.monotonic() + seconds
    left = list(pids)
    while left and time.monotonic() < until:
        left = [pid for pid in left if is_alive(pid)]
        time.sleep(0.02)
    return left


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return words[0], int(words[1])

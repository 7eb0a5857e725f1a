"""A tree of processes that stays up: parts are started in order, watched, restarted, stopped.

A part that ends without being asked to, killed or crashed, is started again after a pause that
grows while it keeps failing. Stopping goes in the reverse order of starting: each part is asked,
waited for, and killed only when its time is over. A part never outlives this process
(`lifeline.py`), and a Ctrl-C in the terminal reaches this process alone, which then stops the
parts in their order.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from clawback import clock

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 10.0
KEPT_LOGS: Final = 3
_TAIL_BYTES: Final = 4_096


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A Python module to be kept running, and how long it may take to stop."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    log: Path | None = None
    stop_seconds: float = 25.0


class Ended(msgspec.Struct, frozen=True):
    """A part ended without being asked to. `code` is negative for a signal."""

    name: str
    code: int
    failures: int


class _Kept:
    """One part, as it is kept alive."""

    def __init__(self, part: Part, told: "Callable[[Ended | None], None]") -> None:
        """`told` hears of each start (None) and of each unexpected end."""
        self.part = part
        self.process: asyncio.subprocess.Process | None = None
        self._told = told
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process as it is now, None between two of them."""
        is_up = self.process is not None and self.process.returncode is None
        return self.process.pid if is_up and self.process is not None else None

    async def start(self) -> None:
        """Start the part; returns once its first process exists."""
        self._keeper = asyncio.create_task(self._keep())
        await self._started.wait()

    async def _keep(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            begun = clock.monotonic()
            self.process = await _spawn(self.part)
            self._started.set()
            self._told(None)
            if self._stopping.is_set():
                self.send(signal.SIGTERM)
            code = await self.process.wait()
            if self._stopping.is_set():
                return
            lived = clock.monotonic() - begun
            failures = 1 if lived > STEADY_SECONDS else failures + 1
            self._told(Ended(self.part.name, code, failures))
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def stop(self) -> bool:
        """Ask the part to end and wait for it; False if it had to be killed."""
        self._stopping.set()
        self.send(signal.SIGTERM)
        assert self._keeper is not None, "stopped before it was started"
        done, _ = await asyncio.wait({self._keeper}, timeout=self.part.stop_seconds)
        if not done:
            self.send(signal.SIGKILL)
            await self._keeper
        return bool(done)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid is not None and self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Supervisor:
    """The parts in the order in which they were started."""

    def __init__(self, told: Callable[[Ended | None], None]) -> None:
        """`told` hears of each start (None) and of each unexpected end of a part."""
        self._told = told
        self._parts: list[_Kept] = []

    async def start(self, part: Part) -> None:
        """Start a part and keep it running. Raises: OSError if no process can be made."""
        kept = _Kept(part, self._told)
        self._parts.append(kept)
        await kept.start()

    async def stop(self) -> list[str]:
        """Stop all parts, the last first; returns the names of those that had to be killed.

        Parts of one kind (`api-1`, `api-2`) are stopped together.
        """
        killed = []
        while self._parts:
            kind = _kind(self._parts[-1])
            group = [kept for kept in self._parts if _kind(kept) == kind]
            self._parts = [kept for kept in self._parts if _kind(kept) != kind]
            stopped = await asyncio.gather(*(kept.stop() for kept in group))
            killed += [k.part.name for k, well in zip(group, stopped, strict=True) if not well]
        return killed

    def kill(self) -> None:
        """Kill what still runs: the harder way, for one who does not want to wait."""
        for kept in self._parts:
            kept.send(signal.SIGKILL)

    def pids(self) -> dict[str, int | None]:
        """The process of each part, None for one that is being started again."""
        return {kept.part.name: kept.pid for kept in self._parts}


def _kind(kept: _Kept) -> str:
    return kept.part.name.split("-", 1)[0]


async def _spawn(part: Part) -> asyncio.subprocess.Process:
    """A process bound to ours, in a session of its own, writing to its log."""
    command = ("-m", "clawback.work.lifeline", str(os.getpid()), part.module, *part.arguments)
    with contextlib.ExitStack() as files:
        target: BinaryIO | None = None
        if part.log is not None:
            descriptor = os.open(part.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            target = files.enter_context(os.fdopen(descriptor, "wb"))
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            env=dict(part.environment),
            start_new_session=True,
        )


def rotate(log: Path) -> None:
    """Move a log of an earlier start aside, keeping the last few."""
    for number in range(KEPT_LOGS, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def tail(log: Path) -> str:
    """The last lines of a log, for whoever has to find out why a part does not start."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-12:])

"""The processes of a benchmark, and what each of them costs.

One embedded PostgreSQL with its usual, durable settings; the API as `clawback serve` runs it; the
load generator and a responder to measure it against. All end with this process. CPU time is read
from the kernel's own accounts, for whole trees of processes.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import msgspec

from clawback import clock
from clawback.bench.load import Job, Result
from clawback.db import migrate
from clawback.db.embedded import EmbeddedPostgres

API_PROCESSES: Final = 2
START_SECONDS: Final = 30.0
_TICK_US: Final = 1e6 / os.sysconf("SC_CLK_TCK")
_LISTENING: Final = "0A"
_LIFELINE: Final = "clawback.work.lifeline"


class StageFailed(Exception):
    """A part did not come up; the message says which, and where its log is."""


class Cpu(msgspec.Struct, frozen=True):
    """CPU time spent so far, in microseconds: by PostgreSQL and by the API's processes."""

    postgres: float
    api: float


class Stage:
    """Everything that runs, on one data folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet."""
        self._folder = folder
        self._server = EmbeddedPostgres(folder)
        self._held = contextlib.AsyncExitStack()
        self._generator: asyncio.subprocess.Process | None = None
        self._api: asyncio.subprocess.Process | None = None
        self.dsn = ""
        self.port = 0

    async def __aenter__(self) -> Self:
        """Start PostgreSQL and bring the database to this release. Raises: EmbeddedError."""
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._held.aclose)
            self._held.callback(self._server.stop)
            self.dsn = self._server.start()
            await migrate.upgrade(self.dsn)
            undo.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything, PostgreSQL last."""
        await self._held.aclose()

    async def start_api(self) -> None:
        """Start the API's processes and the load generator. Raises: StageFailed."""
        self.port = _free_port()
        log = self._folder / "api.log"
        environment = os.environ | {"DATABASE_URL": self.dsn, "CLAWBACK_HOST": "127.0.0.1"}
        with log.open("wb") as file:
            self._api = await self._start(
                "clawback", "serve", f"--processes={API_PROCESSES}", f"--port={self.port}",
                environment=environment, log=file.fileno(),
            )  # fmt: skip
        self._generator = await self._start("clawback.bench.load")
        until = clock.monotonic() + START_SECONDS
        while _listeners(self.port) < API_PROCESSES:
            if clock.monotonic() > until or self._api.returncode is not None:
                raise StageFailed(f"the API did not start: {log.read_text()[-1500:]}")
            await asyncio.sleep(0.02)

    async def _start(
        self,
        module: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        log: int | None = None,
    ) -> asyncio.subprocess.Process:
        """Start a module that cannot outlive us, and that is stopped with the stage."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _LIFELINE, str(os.getpid()), module, *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if log is None else log,
            stderr=log,
            limit=2**24,
        )  # fmt: skip
        self._held.push_async_callback(_stop, process)
        return process

    async def generate(self, job: Job) -> Result:
        """Have the load generator do a job. Raises: StageFailed."""
        generator = self._generator
        assert generator is not None, "start_api comes first"
        assert generator.stdin is not None, "a pipe was asked for"
        assert generator.stdout is not None, "a pipe was asked for"
        generator.stdin.write(msgspec.json.encode(job) + b"\n")
        line = await generator.stdout.readline()
        if not line:
            raise StageFailed("the load generator ended")
        return msgspec.json.decode(line, type=Result)

    async def start_responder(self) -> int:
        """Start the server that does nothing; returns its port."""
        responder = await self._start("clawback.bench.responder")
        assert responder.stdout is not None, "a pipe was asked for"
        return int(await responder.stdout.readline())

    def cpu(self) -> Cpu:
        """What has been spent so far, also by processes that have ended."""
        assert self._server.pid is not None, "the server runs"
        assert self._api is not None, "start_api comes first"
        spent = dict(_spent())
        return Cpu(_tree(self._server.pid, spent), _tree(self._api.pid, spent))


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listeners(port: int) -> int:
    """How many sockets listen on the port: one for each API process."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    wanted = f":{port:04X}"
    fields = (line.split() for line in lines)
    return sum(field[1].endswith(wanted) and field[3] == _LISTENING for field in fields)


def _spent() -> Iterator[tuple[int, tuple[int, float]]]:
    """Each process with its parent and its CPU time, with that of its ended children."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks = sum(map(int, fields[11:15]))
            yield int(folder.name), (int(fields[1]), ticks * _TICK_US)


def _tree(root: int, spent: dict[int, tuple[int, float]]) -> float:
    """CPU time of a process and everything below it."""
    own = spent[root][1] if root in spent else 0.0
    return own + sum(_tree(pid, spent) for pid, (parent, _) in spent.items() if parent == root)

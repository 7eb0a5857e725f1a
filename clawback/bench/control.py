"""The control: a hand-written function for the same refund, driven by pgbench of the same wheel.

Its tables are copies of the real ones with the same books and payments (`control.sql`), in the
same server; pgbench speaks to it over the server's own socket with prepared statements. Rates and
latencies come from pgbench's log of single transactions, within a window that leaves out
connecting and the first calls of each connection.
"""

import asyncio
import math
import os
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from clawback import clock
from clawback.bench.load import AMOUNT_MINOR, Sample
from clawback.bench.preload import Pool
from clawback.bench.sql import SQL
from clawback.db.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from asyncpg import Connection

CLIENTS: Final = (1, 4, 16, 64)
THREADS: Final = 2
CALL: Final = "control_call.sql"
WARM_UP_SECONDS: Final = 0.2
WARM_UP_EACH: Final = 0.006
"""More for each client: its first calls parse and plan the function."""

REAP_SECONDS: Final = 0.05
"""Until the server has counted the CPU time of connections that have just ended."""


class ControlFailed(Exception):
    """pgbench did not run as it should; the message is its own."""


class Bodies(msgspec.Struct, frozen=True):
    """What a real refund stored: its event's body and its answer, for the control to store too."""

    event: str
    answer: str


async def install(connection: "Connection") -> None:
    """Make the control's tables and function, with the books and payments that are there now."""
    await connection.execute(resources.files(__package__).joinpath("control.sql").read_text())


async def read_bodies(connection: "Connection") -> Bodies:
    """What the newest real refund stored."""
    row = await SQL.read_bodies(connection)
    return Bodies(row["event"], row["answer"])


class Control:
    """Runs of the control on one database."""

    def __init__(self, dsn: str, shards: int, bodies: Bodies) -> None:
        """`install` was called before."""
        self._dsn = dsn
        self._shards = shards
        self._bodies = bodies

    async def run(self, pool: Pool, clients: int, seconds: float) -> tuple[Sample, int]:
        """Refund the pool's next payments with so many clients, after a warm-up of each client.

        Returns what was measured, and how many refunds there were with those of the warm-up.
        Raises: ControlFailed.
        """
        warm_up = WARM_UP_SECONDS + clients * WARM_UP_EACH
        with tempfile.TemporaryDirectory(prefix="clawback-bench-") as folder:
            await self._pgbench(pool, clients, math.ceil(warm_up + seconds), folder)
            done = sorted(_read_log(folder))
        await asyncio.sleep(REAP_SECONDS)
        if not done:
            raise ControlFailed("pgbench made no refund at all")
        begin = done[0][0] + warm_up * 1e6
        end = min(begin + seconds * 1e6, done[-1][0])
        taken = sorted(micros for at, micros in done if begin < at <= end)
        return Sample.of(taken, (end - begin) / 1e6), len(done)

    async def _pgbench(self, pool: Pool, clients: int, seconds: int, folder: str) -> None:
        with resources.as_file(resources.files(__package__).joinpath(CALL)) as script:
            command = [
                str(EmbeddedPostgres.binary("pgbench")),
                "--no-vacuum", "--protocol=prepared", f"--client={clients}",
                f"--jobs={min(clients, THREADS)}", f"--time={seconds}", f"--file={script}",
                "--log", f"--log-prefix={folder}/log",
                *(f"--define={name}={value}" for name, value in self._variables(pool)),
            ]  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                *command,
                env=_environment(self._dsn),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
        if process.returncode != 0:
            raise ControlFailed(f"pgbench failed: {said.decode()[-2000:]}")

    def _variables(self, pool: Pool) -> Iterator[tuple[str, object]]:
        yield "merchant", pool.merchants[0].number
        yield "merchants", len(pool.merchants)
        yield "shards", self._shards
        yield "first", pool.first
        yield "payments", pool.count
        yield "amount", AMOUNT_MINOR
        yield "at", clock.wire_time(clock.real_now())
        yield "event", self._bodies.event
        yield "answer", self._bodies.answer
        yield "sequence", f"bench_control.{pool.name}"


def _environment(dsn: str) -> dict[str, str]:
    """How pgbench finds the database; the password is not on its command line."""
    parts = urlsplit(dsn)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PGHOST": parts.hostname or parse_qs(parts.query)["host"][0],
        "PGPORT": str(parts.port or 5432),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.lstrip("/"),
        "PGOPTIONS": "-c jit=off",
    }


def _read_log(folder: str) -> Iterator[tuple[float, float]]:
    """When each transaction ended and how long it took, both in microseconds."""
    for file in Path(folder).glob("log.*"):
        for line in file.read_text().splitlines():
            _, _, micros, _, seconds, rest = line.split()[:6]
            yield int(seconds) * 1_000_000 + int(rest), int(micros)

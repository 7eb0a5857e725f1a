"""The rounds: control and API in turn, so that what else the machine does falls on both.

A round measures each cell once: the control with each number of clients, the API with each number
of connections, spread over all merchants and on one. Every second round runs backwards; in a
quick run it leaves out what was beaten in the first. Figures are medians over the rounds; "best"
is the highest median over the widths.
"""

import resource
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.bench.control import CLIENTS, Control
from clawback.bench.load import Job, Result, Sample, cpu_seconds
from clawback.bench.preload import Pool
from clawback.bench.sql import SQL
from clawback.bench.stage import Stage

if TYPE_CHECKING:
    from asyncpg import Connection

CONNECTIONS: Final = (64, 256)
SPREAD, HOT = "spread", "hot"
CONTROL, CLOSED, OPEN, IDLE = "control", "closed", "open", "idle"
MOST_A_SECOND: Final = 20_000
"""Requests that are made ready for each second of a round."""

CONTENDER: Final = 0.8
"""In a quick run, a number of clients below this share of the best is measured once only."""


class Cell(msgspec.Struct, frozen=True):
    """One thing to measure: how, on which payments, with how many clients or connections."""

    kind: str
    pool: str
    width: int


class Cost(msgspec.Struct, frozen=True):
    """What one refund cost: CPU in microseconds by part, WAL in bytes. Warm-up included."""

    postgres_us: float
    api_us: float
    generator_us: float
    wal_bytes: float

    @property
    def cpu_us(self) -> float:
        """All of it, with the client's own."""
        return self.postgres_us + self.api_us + self.generator_us


class Measured(msgspec.Struct, frozen=True):
    """One cell in one round."""

    sample: Sample
    cost: Cost


class Rounds:
    """Measures cells on a stage and keeps what it found."""

    def __init__(self, stage: Stage, connection: "Connection", pools: tuple[Pool, ...]) -> None:
        """`control` is to be set once the first real refund has been made."""
        self._stage = stage
        self._connection = connection
        self._pools = {pool.name: pool for pool in pools}
        self._turns: Counter[str] = Counter()
        self.control: Control | None = None
        self.found: dict[Cell, list[Measured]] = {}
        self.bad: Counter[str] = Counter()
        self.answered = 0

    async def run(self, number: int, seconds: float, *, is_quick: bool) -> None:
        """Measure every cell once."""
        cells = [
            cell
            for pool in self._pools
            for cell in interleaved(pool)
            if not (is_quick and number > 0 and self._is_beaten(cell))
        ]
        for cell in cells if number % 2 == 0 else cells[::-1]:
            await self.measure(cell, seconds)
        for pool in self._pools if number == 0 or not is_quick else ():
            await self.measure(Cell(OPEN, pool, max(CONNECTIONS)), seconds)

    def _is_beaten(self, cell: Cell) -> bool:
        if cell.kind != CONTROL or cell.width == 1:
            return False
        return self.rate(cell) < CONTENDER * self.rate(self.best(CONTROL, cell.pool))

    async def measure(self, cell: Cell, seconds: float) -> None:
        """Measure one cell and keep it."""
        cpu, wal = self._stage.cpu(), await self._wal()
        if cell.kind == CONTROL:
            assert self.control is not None, "installed before the first round"
            pgbench = cpu_seconds(resource.RUSAGE_CHILDREN)
            sample, count = await self.control.run(self._pools[cell.pool], cell.width, seconds)
            pgbench = cpu_seconds(resource.RUSAGE_CHILDREN) - pgbench
            generator_us = pgbench * 1e6 / count
        else:
            result = await self.refund(cell, seconds)
            sample, count = result.sample, max(1, result.sent)
            generator_us = result.cpu_us / count
        after = self._stage.cpu()
        cost = Cost(
            postgres_us=(after.postgres - cpu.postgres) / count,
            api_us=(after.api - cpu.api) / count,
            generator_us=generator_us,
            wal_bytes=(await self._wal() - wal) / count,
        )
        self.found.setdefault(cell, []).append(Measured(sample, cost))

    async def refund(self, cell: Cell, seconds: float) -> Result:
        """Have the load generator refund over HTTP for a while."""
        pool = self._pools[cell.pool]
        rate = None
        if cell.kind == OPEN:
            rate = self.rate(self.best(CLOSED, cell.pool)) / 2
        job = Job(
            port=self._stage.port,
            connections=cell.width,
            warm_up=min(0.25, seconds / 2),
            seconds=seconds,
            first=pool.first,
            payments=pool.count,
            keys=[merchant.key for merchant in pool.merchants],
            turn=self._turns[pool.name],
            count=int(MOST_A_SECOND * (seconds + 0.5)) if cell.kind != IDLE else 10_000,
            rate=rate,
        )
        result = await self._stage.generate(job)
        self._turns[pool.name] += result.sent
        self.answered += result.sent - sum(result.bad.values())
        self.bad.update(result.bad)
        return result

    async def _wal(self) -> int:
        return int((await SQL.read_wal(self._connection))["bytes"])

    # What was found.

    def rate(self, cell: Cell) -> float:
        """The median rate, a second."""
        return median(one.sample.rate for one in self.found[cell])

    def sample(self, cell: Cell) -> Sample:
        """The medians of rate and latencies."""
        samples = [one.sample for one in self.found[cell]]
        return Sample(
            rate=median(one.rate for one in samples),
            p50_us=median(one.p50_us for one in samples),
            p99_us=median(one.p99_us for one in samples),
            count=sum(one.count for one in samples),
        )

    def cost(self, cell: Cell) -> Cost:
        """The medians of what a refund cost."""
        costs = [one.cost for one in self.found[cell]]
        return Cost(
            postgres_us=median(one.postgres_us for one in costs),
            api_us=median(one.api_us for one in costs),
            generator_us=median(one.generator_us for one in costs),
            wal_bytes=median(one.wal_bytes for one in costs),
        )

    def best(self, kind: str, pool: str) -> Cell:
        """The cell of this kind with the highest rate."""
        cells = [one for one in self.found if (one.kind, one.pool) == (kind, pool)]
        return max(cells, key=self.rate)


def interleaved(pool: str) -> list[Cell]:
    """Control and API in turn."""
    control = [Cell(CONTROL, pool, clients) for clients in CLIENTS]
    closed = [Cell(CLOSED, pool, connections) for connections in CONNECTIONS]
    one, *others = control
    cells = [one, Cell(IDLE, pool, 1)] if pool == SPREAD else [one]
    for number, cell in enumerate(others):
        cells += [cell, *closed[number : number + 1]]
    return cells

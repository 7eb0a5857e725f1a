"""What a benchmark found, as a table for people and as one line of JSON for programs.

Figures are medians of the rounds; ratios compare within one run only. The last line of `--json`
holds all of it.
"""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from clawback.bench.growth import Growth
from clawback.bench.load import Sample
from clawback.bench.rounds import (
    CLOSED,
    CONTROL,
    HOT,
    IDLE,
    OPEN,
    SPREAD,
    Cell,
    Rounds,
)

KINDS: Final = {
    CONTROL: "control, SQL function",
    IDLE: "HTTP, one at a time",
    CLOSED: "HTTP, closed loop",
    OPEN: "HTTP, open at half the peak",
}
TARGETS: Final = {
    "spread": 1.4,
    "hot": 4.5,
    "hot_to_spread": 0.95,
    "idle_latency": 4.0,
    "grown_refunds": 0.9,
    "grown_reads": 1.5,
    "audit_seconds": 10.0,
}
"""What the ratios are held against. `grown_`: after many claims more, to before; `audit_seconds`:
for each million of postings, in such a run."""

LOW: Final = frozenset({"idle_latency", "grown_reads", "audit_seconds"})
"""Those of which less is better."""


class Ratios(msgspec.Struct, frozen=True):
    """The best of the API to the best of the control, and its hot to its spread load."""

    spread: float
    hot: float
    hot_to_spread: float


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What is known besides the cells."""

    audit_clean: bool
    broken: list[str]
    counts: dict[str, int]
    audit_seconds: float
    growth: Growth | None = None
    stored: int
    preloaded_per_second: float
    generator_alone: Sample
    server: dict[str, str]
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """One cell's medians. Times in microseconds of CPU or of waiting, for one refund."""

    kind: str
    pool: str
    width: int
    per_second: float
    p50_us: float
    p99_us: float
    postgres_us: float
    api_us: float
    generator_us: float
    wal_bytes: float
    count: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured.

    `cpu_ratios`: CPU time of a refund, that of the control where it is fastest to that of the API
    where it is. `refunds_answered` and `refunds_stored` are equal if none was lost.
    """

    rows: list[Row]
    cpu_ratios: dict[str, float]
    idle_latency: float
    refunds_answered: int
    refunds_stored: int
    not_created: dict[str, int]
    generator_alone_per_second: float
    generator_share: float
    preloaded_per_second: float
    audited: dict[str, int]
    audit_broken: list[str]
    audit_seconds: float
    growth: Growth | None
    postgres: dict[str, str]
    machine: dict[str, str]
    seconds: float


class Report(msgspec.Struct, frozen=True):
    """The last line of `clawback bench --json`."""

    ratios: Ratios
    audit_clean: bool
    figures: Figures

    @property
    def is_sound(self) -> bool:
        """The books are right, and every request was answered with 201 and stored."""
        figures = self.figures
        is_stored = figures.refunds_answered == figures.refunds_stored
        return self.audit_clean and not figures.not_created and is_stored


def note(text: str) -> None:
    """Tell a person how far it is."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def make(rounds: Rounds, around: Around) -> Report:
    """The report of all rounds."""
    closed = {pool: rounds.rate(rounds.best(CLOSED, pool)) for pool in (SPREAD, HOT)}
    control = {pool: rounds.rate(rounds.best(CONTROL, pool)) for pool in (SPREAD, HOT)}
    one = rounds.sample(Cell(CONTROL, SPREAD, 1))
    idle = rounds.sample(Cell(IDLE, SPREAD, 1))
    cost = rounds.cost(rounds.best(CLOSED, SPREAD))
    figures = Figures(
        rows=[_row(rounds, cell) for cell in sorted(rounds.found, key=_place)],
        cpu_ratios={pool: _rounded(_cpu_ratio(rounds, pool)) for pool in (SPREAD, HOT)},
        idle_latency=_rounded(idle.p50_us / one.p50_us),
        refunds_answered=rounds.answered,
        refunds_stored=around.stored,
        not_created=dict(rounds.bad),
        generator_alone_per_second=_rounded(around.generator_alone.rate),
        generator_share=_rounded(cost.generator_us / cost.cpu_us),
        preloaded_per_second=_rounded(around.preloaded_per_second),
        audited=around.counts,
        audit_broken=around.broken,
        audit_seconds=_rounded(around.audit_seconds),
        growth=around.growth,
        postgres=around.server,
        machine=_machine(),
        seconds=_rounded(around.seconds),
    )
    ratios = Ratios(
        spread=_rounded(closed[SPREAD] / control[SPREAD]),
        hot=_rounded(closed[HOT] / control[HOT]),
        hot_to_spread=_rounded(closed[HOT] / closed[SPREAD]),
    )
    return Report(ratios, around.audit_clean, figures)


def _machine() -> dict[str, str]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
        if line.startswith("model name")
    ]
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpus": str(os.cpu_count()),
        "cpu": next(iter(models), platform.machine()),
        "memory": f"{gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_ratio(rounds: Rounds, pool: str) -> float:
    control, api = (rounds.cost(rounds.best(kind, pool)) for kind in (CONTROL, CLOSED))
    return control.cpu_us / api.cpu_us


def _place(cell: Cell) -> tuple[bool, int, int]:
    return (cell.pool == HOT, list(KINDS).index(cell.kind), cell.width)


def _row(rounds: Rounds, cell: Cell) -> Row:
    sample, cost = rounds.sample(cell), rounds.cost(cell)
    return Row(
        kind=cell.kind,
        pool=cell.pool,
        width=cell.width,
        per_second=_rounded(sample.rate),
        p50_us=_rounded(sample.p50_us),
        p99_us=_rounded(sample.p99_us),
        postgres_us=_rounded(cost.postgres_us),
        api_us=_rounded(cost.api_us),
        generator_us=_rounded(cost.generator_us),
        wal_bytes=_rounded(cost.wal_bytes),
        count=sample.count,
    )


def _rounded(figure: float) -> float:
    """As many digits as mean something."""
    return round(figure, 3) if figure < 100 else round(figure)  # noqa: PLR2004 - a matter of taste


COLUMNS: Final = (
    "load", "how", "clients", "refunds/s", "p50 ms", "p99 ms", "CPU µs: PostgreSQL", "API",
    "client", "WAL bytes",
)  # fmt: skip


class Judged(msgspec.Struct, frozen=True):
    """A ratio and what it is held against; of some less is better."""

    name: str
    value: float
    target: float
    is_low_good: bool

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.is_low_good else self.value >= self.target

    @property
    def aim(self) -> str:
        """The target in words."""
        return f"{'at most' if self.is_low_good else 'at least'} {self.target}"


def judged(found: Report) -> list[Judged]:
    """All ratios with their targets."""
    figures = found.figures
    ratios = msgspec.structs.asdict(found.ratios) | {"idle_latency": figures.idle_latency}
    if figures.growth is not None:
        millions = figures.audited["postings"] / 1e6
        ratios |= {
            "grown_refunds": figures.growth.refunds,
            "grown_reads": figures.growth.reads,
            "audit_seconds": _rounded(figures.audit_seconds / millions),
        }
    return [Judged(name, value, TARGETS[name], name in LOW) for name, value in ratios.items()]


def table(found: Report) -> list[tuple[str, ...]]:
    """The cells of the run, in text, as `COLUMNS` names them."""
    return [
        (
            row.pool,
            KINDS[row.kind],
            str(row.width),
            f"{row.per_second:,.0f}",
            f"{row.p50_us / 1000:.2f}",
            f"{row.p99_us / 1000:.2f}",
            f"{row.postgres_us:.0f}",
            f"{row.api_us:.0f}" if row.kind != CONTROL else "-",
            f"{row.generator_us:.0f}",
            f"{row.wal_bytes:.0f}",
        )
        for row in found.figures.rows
    ]


def show(found: Report) -> None:
    """Print the tables."""
    figures = found.figures
    _table(COLUMNS, table(found))
    ratios = [
        (one.name, f"{one.value:.2f}", one.aim, "met" if one.is_met else "missed")
        for one in judged(found)
    ]
    _table(("ratio", "measured", "target", ""), ratios)
    print(
        f"refunds answered {figures.refunds_answered:,}, stored {figures.refunds_stored:,}; "
        f"answers that were not 201: {sum(figures.not_created.values())} "
        f"{figures.not_created or ''}\n"
        f"CPU time of a refund, control to API: {figures.cpu_ratios}\n"
        f"load generator: {100 * figures.generator_share:.0f} % of the CPU time of a refund, "
        f"{figures.generator_alone_per_second:,.0f} requests/s against a server that does nothing"
        f"\npreload: {figures.preloaded_per_second:,.0f} captured payments/s\n"
        f"PostgreSQL {figures.postgres}; {figures.machine}; the worker did not run\n"
        f"audit: {'clean' if found.audit_clean else 'NOT CLEAN: ' + str(figures.audit_broken)}; "
        f"{figures.seconds:.0f} s in all",
        flush=True,
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their columns; figures stand right."""
    right = [
        all(row[n][:1].isdigit() or row[n] == "-" for row in rows) for n in range(len(columns))
    ]
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - loaded only for a terminal
        from rich.console import Console  # noqa: PLC0415 - the same
        from rich.table import Table  # noqa: PLC0415 - the same

        table = Table(box=SIMPLE_HEAD)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if right[number] else "left")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = zip(row, widths, right, strict=True)
        print("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip())
    print(flush=True)

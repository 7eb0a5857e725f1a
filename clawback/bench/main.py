"""`clawback bench`: one run, one PostgreSQL, control and API in turn, an audit at the end.

Nothing is switched off: durable settings, keys, idempotency, rate limits (raised for these keys),
every check. The worker is not started, because its work comes after the answer and would be
measured as if it were part of it; what it costs is shown by a whole life of a claim elsewhere.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock, logs
from clawback.bench import control, growth, page, preload, report
from clawback.bench.load import Job, Sample
from clawback.bench.preload import Pool
from clawback.bench.rounds import CLOSED, HOT, SPREAD, Cell, Rounds
from clawback.bench.sql import SQL
from clawback.bench.stage import Stage, StageFailed
from clawback.db import pool as connections
from clawback.db.embedded import EmbeddedError
from clawback.ledger.audit import audit

if TYPE_CHECKING:
    from asyncpg import Connection

MERCHANTS: Final = 100
"""How many the spread load is spread over; one more is the hot one."""

HOT_FIRST: Final = 50_000_000
"""The number of the hot merchant's first payment, far from those of the others."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done. `enough_seconds`: no further round is begun after so long.

    `claims`: how many the books are filled with after the rounds, to see what growth costs.
    """

    rounds: int
    seconds: float
    payments: int
    enough_seconds: float
    claims: int = 0


QUICK: Final = Plan(rounds=2, seconds=0.7, payments=15_000, enough_seconds=31.0)
FULL: Final = Plan(rounds=3, seconds=2.5, payments=60_000, enough_seconds=3_600.0)


def run(
    *,
    quick: bool,
    as_json: bool,
    claims: int = 0,
    data: Path | None = None,
    page_into: Path | None = None,
) -> int:
    """Measure and print; returns 0 if the audit is clean and every answer was a 201.

    `claims`: how many the books are filled with after the rounds, to see what growth costs.
    `data`: an empty folder for the database; by default one that is removed afterwards.
    `page_into`: a folder for a page about the run, if one is wanted.
    """
    logs.configure("warning")
    try:
        with _folder(data) as folder:
            plan = msgspec.structs.replace(QUICK if quick else FULL, claims=claims)
            found = measure(folder, plan, is_quick=quick)
    except (EmbeddedError, StageFailed, control.ControlFailed, growth.ReadFailed) as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1
    report.show(found)
    if page_into is not None:
        print(f"written: {page.write(found, page_into)}", flush=True)
    if as_json:
        print(msgspec.json.encode(found).decode(), flush=True)
    return 0 if found.is_sound else 1


def measure(folder: Path, plan: Plan, *, is_quick: bool) -> report.Report:
    """Do it all on one data folder.

    Raises: EmbeddedError, StageFailed, ControlFailed, ReadFailed.
    """
    return asyncio.run(_measure(folder, plan, is_quick=is_quick))


@contextlib.contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="clawback-bench-") as made:
        yield Path(made)


async def _measure(folder: Path, plan: Plan, *, is_quick: bool) -> report.Report:
    begin = clock.monotonic()
    async with Stage(folder) as stage:
        connection = await connections.connect(
            stage.dsn, application_name="clawback bench", role=None
        )
        server = dict(await SQL.read_server(connection))
        pools, preloaded = await _preload(stage, connection, plan)
        await stage.start_api()
        rounds = Rounds(stage, connection, pools)
        await _install_control(stage, connection, rounds, pools)
        for number in range(plan.rounds):
            if clock.monotonic() - begin < plan.enough_seconds:
                report.note(f"round {number + 1} of {plan.rounds}")
                await rounds.run(number, plan.seconds, is_quick=is_quick)
        peak = await _generator_alone(stage, pools[0])
        grown = await _grow(stage, connection, rounds, pools[0], plan)
        stored = await SQL.count_refunds(connection)
        await connection.close()
        report.note("audit")
        audit_began = clock.monotonic()
        audited = await audit(stage.dsn)
        return report.make(
            rounds,
            report.Around(
                audit_clean=audited.clean,
                broken=[check.name for check in audited.checks if not check.ok],
                counts=audited.counts,
                audit_seconds=clock.monotonic() - audit_began,
                growth=grown,
                stored=stored["api"] - plan.claims,
                preloaded_per_second=preloaded,
                generator_alone=peak,
                server=server,
                seconds=clock.monotonic() - begin,
            ),
        )


async def _preload(
    stage: Stage, connection: "Connection", plan: Plan
) -> tuple[tuple[Pool, ...], float]:
    """Merchants and captured payments; returns the pools, and how many payments a second."""
    report.note(f"{2 * plan.payments} payments")
    merchants = await preload.open_merchants(connection, MERCHANTS + 1)
    pools = (
        Pool(SPREAD, 0, plan.payments, merchants[:MERCHANTS]),
        Pool(HOT, HOT_FIRST, plan.payments, merchants[MERCHANTS:]),
    )
    begin = clock.monotonic()
    await preload.capture(stage.dsn, pools)
    return pools, 2 * plan.payments / (clock.monotonic() - begin)


async def _grow(
    stage: Stage, connection: "Connection", rounds: Rounds, pool: Pool, plan: Plan
) -> growth.Growth | None:
    if not plan.claims:
        return None
    report.note(f"{plan.claims} claims more")
    return await growth.measure(
        rounds, connection, stage.dsn, stage.port, pool.merchants, plan.claims, plan.seconds
    )


async def _install_control(
    stage: Stage, connection: "Connection", rounds: Rounds, pools: tuple[Pool, ...]
) -> None:
    """Warm the API up, then give the control the same books, and the bodies of a real refund."""
    for pool in pools:
        await rounds.refund(Cell(CLOSED, pool.name, 64), 0.4)
    await control.install(connection)
    await SQL.analyze(connection)
    shards = (await SQL.count_shards(connection))["shards"]
    bodies = await control.read_bodies(connection)
    rounds.control = control.Control(stage.dsn, shards, bodies)


async def _generator_alone(stage: Stage, pool: Pool) -> Sample:
    """What the load generator reaches against a server that does nothing."""
    job = Job(
        port=await stage.start_responder(),
        connections=64,
        warm_up=0.1,
        seconds=0.5,
        first=pool.first,
        payments=pool.count,
        keys=[merchant.key for merchant in pool.merchants],
        turn=0,
        count=60_000,
    )
    return (await stage.generate(job)).sample

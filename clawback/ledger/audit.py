"""`clawback audit` and the proof of one book: shown from the data alone, row by row.

Every check reads one and the same snapshot, so it can run beside live traffic, and streams inside
the server, so that size does not matter here. Two connections share the checks. A check that fails
names the exact rows. What cannot be proved from the data (that an acknowledged refund is there at
all) is proved by the crash tests instead.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.db import pool, queries

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "audit.sql")

PROOF: Final = (
    "entries_balance",
    "balances_equal_postings",
    "frozen_equals_claims",
    "payable_equals_claims",
    "cap_holds",
    "sequence_gapless",
)
"""The checks of one book that its merchant is shown (contract, section 9.2)."""
CHAIN: Final = "hash_chain"

CHECKS: Final = (
    *PROOF,
    "entries_have_postings",
    "parts_equal_payments",
    "disputes_known",
    "one_case_each",
    "loss_equals_claims",
    "claims_worth",
    "claims_equal_postings",
    "heads_agree",
    "counters_agree",
    "events_gapless",
    "versions_gapless",
    "one_reference_each",
    "releases_have_facts",
    "reviews_have_two_principals",
    "waiting_are_served",
    CHAIN,
)

AT_ONCE: Final = 2
"""Connections that check. The chain takes a third of an audit's time, so it comes first."""

Progress = Callable[[str, int, int], None]
"""name of the check, how many are begun, of how many"""


class Check(msgspec.Struct, frozen=True):
    """One invariant, and up to twenty rows that break it."""

    name: str
    ok: bool
    rows: list[msgspec.Raw]


class Report(msgspec.Struct, frozen=True):
    """What an audit covered and found."""

    clean: bool
    counts: dict[str, int]
    checks: list[Check]
    heads: dict[str, str]


async def audit(dsn: str, progress: Progress | None = None) -> Report:
    """Prove every invariant over the whole database, in one snapshot.

    `progress` is told before each check. Raises: the driver's errors if the database is away.
    """
    told = progress or _quiet
    async with AsyncExitStack() as opened:
        first, *others = [await _open(dsn, opened) for _ in range(AT_ONCE)]
        name = (await SQL.export_snapshot(first))["name"]
        for one in others:
            await one.execute(SQL.join_snapshot.sql.replace("NAME", name))
        counts = dict(await SQL.count_rows(first))
        order = enumerate(sorted(CHECKS, key=lambda name: name != CHAIN))
        parts = [asyncio.create_task(_share(one, order, told)) for one in (first, *others)]
        try:
            found = {check.name: check for made in await asyncio.gather(*parts) for check in made}
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        heads = {row["book_id"]: row["hash"] for row in await SQL.read_heads(first)}
    told("done", len(CHECKS), len(CHECKS))
    checks = [found[name] for name in CHECKS]
    return Report(all(check.ok for check in checks), counts, checks, heads)


def _quiet(name: str, begun: int, of: int) -> None:
    """Nobody asks how far it is."""


async def _open(dsn: str, opened: AsyncExitStack) -> "Connection":
    connection = await pool.connect(dsn, application_name="clawback audit")
    opened.push_async_callback(connection.close)
    await opened.enter_async_context(
        connection.transaction(isolation="repeatable_read", readonly=True)
    )
    return connection


async def _share(
    connection: "Connection", order: Iterator[tuple[int, str]], told: Progress
) -> list[Check]:
    """Make the next check that nobody makes yet, until there is none."""
    made = []
    for begun, name in order:
        told(name, begun, len(CHECKS))
        made.append(await check(connection, name))
    return made


async def check(
    connection: "Connection | PoolConnectionProxy",
    name: str,
    *,
    shard: int | None = None,
    book_id: str | None = None,
) -> Check:
    """Make one check, over all books; those of `PROOF` and the chain over one book, if given."""
    query = SQL.all[name]
    place = {"shard": shard, "book_id": book_id} if query.parameters else {}
    rows = await query(connection, **place)
    found = [msgspec.Raw(row["found"].encode()) for row in rows]
    return Check(name, not found, found)

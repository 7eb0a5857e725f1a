"""`clawback audit` and the proof of one book: shown from the data alone, row by row.

Every check reads one and the same snapshot, so it can run beside live traffic, and streams inside
the server, so that size does not matter here. A check that fails names the exact rows. What cannot
be proved from the data (that an acknowledged refund is there at all) is proved by the crash tests
instead.
"""

from collections.abc import Callable
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

Progress = Callable[[str, int, int], None]
"""name of the check, how many are done, of how many"""


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
    connection = await pool.connect(dsn, application_name="clawback audit")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _audit(connection, progress)
    finally:
        await connection.close()


async def _audit(connection: "Connection", progress: Progress | None) -> Report:
    counts = dict(await SQL.count_rows(connection))
    checks = []
    for number, name in enumerate(CHECKS):
        if progress is not None:
            progress(name, number, len(CHECKS))
        checks.append(await check(connection, name))
    heads = {row["book_id"]: row["hash"] for row in await SQL.read_heads(connection)}
    if progress is not None:
        progress("done", len(CHECKS), len(CHECKS))
    return Report(all(check.ok for check in checks), counts, checks, heads)


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

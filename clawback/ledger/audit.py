"""`clawback audit`: proves from the data alone that the books are whole.

Every check reads one and the same snapshot, so it can run beside live traffic, and streams, so
that size does not matter. A check that fails names the exact rows. What cannot be proved from
the data (that an acknowledged refund is there at all) is proved by the crash tests instead.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.db import pool, queries
from clawback.ledger import proof

if TYPE_CHECKING:
    import asyncpg

SQL: Final = queries.load(__package__, "audit.sql")
STEP: Final = 5_000

CHECKS: Final = (
    "entries_balance",
    "entries_have_postings",
    "balances_equal_postings",
    "sequence_gapless",
    "frozen_equals_claims",
    "parts_equal_payments",
    "cap_holds",
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


async def _audit(connection: "asyncpg.Connection", progress: Progress | None) -> Report:
    counts = dict(await SQL.count_rows(connection))
    checks = []
    for number, name in enumerate(CHECKS):
        if progress is not None:
            progress(name, number, len(CHECKS) + 1)
        rows = await getattr(SQL, name)(connection)
        found = [msgspec.Raw(row["found"].encode()) for row in rows]
        checks.append(Check(name, not found, found))
    if progress is not None:
        progress("hash_chain", len(CHECKS), len(CHECKS) + 1)
    heads = {row["book_id"]: row["hash"] for row in await SQL.read_heads(connection)}
    checks.append(await _check_chain(connection, heads))
    if progress is not None:
        progress("done", len(CHECKS) + 1, len(CHECKS) + 1)
    return Report(all(check.ok for check in checks), counts, checks, heads)


class _Chain:
    """Follows one book after another, entry by entry."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, str]] = {}
        self.broken: list[msgspec.Raw] = []
        self._entry: asyncpg.Record | None = None
        self._legs: list[proof.PostingFields] = []

    def take(self, row: "asyncpg.Record") -> None:
        """One more posting, in order."""
        entry = self._entry
        if entry is None or (entry["book_id"], entry["height"]) != (row["book_id"], row["height"]):
            self.close()
            self._entry, self._legs = row, []
        if row["seq"] is not None:
            self._legs.append(
                (row["currency"], row["account"], row["seq"], row["amount"], row["balance_after"])
            )

    def close(self) -> None:
        """Compute the hash of the entry whose postings are complete."""
        entry = self._entry
        if entry is None:
            return
        book_id, height = entry["book_id"], entry["height"]
        last_height, last_hash = self.last.get(book_id, (0, proof.GENESIS))
        names = proof.EntryFields.__struct_fields__
        fields = proof.EntryFields(**{name: entry[name] for name in names})
        digest = proof.entry_hash(last_hash, fields, self._legs)
        is_next = height == last_height + 1 and entry["previous_hash"] == last_hash
        if not is_next or digest != entry["hash"]:
            self.note(book_id, height, "the entry does not follow from the one before")
        self.last[book_id] = (height, entry["hash"])

    def note(self, book_id: str, height: int, problem: str) -> None:
        """Keep the first twenty breaks."""
        if len(self.broken) < 20:  # noqa: PLR2004 - as many as the queries return
            row = {"book": book_id, "height": height, "problem": problem}
            self.broken.append(msgspec.Raw(msgspec.json.encode(row)))


async def _check_chain(connection: "asyncpg.Connection", heads: dict[str, str]) -> Check:
    chain = _Chain()
    async for row in connection.cursor(SQL.read_chain.sql, prefetch=STEP):
        chain.take(row)
    chain.close()
    for book_id, head_hash in heads.items():
        height, last_hash = chain.last.get(book_id, (0, proof.GENESIS))
        if last_hash != head_hash:
            chain.note(book_id, height, "the head row knows another last hash")
    return Check("hash_chain", not chain.broken, chain.broken)

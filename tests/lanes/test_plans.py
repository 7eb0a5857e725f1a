"""Rows of a batch are reached by their primary keys, also in a book with many of them.

PostgreSQL 18 can skip through an index whose middle columns are not given: a list's index then
seems as good as the key, and a look-up walks from day to day of the whole book.
"""

import asyncio

import asyncpg

from clawback import clock
from clawback.bench.preload import Pool, capture, open_merchants, payment_id
from clawback.errors import Refused
from clawback.ids import ClaimId
from tests.support import books

LISTS = (
    "payments_list_idx", "payments_status_idx", "claims_list_idx", "claims_status_idx",
)  # fmt: skip


async def scans(session: asyncpg.Connection) -> list[int]:
    """How often each of the lists' indexes was read, by any session that has ended."""
    await session.execute("SELECT pg_stat_clear_snapshot()")
    query = "SELECT coalesce(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = $1"
    return [await session.fetchval(query, name) for name in LISTS]


async def test_no_batch_reads_a_list(database: str) -> None:
    session = await asyncpg.connect(database)
    merchants = await open_merchants(session, 40)
    pools = (Pool("spread", 0, 400, merchants), Pool("hot", 50_000, 2_000, merchants[:1]))
    await capture(database, pools, allow_unsafe=True)
    await session.execute("ANALYZE")
    before = await scans(session)
    book = merchants[0].book
    async with books.open_lanes(database) as lanes:
        for first in (0, 20):
            wanted = [books.refund(payment_id(50_000 + first + turn), "1") for turn in range(20)]
            made = await asyncio.gather(*(lanes.submit(book, one, books.shown) for one in wanted))
            assert not any(isinstance(one, Refused) for one in made)
            await session.execute("ANALYZE claims")
            starts = [books.start(ClaimId(one.claim_id), clock.real_now()) for one in wanted]
            made = await asyncio.gather(*(lanes.submit(book, one, books.shown) for one in starts))
            assert not any(isinstance(one, Refused) for one in made)
    await asyncio.sleep(0.2)
    assert await scans(session) == before
    await session.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    for listed in ("FROM payments", "FROM claims"):  # the control: what reads a list is counted
        of_book = f"SELECT created_at {listed} WHERE shard = $1 AND book_id = $2"
        for order in ("created_at", "status, created_at"):
            query = f"{of_book} ORDER BY {order}"
            assert await session.fetch(query, book.shard, book.book_id)
    await session.execute("SELECT pg_stat_force_next_flush()")
    assert await scans(session) == [count + 1 for count in before]
    await session.close()

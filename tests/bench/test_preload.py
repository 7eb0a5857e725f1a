"""What is preloaded can be audited: the books are those of real payments."""

import asyncpg
import pytest

from clawback.bench.preload import AMOUNT_MINOR, RATE, Pool, capture, open_merchants, payment_id
from clawback.http import keys
from clawback.ledger.audit import audit

pytestmark = pytest.mark.anyio


async def test_preloaded_payments_are_captured_and_the_audit_is_clean(database: str) -> None:
    connection = await asyncpg.connect(database)
    merchants = await open_merchants(connection, 3)
    pools = (Pool("spread", 0, 6, merchants[:2]), Pool("hot", 50, 450, merchants[2:]))
    await capture(database, pools, allow_unsafe=True)
    rows = await connection.fetch(
        "SELECT book_id, count(*) AS payments, sum(captured_minor) AS minor FROM payments"
        " GROUP BY book_id ORDER BY book_id"
    )
    assert [row["payments"] for row in rows] == [3, 3, 450]
    assert sum(row["minor"] for row in rows) == 456 * AMOUNT_MINOR
    owner = await connection.fetchval(
        "SELECT book_id FROM payments WHERE payment_id = $1", payment_id(3)
    )
    assert owner == merchants[1].book.book_id
    await connection.close()
    report = await audit(database)
    assert report.clean, [check for check in report.checks if not check.ok]


async def test_merchants_are_spread_over_the_shards_and_their_keys_open_their_books(
    database: str,
) -> None:
    connection = await asyncpg.connect(database)
    merchants = await open_merchants(connection, 4)
    assert [one.book.shard for one in merchants] == [0, 1, 0, 1]
    for merchant in merchants:
        row = await connection.fetchrow(
            "SELECT book_id, rate_per_second FROM api_keys WHERE digest = $1",
            keys.digest(merchant.key),
        )
        assert row is not None
        assert (row["book_id"], row["rate_per_second"]) == (merchant.book.book_id, RATE)
    await connection.close()

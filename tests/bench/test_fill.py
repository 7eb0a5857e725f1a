"""Books that were filled by copying are as right as others: the audit proves every row."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from clawback.bench import fill
from clawback.bench.preload import Merchant, Pool, capture, open_merchants
from clawback.ledger.audit import audit

pytestmark = pytest.mark.anyio

LIVES = 45
"""Two shares of different size in three books, over two writes each."""


@pytest.fixture
async def filled(
    database: str,
) -> AsyncIterator[tuple[str, asyncpg.Connection, tuple[Merchant, ...]]]:
    """Books that hold some payments already, and then so many lives."""
    connection = await asyncpg.connect(database)
    merchants = await open_merchants(connection, 4)
    await capture(database, [Pool("spread", 0, 30, merchants)], allow_unsafe=True)
    await fill.fill(database, merchants, LIVES, chunk=8)
    yield database, connection, merchants
    await connection.close()


async def test_filled_books_pass_the_audit(
    filled: tuple[str, asyncpg.Connection, tuple[Merchant, ...]],
) -> None:
    database, connection, merchants = filled
    found = await audit(database)
    assert found.clean, [check for check in found.checks if not check.ok]
    rows = await connection.fetch(
        "SELECT book_id, count(*) AS lives, bool_and(status = 'released') AS ended FROM claims"
        " GROUP BY 1 ORDER BY 1"
    )
    assert [(row["book_id"], row["lives"], row["ended"]) for row in rows] == [
        (one.book.book_id, lives, True)
        for one, lives in zip(merchants, (12, 11, 11, 11), strict=True)
    ]


async def test_the_audit_sees_a_filled_row_that_is_wrong(
    filled: tuple[str, asyncpg.Connection, tuple[Merchant, ...]],
) -> None:
    database, connection, _ = filled
    await connection.execute(
        "UPDATE accounts SET balance = balance + 1 WHERE book_id ="
        " (SELECT book_id FROM claims LIMIT 1) AND name = 'pending'"
    )
    assert not (await audit(database)).clean


async def test_each_life_is_a_refund_with_all_that_belongs_to_it(
    filled: tuple[str, asyncpg.Connection, tuple[Merchant, ...]],
) -> None:
    _, connection, _ = filled
    row = await connection.fetchrow(
        "SELECT (SELECT count(DISTINCT claim_id) FROM entries) AS entries,"
        " (SELECT count(*) FROM attempts) AS attempts, (SELECT count(*) FROM facts) AS facts,"
        " (SELECT count(DISTINCT object_id) FROM events WHERE type = 'claim.released') AS told,"
        " (SELECT count(*) FROM events WHERE body LIKE '%' || $1 || '%') AS model,"
        " (SELECT count(*) FROM payments WHERE refunded_minor = 1000) AS given",
        str(fill.MODEL),
    )
    assert tuple(row) == (LIVES, LIVES, LIVES, LIVES, 0, LIVES)

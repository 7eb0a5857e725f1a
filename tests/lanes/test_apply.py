"""A change set that does not fit what is stored is refused as a whole, whatever made it.

Every kind of change is sent twice in one set, and sent for a row that this book does not have: an
UPDATE would quietly write one of two, or none. The control sends it once, and it is taken.
"""

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from clawback.currencies import USD
from clawback.ids import BookId
from clawback.lanes.command import AccountName, Reads
from clawback.lanes.records import Changes, PaymentAmounts, Record, Rows
from clawback.lanes.store import Store
from clawback.route import BookRef, IdempotencyKey
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund, shown

KINDS = (
    "heads", "account_changes", "payment_changes", "payment_amounts", "claim_changes",
    "key_changes", "attempt_changes",
)  # fmt: skip
KEY = IdempotencyKey("/refund", "one", "a" * 64)


@pytest.fixture
async def filled(database: str) -> AsyncIterator[tuple[str, BookRef, Reads]]:
    """A book with a row of each kind."""
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        asked = refund(paid, "10")
        await lanes.submit(book, asked, shown, KEY)
        await lanes.submit(book, books.start(asked.claim_id, books.START.replace(year=2030)), None)
    yield (
        database,
        book,
        Reads(
            payments=(paid,),
            claims=(asked.claim_id,),
            attempts_of=(asked.claim_id,),
            accounts=(AccountName(USD, "pending"),),
        ),
    )
    await proved(database)


def row_of(rows: Rows, kind: str) -> Record:
    """The stored row that a change of this kind is about."""
    if kind == "payment_amounts":
        assert rows.payments is not None
        fields = msgspec.structs.asdict(rows.payments[0])
        return PaymentAmounts(**{name: fields[name] for name in PaymentAmounts.__struct_fields__})
    table = {"heads": "heads", "key_changes": "keys"}.get(kind, kind.removesuffix("_changes") + "s")
    found = getattr(rows, table)
    assert found, kind
    assert isinstance(found[0], Record)
    return found[0]


def changes(kind: str, *rows: Record) -> Changes:
    """A change set of these rows alone."""
    made = Changes()
    getattr(made, kind).extend(rows)
    return made


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_set_that_does_not_fit_is_refused_whole(
    filled: tuple[str, BookRef, Reads], kind: str
) -> None:
    dsn, book, reads = filled
    before = await books.hashes(dsn)
    store = Store(dsn, "lane under test")
    keys = [(book.book_id, KEY.route, KEY.key)]
    try:
        for wrong in ("twice", "not there", None):
            await store.begin()
            rows = await store.load(book.shard, [book.book_id], [(book.book_id, reads)], keys)
            row = row_of(rows, kind)
            if wrong is None:
                await store.apply(book.shard, "m", books.START, changes(kind, row))
            else:
                other = msgspec.structs.replace(row, book_id=BookId("bk_other"))
                sent = [row, row] if wrong == "twice" else [other]
                with pytest.raises(asyncpg.CheckViolationError, match="rows of"):
                    await store.apply(book.shard, "m", books.START, changes(kind, *sent))
            await store.rollback()
            assert await books.hashes(dsn) == before
    finally:
        await store.drop()

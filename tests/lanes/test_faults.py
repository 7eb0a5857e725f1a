"""What a database may do to a batch: no room, a statement that takes too long, a changed schema.

The errors are raised by a trigger in the lane's own batch, so that they come from the server, in
the middle of what it writes. And what becomes of a COMMIT whose lane is ended.
"""

import asyncio

import asyncpg
import pytest

from clawback.claims.model import OpenRefund
from clawback.db.releases import this_release
from clawback.errors import InternalError, Unavailable
from clawback.lanes.lanes import Lanes
from clawback.route import Answer
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund, shown

TRIGGER = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{}'; END $$;
CREATE TRIGGER planted BEFORE INSERT ON claims EXECUTE FUNCTION fail();
"""
WIDENED = """
ALTER TABLE claims ADD COLUMN later text;
ALTER TABLE payments ADD COLUMN later text;
ALTER TABLE idempotency_keys ADD COLUMN later text;
"""


async def counted(dsn: str) -> int:
    return int((await books.look(dsn, "SELECT count(*) FROM claims"))[0][0])


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ("53100", Unavailable),  # the disk is full
        ("53200", Unavailable),  # out of memory
        ("57014", Unavailable),  # it took too long
        ("25006", Unavailable),  # a standby, or made read-only by its operator
        ("55P03", Unavailable),  # a lock was not had in time
        ("57P01", Unavailable),  # it is being shut down
        ("40001", InternalError),  # serialization fails, and goes on failing
        ("22000", InternalError),  # a bug
    ],
)
async def test_a_batch_that_cannot_be_written_leaves_nothing_and_the_next_goes_on(
    database: str, state: str, refusal: type
) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        before = await books.hashes(database)
        owner = await asyncpg.connect(database)
        await owner.execute(TRIGGER.format(state))
        refused = await lanes.submit(book, refund(paid, "10"), shown)
        assert isinstance(refused, refusal)
        assert await books.hashes(database) == before
        await owner.execute("DROP TRIGGER planted ON claims")
        await owner.close()
        assert isinstance(await lanes.submit(book, refund(paid, "10"), shown), Answer)
    assert await counted(database) == 1
    await proved(database)


async def test_a_schema_that_changes_under_prepared_statements_is_not_noticed(
    database: str,
) -> None:
    """Wider tables and functions installed anew, as an upgrade beside the running service."""
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        for change in (WIDENED, *this_release().functions):
            owner = await asyncpg.connect(database)
            await owner.execute(change)
            await owner.close()
            answer = await lanes.submit(book, refund(paid, "1"), shown)
            assert isinstance(answer, Answer), change[:80]
    assert await counted(database) == 1 + len(this_release().functions)


async def _cut_in_commit(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """From now on COMMIT waits; the event tells that one does."""
    store, reached = lanes._lanes[0]._store, asyncio.Event()

    async def waiting() -> None:
        reached.set()
        await asyncio.sleep(3_600)

    monkeypatch.setattr(store, "commit", waiting)
    return reached


async def test_a_lane_that_is_ended_in_its_commit_acknowledges_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        reached = await _cut_in_commit(lanes, monkeypatch)
        wanted: OpenRefund = refund(paid, "10")
        asked = asyncio.ensure_future(lanes.submit(book, wanted, shown))
        await reached.wait()
        await lanes.drain(0)
        assert isinstance(await asked, InternalError)
        assert lanes._lanes[0]._store._connection is None, "the connection is not used again"
    async with open_lanes(database) as others:
        assert await counted(database) == 0, "and its backend has given the batch up"
        assert isinstance(await others.submit(book, refund(paid, "10"), shown), Answer)
    await proved(database)

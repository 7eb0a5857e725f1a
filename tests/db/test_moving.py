"""A book moves whole, with references that stay what they were, and is written on one side only."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import msgspec
import pytest

from clawback.db import moving
from clawback.db.embedded import EmbeddedPostgres
from clawback.db.moving import CannotMove, Moved
from clawback.errors import Refused, Unavailable
from clawback.ids import ClaimId, PaymentId, home_shard
from clawback.lanes.lanes import Lanes
from clawback.providers import port
from clawback.route import BookRef
from tests.conftest import new_database
from tests.support import books
from tests.support.books import look, open_book, open_lanes, proved

SIX_SHARDS = "INSERT INTO shards SELECT generate_series(2, 5)"
FACT = """
INSERT INTO facts (shard, fact_id, provider, provider_account, source, event_key, type, reference,
    object_id, received_at)
VALUES (0, 'fct_early', 'sandbox', 'default', 'notice', 'evt_1', 'dispute.opened', 'r', $1, now())
"""
CHANGED = """
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN NEW.note := 'another'; RETURN NEW; END$$;
CREATE TRIGGER changed BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION change();
"""
DROPPED = CHANGED.replace("NEW.note := 'another'; RETURN NEW", "RETURN NULL").replace(
    "events", "idempotency_keys"
)


class World(NamedTuple):
    """Two databases, and a book in the first with a refund on its way."""

    source: str
    target: str
    book: BookRef
    payment: PaymentId
    claim: ClaimId


async def sent_refund(lanes: Lanes, book: BookRef) -> tuple[PaymentId, ClaimId]:
    """A payment with a refund whose attempt has no outcome yet."""
    payment = await books.take_payment(lanes, book)
    wanted = books.refund(payment, "10.00")
    for command in (wanted, books.start(wanted.claim_id)):
        assert not isinstance(await lanes.submit(book, command, None), Refused)
    return payment, wanted.claim_id


@pytest.fixture
async def world(server: EmbeddedPostgres) -> AsyncIterator[World]:
    """The target has more shards."""
    async with new_database(server) as source, new_database(server) as target:
        await look(target, SIX_SHARDS)
        book = await open_book(source, shard=1)
        async with open_lanes(source) as lanes:
            payment, claim = await sent_refund(lanes, book)
        yield World(source, target, book, payment, claim)


async def moved(source: str, target: str, book: str) -> Moved:
    """Move a book without what the command does before and after."""
    here, there = await moving.connect(source), await moving.connect(target)
    try:
        one = next(one for one in await moving.list_books(here) if one.book_id == book)
        if one.bound_for is None:
            await moving.hold(here, one, await moving.identity(there))
        async with there.transaction():
            return await moving.move(here, there, one)
    finally:
        await here.close()
        await there.close()


async def test_every_table_of_a_book_is_copied(database: str) -> None:
    found = await look(
        database,
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        " AND a.attname IN ('shard', 'book_id') GROUP BY c.relname HAVING count(*) = 2",
    )
    beside = {"books", "held_books"}
    assert {row["relname"] for row in found} - beside == set(moving.TABLES)


async def test_a_book_arrives_whole_and_proves_itself(world: World) -> None:
    await look(world.source, FACT.replace("(0,", "(1,"), world.payment)
    done = await moved(world.source, world.target, world.book.book_id)
    assert (done.from_shard, done.shard != 1) == (1, True)
    here, there = await moving.connect(world.source), await moving.connect(world.target)
    try:
        for name in moving.TABLES:
            before = await moving.read(here, name, 1, world.book.book_id)
            after = await moving.read(there, name, done.shard, world.book.book_id)
            assert before.is_same(after), name
            assert name in {"acts", *EMPTY} or before.rows > 0, name
    finally:
        await here.close()
        await there.close()
    assert (await proved(world.source)).heads == {}
    assert set((await proved(world.target)).heads) == {world.book.book_id}


EMPTY = {"idempotency_keys", "payouts", "reviews", "evidence", "files", "endpoints", "inbox",
         "endpoint_failures", "deliveries", "fan_outs", "replays"}  # fmt: skip
"""Tables that this book has no rows in; tests/cli/test_copying.py moves one that has."""


async def test_the_source_refuses_and_the_target_goes_on_under_the_same_reference(
    world: World,
) -> None:
    done = await moved(world.source, world.target, world.book.book_id)
    async with open_lanes(world.source) as lanes:
        for command in (
            books.refund(world.payment, "1.00"),
            books.outcome(world.claim, 1_000, "settled"),
        ):
            assert await lanes.submit(world.book, command, None) == Unavailable()
    [row] = await look(world.target, "SELECT former_shards FROM books")
    there = BookRef(
        done.shard, world.book.book_id, "MCH-1", "MCH-1", "test", tuple(row["former_shards"])
    )
    async with open_lanes(world.target, shards=6) as lanes:
        lost = books.outcome(world.claim, 1_000, "unavailable")
        assert not isinstance(await lanes.submit(there, lost, None), Refused)
        asked = books.refund(world.payment, "2.00", f"CLM-ZZZZZZZZ-{books.number()}")
        for step in (books.start(world.claim), asked):
            assert not isinstance(await lanes.submit(there, step, None), Refused)
        [new] = await look(world.target, "SELECT claim_id FROM claims WHERE claim_id >= 'CLM-Z'")
        await lanes.submit(there, books.start(new["claim_id"]), None)
    rows = await look(
        world.target, "SELECT claim_id, reference FROM attempts ORDER BY claim_id, number"
    )
    mine = {row["reference"] for row in rows if row["claim_id"] == world.claim}
    assert mine == {port.refund_reference(world.claim, 1, 0)}
    late = [row["reference"] for row in rows if row["claim_id"] == new["claim_id"]]
    assert late == [port.refund_reference(new["claim_id"], done.shard, 0)]
    await proved(world.target)


def test_names_carry_the_shard_of_the_day_they_were_given() -> None:
    former = ("MP331G7R01", "MP400000A2")
    named = [f"CLM-{stamp}-0001" for stamp in ("MP331G7Q", "MP331G7R", "MP331G7S", "MP400001")]
    assert [home_shard(name, 7, former) for name in named] == [1, 1, 362, 7]
    assert home_shard(named[0], 7, ()) == 7


@pytest.mark.parametrize("meddle", [CHANGED, DROPPED])
async def test_what_is_not_written_as_it_was_read_stays_where_it_was(
    world: World, meddle: str
) -> None:
    await look(
        world.source,
        "INSERT INTO idempotency_keys (shard, book_id, route, key, fingerprint, created_at,"
        " expires_at) VALUES (1, $1, 'r', 'k', repeat('0', 64), now(), now())",
        world.book.book_id,
    )
    owner = await asyncpg.connect(world.target)
    try:
        await owner.execute(meddle)
    finally:
        await owner.close()
    with pytest.raises(CannotMove, match="what was written is not what was read"):
        await moved(world.source, world.target, world.book.book_id)
    assert await look(world.target, "SELECT FROM books") == []


async def test_books_that_share_a_name_come_to_lie_apart(world: World) -> None:
    """Two shards may hold one name; the target's single free place for both is not the same."""
    other = await open_book(world.source, 2, shard=0)
    async with open_lanes(world.source) as lanes:
        same = msgspec.structs.replace(books.create(), payment_id=world.payment)
        assert not isinstance(await lanes.submit(other, same, None), Refused)
    await look(world.target, "DELETE FROM shards WHERE shard > 2")
    places = {(await moved(world.source, world.target, other.book_id)).shard}
    await look(world.target, "DELETE FROM shards WHERE shard NOT IN (SELECT shard FROM books)")
    with pytest.raises(CannotMove, match="finds no shard"):
        await moved(world.source, world.target, world.book.book_id)
    await look(world.target, "INSERT INTO shards VALUES (4)")
    places.add((await moved(world.source, world.target, world.book.book_id)).shard)
    assert len(places) == 2
    await proved(world.target)


async def test_one_reference_never_names_two_payments(world: World) -> None:
    """The target's own book in shard 1 has the very name: in shard 1 a reference would be both."""
    own = await open_book(world.target, 3, shard=1)
    async with open_lanes(world.target, shards=6) as lanes:
        same = msgspec.structs.replace(books.create(), payment_id=world.payment)
        assert not isinstance(await lanes.submit(own, same, None), Refused)
    with pytest.raises(CannotMove, match="is there already, in book bk_00000003"):
        await moved(world.source, world.target, world.book.book_id)


async def test_a_merchants_other_book_there_stands_in_the_way(world: World) -> None:
    await open_book(world.target, 1)
    with pytest.raises(CannotMove, match="books_"):
        await moved(world.source, world.target, world.book.book_id)


async def test_a_book_that_is_let_go_is_as_it_was(world: World) -> None:
    before = await books.hashes(world.source)
    here = await moving.connect(world.source)
    try:
        [one] = await moving.list_books(here)
        await moving.hold(here, one, "elsewhere")
        assert await books.hashes(world.source) != before
        await moving.let_go(here, one)
    finally:
        await here.close()
    assert await books.hashes(world.source) == before
    async with open_lanes(world.source) as lanes:
        done = await lanes.submit(world.book, books.refund(world.payment, "1.00"), None)
        assert not isinstance(done, Refused)

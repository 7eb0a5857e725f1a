"""What has had its time goes, and nothing else: in a real database, with the time handed in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from clawback import clock
from clawback.db import pool
from clawback.ids import ClaimId
from clawback.lanes.records import Claim
from clawback.route import Answer, IdempotencyKey, Kept
from clawback.work.retention import STEP, Retention
from tests.support import books
from tests.support.books import hashes, look, open_book, open_lanes, proved, refund, shown
from tests.webhooks.stage import receiving, staged

DAY = timedelta(days=1)
KEYS = "SELECT key FROM idempotency_keys ORDER BY key"


@asynccontextmanager
async def retention(dsn: str, deliveries: int = 0, attempts: int = 0) -> AsyncIterator[Retention]:
    sessions = await pool.create_writer_pool(dsn, application_name="retention")
    try:
        yield Retention(sessions, delivery_days=deliveries, attempt_days=attempts)
    finally:
        await sessions.close()


def key(name: str, route: str = "POST /payments/{id}/refund") -> IdempotencyKey:
    return IdempotencyKey(route, name, "a" * 64)


async def test_a_key_goes_when_its_life_is_over_and_its_claim_has_ended(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes, retention(database) as old:
        paid = await books.take_payment(lanes, book)
        first: Kept[Claim] = Kept()
        claim_id = ClaimId("CLM-MP331G7R-DONE")
        await lanes.submit(book, refund(paid, "10"), shown, key("open"))
        await lanes.submit(book, refund(paid, "10", claim_id), shown, key("ended"))
        for command in (books.start(claim_id), books.outcome(claim_id, 1000, "settled")):
            await lanes.submit(book, command, first)
        now = clock.real_now()
        assert (await old.go_round(now + 0.9 * DAY))["keys"] == 0, "not before its time"
        before = await hashes(database)
        assert (await old.go_round(now + 2 * DAY))["keys"] == 1
        assert [row["key"] for row in await look(database, KEYS)] == ["open"]
        after = await hashes(database)
        assert {name for name in before if before[name] != after[name]} == {"idempotency_keys"}
        again = await lanes.submit(book, refund(paid, "10"), shown, key("ended"))
        assert isinstance(again, Answer)
        assert not again.replayed, "a key that is gone is new again"
        copy = await lanes.submit(book, refund(paid, "10"), shown, key("open"))
        assert isinstance(copy, Answer)
        assert copy.replayed, "the control: a key that is kept is not"
    await proved(database)


async def test_a_batch_keeps_its_key_while_one_of_its_claims_is_open(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes, retention(database) as old:
        paid = await books.take_payment(lanes, book)
        await lanes.submit(book, refund(paid, "10", "CLM-MP331G7R-KEPT"), None)
    body = '{"rows":[{"refundId":"CLM-MP331G7R-KEPT"},{"refundId":"CLM-MP331G7R-NONE"}]}'
    store = (
        "INSERT INTO idempotency_keys SELECT 0, $1, 'POST /refunds/batch', $2, repeat('b', 64),"
        " 'bat_1', 201, NULL, $3, $4, $4"
    )
    then = clock.real_now() - DAY
    await look(database, store, book.book_id, "open", body, then)
    await look(database, store, book.book_id, "ended", body.replace("KEPT", "GONE"), then)
    async with retention(database) as old:
        assert (await old.go_round(clock.real_now()))["keys"] == 1
    assert [row["key"] for row in await look(database, KEYS)] == ["open"]


async def test_many_keys_go_in_steps(database: str) -> None:
    book = await open_book(database)
    await look(
        database,
        "INSERT INTO idempotency_keys SELECT 0, $1, 'POST /payments', 'k' || n, repeat('b', 64),"
        " NULL, 201, NULL, '{}', $2, $2 FROM generate_series(1, $3) AS n",
        book.book_id,
        clock.real_now() - DAY,
        2 * STEP + 1,
    )
    async with retention(database) as old:
        assert (await old.go_round(clock.real_now()))["keys"] == 2 * STEP + 1
    assert await look(database, KEYS) == []


async def test_markers_go_after_an_hour(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        await books.take_payment(lanes, book)
    made = len(await look(database, "SELECT FROM markers"))
    assert made == 2
    async with retention(database) as old:
        assert (await old.go_round(clock.real_now()))["markers"] == 0
        assert (await old.go_round(clock.real_now() + timedelta(minutes=61)))["markers"] == made


async def test_ended_deliveries_go_when_the_operator_says_so(database: str) -> None:
    async with staged(database) as stage, receiving() as receiver:
        endpoint = await stage.endpoint(receiver.url)
        await stage.pay()
        async with stage.delivering():
            await stage.until_status(endpoint, "succeeded")
        await stage.look("UPDATE deliveries SET status = 'dead_letter' WHERE event_number = 2")
        await stage.pay()
        await stage.look(
            "SELECT lane_fan_out_v1(0, $1, $2, 100)", stage.book.book_id, clock.real_now()
        )
        later = clock.real_now() + 31 * DAY
        async with retention(database) as old:
            assert (await old.go_round(later))["deliveries"] == 0, "by default they stay"
        async with retention(database, deliveries=30) as old:
            assert (await old.go_round(later - 2 * DAY))["deliveries"] == 0, "not before its time"
            assert (await old.go_round(later))["deliveries"] == 2
        left = [row["status"] for row in await stage.deliveries(endpoint)]
        assert left == ["pending", "pending"], "what has not ended stays"
        assert len(await stage.look("SELECT FROM events")) == 4
    await proved(database)


async def test_attempts_of_ended_claims_go_when_the_operator_says_so(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        names = [ClaimId(f"CLM-MP331G7R-000{number}") for number in range(3)]
        for name in names:
            await lanes.submit(book, refund(paid, "10", name), None)
        for name in names[:2]:
            await lanes.submit(book, books.start(name), None)
        await lanes.submit(book, books.outcome(names[0], 1000, "settled"), None)
    later = clock.real_now() + 31 * DAY
    async with retention(database) as old:
        assert (await old.go_round(later))["attempts"] == 0, "by default they stay"
    async with retention(database, attempts=30) as old:
        assert (await old.go_round(later - 2 * DAY))["attempts"] == 0, "not before its time"
        assert (await old.go_round(later))["attempts"] == 1
    left = await look(database, "SELECT claim_id FROM attempts")
    assert [row["claim_id"] for row in left] == [names[1]], "an open claim keeps its own"
    await proved(database)

"""Lanes over a real PostgreSQL: batches nobody can see, failures that stay with their command.

What a caller is told is compared with what stands in the tables, and the audit is clean at the end
of each test. What happens around COMMIT has a file of its own, `test_commit.py`.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec
import pytest

from clawback import clock
from clawback.claims.ending import CancelRefund
from clawback.db.embedded import EmbeddedPostgres
from clawback.errors import (
    IdempotencyConflict,
    InternalError,
    Overloaded,
    Refused,
    Unavailable,
)
from clawback.ids import BookId, ClaimId, Mint, PaymentId
from clawback.lanes.command import Command, Decided, Reads
from clawback.lanes.lane import Lane
from clawback.lanes.lanes import Lanes
from clawback.lanes.queue import MAX_BATCH, QUEUE_PER_BOOK, Outcome, Queue, Work
from clawback.lanes.state import Draft
from clawback.lanes.working import Rules
from clawback.route import Answer, BookRef, IdempotencyKey
from clawback.tables import RULES
from tests.conftest import new_database
from tests.support import books
from tests.support.books import bare_lane, open_book, open_lanes, proved, refund, shown


class Broken(Command, frozen=True, kw_only=True):
    """A command with a bug: it raises, or it writes what no CHECK allows."""

    payment_id: PaymentId
    is_late: bool

    def reads(self) -> Reads:
        return Reads(payments=(self.payment_id,))


def decide_broken(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    assert isinstance(command, Broken)
    payment = draft.known_payment(command.payment_id)
    if not command.is_late:
        raise RuntimeError("a bug in a decide")
    draft.put_payment(msgspec.structs.replace(payment, claimed_minor=10**12))
    return Decided()


WITH_BUGS = Rules(decide={**RULES.decide, Broken: decide_broken}, render=RULES.render)


@asynccontextmanager
async def held_head(dsn: str, book: BookRef) -> AsyncIterator[None]:
    """Another session holds the book's head row."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("BEGIN")
        await connection.execute("SELECT FROM heads WHERE book_id = $1 FOR UPDATE", book.book_id)
        yield
    finally:
        await connection.close()


async def count_claims(dsn: str) -> int:
    return int((await books.look(dsn, "SELECT count(*) FROM claims"))[0][0])


async def serve(lane: Lane, book: BookRef, commands: Sequence[Command]) -> list[Outcome]:
    """These commands in one batch."""
    loop = asyncio.get_running_loop()
    works = [Work(book, one, shown, None, loop.create_future()) for one in commands]
    await lane._serve(book.shard, works)
    return [work.future.result() for work in works if work.future is not None]


def history() -> list[Command]:
    """Commands that meet on few payments: created, paid late, refunded, too much, withdrawn."""
    wanted = [books.create(), books.create(local_minor=17, usd_e4=100), books.create()]
    commands: list[Command] = [*wanted]
    commands += [books.capture(one.payment_id, local_minor=one.amount_minor) for one in wanted[:2]]
    opened = [refund(one.payment_id, amount) for one in wanted for amount in ("10", "0.17", None)]
    commands += opened
    for one in opened[:3]:
        commands.append(books.start(one.claim_id, clock.real_now()))
    commands.append(books.outcome(opened[0].claim_id, 1_000, "settled"))
    commands.append(books.outcome(opened[1].claim_id, 17, "declined"))
    commands += [books.capture(wanted[2].payment_id, one) for one in ("failed", "completed")]
    commands += [refund(wanted[2].payment_id, "861.18"), refund(wanted[0].payment_id, "1")]
    return commands


async def test_batching_is_invisible(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: clock.milliseconds(books.START) * 1_000_000)
    commands = history()
    seen = []
    for cuts in ((len(commands),), itertools.repeat(1), itertools.cycle((3, 1, 5))):
        left, outcomes = list(commands), []
        async with new_database(server) as dsn, bare_lane(dsn) as lane:
            book = await open_book(dsn)
            for size in cuts:
                outcomes += await serve(lane, book, left[:size])
                left = left[size:]
                if not left:
                    break
            seen.append((outcomes, await books.hashes(dsn)))
            await proved(dsn)
    assert seen[0] == seen[1] == seen[2]
    codes = Counter(one.code for one in seen[0][0] if isinstance(one, Refused))
    assert codes["refund_exceeds_remaining"] >= 3, "some of them collide"


async def test_a_refused_command_changes_no_row(database: str) -> None:
    book, other = await open_book(database), await open_book(database, 2)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        unpaid = books.create()
        await lanes.submit(book, unpaid, None)
        claim = refund(paid, "10")
        await lanes.submit(book, claim, shown)
        await lanes.submit(book, books.start(claim.claim_id, clock.real_now()), None)
        before = await books.hashes(database)
        key = IdempotencyKey("/refund", "k", "0" * 64)
        for where, command, code in (
            (book, refund(paid, "851.19"), "refund_exceeds_remaining"),
            (book, refund(paid, "10.001"), "invalid_amount"),
            (book, refund(unpaid.payment_id, "1"), "payment_not_refundable"),
            (book, refund(PaymentId("TXN-MP331BTF-NONE"), "1"), "not_found"),
            (other, refund(paid, "1"), "not_found"),
            (other, books.start(claim.claim_id), "not_found"),
            (other, books.outcome(claim.claim_id, 1_000, "settled"), "not_found"),
            (other, books.capture(paid), "not_found"),
        ):
            refused = await lanes.submit(where, command, shown, key)
            assert isinstance(refused, Refused)
            assert refused.code == code
        assert await books.hashes(database) == before


@pytest.mark.parametrize("is_late", [False, True], ids=["in decide", "in apply"])
@pytest.mark.parametrize("place", range(5))
async def test_a_poisonous_command_fails_alone(
    server: EmbeddedPostgres, module_database: str, place: int, *, is_late: bool
) -> None:
    number = 10 + 2 * place + is_late
    book = await open_book(module_database, number)
    async with bare_lane(module_database, WITH_BUGS) as lane:
        wanted = [books.create() for _ in range(5)]
        await serve(lane, book, wanted)
        await serve(lane, book, [books.capture(one.payment_id) for one in wanted])
        commands: list[Command] = [refund(one.payment_id, "10") for one in wanted[:4]]
        commands.insert(place, Broken(payment_id=wanted[4].payment_id, is_late=is_late))
        outcomes = await serve(lane, book, commands)
    assert [isinstance(one, InternalError) for one in outcomes] == [
        position == place for position in range(5)
    ]
    assert lane.failures >= 2, "the batch, and the parts that it was split into, are counted"
    await proved(module_database)
    found = await books.look(
        module_database, "SELECT count(*) FROM claims WHERE book_id = $1", book.book_id
    )
    assert found[0][0] == 4


async def test_a_key_stands_for_one_request_with_identical_bytes(database: str) -> None:
    book, other = await open_book(database), await open_book(database, 2)
    async with open_lanes(database) as lanes, open_lanes(database) as others:
        paid = await books.take_payment(lanes, book)
        theirs = await books.take_payment(lanes, other)
        key = IdempotencyKey("/refund", "one", "a" * 64)
        async with held_head(database, book):
            asked = [
                asyncio.ensure_future(where.submit(book, refund(paid, "10"), shown, key))
                for _ in range(20)
                for where in (lanes, others)
            ]
            await books.until_somebody_waits(database, 2)
        answers = await asyncio.gather(*asked)
        told = [one for one in answers if isinstance(one, Answer)]
        assert len(told) == 40
        assert len({one.body for one in told}) == 1
        assert sum(not one.replayed for one in told) == 1, "one of them is the first"
        changed = msgspec.structs.replace(key, fingerprint="b" * 64)
        assert isinstance(
            await lanes.submit(book, refund(paid, "11"), shown, changed), IdempotencyConflict
        )
        for elsewhere in (IdempotencyKey("/cancel", "one", "a" * 64), None):
            fresh = await lanes.submit(book, refund(paid, "10"), shown, elsewhere)
            assert isinstance(fresh, Answer)
            assert not fresh.replayed
        fresh = await lanes.submit(other, refund(theirs, "10"), shown, key)
        assert isinstance(fresh, Answer)
        assert not fresh.replayed, "a key belongs to its book"
    assert await count_claims(database) == 4
    await proved(database)


async def test_a_refused_command_leaves_its_key_free(database: str) -> None:
    book = await open_book(database)
    key = IdempotencyKey("/refund", "early", "a" * 64)
    async with open_lanes(database) as lanes:
        wanted = books.create()
        await lanes.submit(book, wanted, None)
        early = await lanes.submit(book, refund(wanted.payment_id, "10"), shown, key)
        assert isinstance(early, Refused)
        await lanes.submit(book, books.capture(wanted.payment_id), None)
        later = await lanes.submit(book, refund(wanted.payment_id, "10"), shown, key)
        assert isinstance(later, Answer)
        assert (later.status, later.replayed) == (201, False)


async def test_a_key_lives_on_while_its_claim_is_open(database: str) -> None:
    book = await open_book(database)
    key = IdempotencyKey("/refund", "old", "a" * 64)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        first = refund(paid, "10")
        made = await lanes.submit(book, first, shown, key)
        assert isinstance(made, Answer)
        await books.look(database, "UPDATE idempotency_keys SET expires_at = created_at")
        again = await lanes.submit(book, refund(paid, "10"), shown, key)
        assert isinstance(again, Answer)
        assert (again.replayed, again.body) == (True, made.body)
        cancel = CancelRefund(claim_id=first.claim_id, reason=None, actor=books.KEY)
        assert isinstance(await lanes.submit(book, cancel, shown), Answer)
        fresh = await lanes.submit(book, refund(paid, "10"), shown, key)
        assert isinstance(fresh, Answer)
        assert not fresh.replayed, "its time is up and nothing of it is open"
    assert await count_claims(database) == 2


async def test_a_caller_that_goes_away_leaves_its_command_and_its_key(database: str) -> None:
    book = await open_book(database)
    key = IdempotencyKey("/refund", "gone", "a" * 64)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        async with held_head(database, book):
            first = asyncio.ensure_future(lanes.submit(book, refund(paid, "1"), shown))
            await books.until_somebody_waits(database)
            asked = asyncio.ensure_future(lanes.submit(book, refund(paid, "10"), shown, key))
            await asyncio.sleep(0.02)
            asked.cancel()
            await asyncio.sleep(0)
        assert isinstance(await first, Answer)
        again = await lanes.submit(book, refund(paid, "10"), shown, key)
    assert isinstance(again, Answer)
    assert again.replayed, "its answer was kept for it"
    assert await count_claims(database) == 2


class Counting(Mint):
    """Mints names that the clock has no part in."""

    def claim(self, unix_ms: int) -> ClaimId:
        assert unix_ms > 0
        return ClaimId(f"CLM-MINTEDAN-{books.number()}")


@pytest.mark.parametrize("where", ["in one batch", "in another process"])
async def test_a_name_that_is_taken_is_minted_anew(database: str, where: str) -> None:
    book = await open_book(database)
    async with bare_lane(database) as lane, bare_lane(database) as other:
        lane._mint = other._mint = Counting()
        wanted = books.create()
        await serve(lane, book, [wanted, books.capture(wanted.payment_id)])
        same = "CLM-MP331G7R-SAME"
        commands = [refund(wanted.payment_id, amount, same) for amount in ("10", "20")]
        if where == "in one batch":
            answers = await serve(lane, book, commands)
        else:
            answers = await serve(lane, book, commands[:1]) + await serve(other, book, commands[1:])
    names = [one.body.decode() for one in answers if isinstance(one, Answer)]
    assert len(set(names)) == 2
    assert same in names
    stored = await books.look(database, "SELECT claim_id, amount_minor FROM claims")
    assert {(row["claim_id"], row["amount_minor"]) for row in stored} == {
        (names[0], 1_000),
        (names[1], 2_000),
    }
    await proved(database)


async def test_a_head_row_held_elsewhere_is_unavailable_and_nothing_is_done(database: str) -> None:
    book, neighbour = await open_book(database), await open_book(database, 2, shard=1)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        theirs = await books.take_payment(lanes, neighbour)
        before = await books.hashes(database)
        begun = clock.monotonic()
        async with held_head(database, book):
            asked = lanes.submit(book, refund(paid, "10"), shown)
            beside = await lanes.submit(neighbour, refund(theirs, "10"), shown)
            assert isinstance(beside, Answer), "another shard goes on"
            assert not asked.done()
            assert isinstance(await asked, Unavailable)
        assert 4.5 < clock.monotonic() - begun < 9
        after = await books.hashes(database)
        assert after["idempotency_keys"] == before["idempotency_keys"]
        assert await count_claims(database) == 1
        assert isinstance(await lanes.submit(book, refund(paid, "10"), shown), Answer)
    await proved(database)


async def test_a_full_queue_refuses_at_once_and_loses_nothing(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book, 10**9)
        async with held_head(database, book):
            first = lanes.submit(book, refund(paid, "0.01"), shown)
            await asyncio.sleep(0.05)
            queued = [
                lanes.submit(book, refund(paid, "0.01"), shown) for _ in range(QUEUE_PER_BOOK + 1)
            ]
            await asyncio.sleep(0.05)
            assert [one.done() for one in queued] == [False] * QUEUE_PER_BOOK + [True]
            assert isinstance(await queued.pop(), Overloaded)
        answers = [await one for one in (first, *queued)]
    assert all(isinstance(one, Answer) for one in answers)
    assert await count_claims(database) == QUEUE_PER_BOOK + 1
    await proved(database)


def test_a_busy_book_does_not_starve_the_others() -> None:
    queue = Queue()
    refs = [BookRef(0, BookId(f"bk_{name}"), "M", "M", "test") for name in "ab"]
    command = refund(PaymentId("TXN-MP331BTF-0000"), "1")
    for book, many in zip(refs, (QUEUE_PER_BOOK, 2), strict=True):
        for _ in range(many):
            assert queue.put(Work(book, command, None, None, None))
    assert not queue.put(Work(refs[0], command, None, None, None)), "its share is full"
    assert queue.put(Work(refs[1], command, None, None, None)), "the other's is not"
    first = queue.take()
    assert len(first) == MAX_BATCH
    assert [work.book.book_id for work in first[:7]] == [
        "bk_a", "bk_b", "bk_a", "bk_b", "bk_a", "bk_b", "bk_a",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["begin", "load", "apply", "commit"])
async def test_a_backend_killed_at_any_step_leaves_one_effect(
    server: EmbeddedPostgres, database: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await open_book(database)
    killed: list[int] = []
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        store = lanes._lanes[0]._store
        usual = getattr(store, step)

        async def killing(*arguments: object) -> object:
            if not killed:
                assert store._connection is not None
                killed.append(store._connection.get_server_pid())
                await books.look(server.superuser_dsn, "SELECT pg_terminate_backend($1)", *killed)
            return await usual(*arguments)

        monkeypatch.setattr(store, step, killing)
        answers = await asyncio.gather(
            *(lanes.submit(book, refund(paid, "10"), shown) for _ in range(3))
        )
    assert killed, "the fault fired"
    assert all(isinstance(one, Answer) for one in answers)
    assert await count_claims(database) == 3
    await proved(database)


async def test_a_deadlock_is_tried_again_and_nobody_hears_of_it(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        rival = await asyncpg.connect(database)
        await rival.execute("BEGIN")
        await rival.execute("SELECT FROM payments WHERE payment_id = $1 FOR UPDATE", paid)
        asked = lanes.submit(book, refund(paid, "10"), shown)
        await books.until_somebody_waits(database)
        await rival.execute("SELECT FROM heads FOR UPDATE")
        await rival.execute("COMMIT")
        await rival.close()
        assert isinstance(await asked, Answer)
        assert lanes.counters["retries"] == 1
    assert await count_claims(database) == 1
    await proved(database)


async def test_draining_finishes_what_is_queued_and_takes_no_more(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        asked = [lanes.submit(book, refund(paid, "1"), shown) for _ in range(50)]
        await asyncio.sleep(0)
        await lanes.drain(10)
        answers = await asyncio.gather(*asked)
        assert all(isinstance(one, Answer) for one in answers)
        assert isinstance(await lanes.submit(book, refund(paid, "1"), shown), Unavailable)
        assert not lanes.post(book, refund(paid, "1"))
    assert await count_claims(database) == 50


async def test_draining_refuses_what_it_cannot_finish(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        async with held_head(database, book):
            asked = [lanes.submit(book, refund(paid, "1"), shown)]
            await asyncio.sleep(0.05)
            asked += [lanes.submit(book, refund(paid, "1"), shown) for _ in range(3)]
            await lanes.drain(0.1)
            answers = await asyncio.wait_for(asyncio.gather(*asked), 5)
    assert all(isinstance(one, Unavailable) for one in answers)
    assert await count_claims(database) == 0


async def _volley(lanes: Lanes, refs: Sequence[BookRef], paid: Sequence[PaymentId]) -> Counter[str]:
    """Fifty refunds of 20 MXN on each of the payments, in turn."""
    wanted = [
        lanes.submit(book, refund(one, "20"), shown)
        for _ in range(50)
        for book, one in zip(refs, paid, strict=True)
    ]
    outcomes = await asyncio.gather(*wanted)
    return Counter(one.code if isinstance(one, Refused) else "given" for one in outcomes)


async def test_several_processes_on_hot_books_keep_the_cap_without_deadlocks(
    database: str,
) -> None:
    refs = [await open_book(database, number) for number in range(1, 4)]
    async with (
        open_lanes(database) as one,
        open_lanes(database) as two,
        open_lanes(database) as three,
    ):
        paid = [await books.take_payment(one, book) for book in refs]
        async with held_head(database, refs[0]):
            volleys = asyncio.gather(
                _volley(one, refs, paid),
                _volley(two, refs[::-1], paid[::-1]),
                _volley(three, [refs[1], refs[2], refs[0]], [paid[1], paid[2], paid[0]]),
            )
            await books.until_somebody_waits(database, 3)
        told = await volleys
        counters = [lanes.counters for lanes in (one, two, three)]
    assert [each["retries"] for each in counters] == [0, 0, 0], "who comes second waits"
    assert [each["failures"] for each in counters] == [0, 0, 0], "and no batch fails"
    total = sum(told, Counter())
    assert total == {"given": 3 * 43, "refund_exceeds_remaining": 450 - 3 * 43}
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert (await books.look(database, query))[0][0] == 0
    await proved(database)

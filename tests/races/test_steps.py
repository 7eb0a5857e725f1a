"""Lanes stepped through their statements in every order: all end as one batch after the other.

Two sessions of six steps have 924 orders, three of four have 34,650. What an order leaves in a book
of its own is compared with what the same batches leave one after the other; whoever waits does so
for the head row, nobody is answered before COMMIT, no batch is tried again, nothing deadlocks. The
control loads without the head lock, and must be caught.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg
import msgspec
import pytest

from clawback.claims.disputes import RecordDispute
from clawback.claims.ending import CancelRefund
from clawback.claims.fold import RecordNotice, Report
from clawback.db.releases import this_release
from clawback.errors import Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.command import Command
from clawback.lanes.queue import Outcome, Work
from clawback.lanes.records import Fact
from clawback.payments.model import PERCENT_E4, SettleDue
from clawback.providers.port import DisputeNotice
from clawback.route import Answer, BookRef, IdempotencyKey
from tests.support import books
from tests.support.books import KEY, PROVIDER, START
from tests.support.counts import LONG, count, sampled, seeded
from tests.support.sessions import (
    Order,
    Stage,
    all_orders,
    serial_orders,
    some_orders,
    staged,
    work,
)

STEPS: Final = 6
SAMPLE: Final = count(4, 924)
THREES: Final = count(5, 2_000)
LOSSES: Final = count(5, 200)
AT_ONCE: Final = 40
"""So many books are filled in one batch."""

pytestmark = pytest.mark.timeout(3_600 if LONG else 120)


class Scene:
    """A book with what was done in it before, and the batches that are to meet in it."""

    def __init__(self, book: BookRef, before: Sequence[Command], *batches: list[Work]) -> None:
        """`before` is done first, in one batch."""
        self.book = book
        self.before = before
        self.batches = batches

    def labels(self) -> dict[str, str]:
        """Names that differ from scene to scene, and what stands for them."""
        found: dict[str, str] = {self.book.book_id: "book"}
        commands = [*self.before, *(one.command for works in self.batches for one in works)]
        for place, command in enumerate(commands):
            for kind in ("claim_id", "payment_id", "attempt_id"):
                name = getattr(command, kind, None)
                if name is not None and name not in found:
                    found[str(name)] = f"{kind}-{place}"
            fact = getattr(command, "fact", None)
            if fact is not None:
                found[fact.event_key] = "event"
        return found


Made = Callable[[BookRef], Scene]


def paid(*, fee_percent: int = 0) -> tuple[PaymentId, list[Command]]:
    """A payment of 861.18 MXN, captured."""
    fee = (fee_percent * PERCENT_E4 // 100, 0)
    wanted = msgspec.structs.replace(books.create(), default_fee=fee)
    return wanted.payment_id, [wanted, books.capture(wanted.payment_id)]


def two_refunds(book: BookRef) -> Scene:
    """Of two there is room for one."""
    name, before = paid()
    asked = [[work(book, books.refund(name, "600"))] for _ in range(2)]
    return Scene(book, before, *asked)


def three_refunds(book: BookRef) -> Scene:
    """Of three there is room for two."""
    name, before = paid()
    return Scene(book, before, *([work(book, books.refund(name, "400"))] for _ in range(3)))


def refund_and_chargeback(book: BookRef) -> Scene:
    """The refund first: it is canceled; second: it is refused."""
    name, before = paid()
    event = f"ntc_{books.number()}"
    opened = RecordDispute(
        payment_id=name,
        claim_id=ClaimId(f"CLM-MP331G7R-{books.number()}"),
        notice=DisputeNotice(
            id=event, case=event, kind="chargeback", charge_reference="R", status="opened",
            amount_minor=books.CAPTURED, currency="MXN", at=START,
        ),
        fact=a_fact(event, None),
        actor=PROVIDER,
    )  # fmt: skip
    return Scene(book, before, [work(book, books.refund(name, "600"))], [work(book, opened)])


def refund_and_cancel(book: BookRef) -> Scene:
    """Room is there only after the other was withdrawn."""
    name, before = paid()
    earlier = books.refund(name, "600")
    cancel = CancelRefund(claim_id=earlier.claim_id, reason=None, actor=KEY)
    asked = books.refund(name, "400")
    return Scene(book, [*before, earlier], [work(book, asked)], [work(book, cancel)])


def refund_and_credit(book: BookRef) -> Scene:
    """Asked first it waits and is topped up; asked second it takes what was settled."""
    poor, before = paid(fee_percent=100)
    rich, more = paid()
    settle = SettleDue(payment_id=rich)
    asked = books.refund(poor, "600")
    return Scene(book, [*before, *more], [work(book, asked)], [work(book, settle)])


def refund_and_fact(book: BookRef) -> Scene:
    """A declined refund frees its share of the cap."""
    name, before = paid()
    earlier = books.refund(name, "600")
    before = [*before, earlier, books.start(earlier.claim_id)]
    declined = books.outcome(earlier.claim_id, 60_000, "declined")
    return Scene(book, before, [work(book, books.refund(name, "400"))], [work(book, declined)])


def two_facts(book: BookRef) -> Scene:
    """One notice, told twice at once."""
    name, before = paid()
    sent, event = books.refund(name, "600"), f"ntc_{books.number()}"

    def told() -> RecordNotice:
        fact = a_fact(event, sent.claim_id)
        report = Report(status="settled", amount_minor=60_000, currency="MXN", at=START)
        return RecordNotice(claim_id=sent.claim_id, fact=fact, report=report, actor=PROVIDER)

    before = [*before, sent, books.start(sent.claim_id)]
    return Scene(book, before, [work(book, told())], [work(book, told())])


def notice_and_outcome(book: BookRef) -> Scene:
    """The provider tells by itself what our call's answer says too."""
    name, before = paid()
    sent, event = books.refund(name, "600"), f"ntc_{books.number()}"
    report = Report(status="settled", amount_minor=60_000, currency="MXN", at=START)
    told = RecordNotice(
        claim_id=sent.claim_id, fact=a_fact(event, sent.claim_id), report=report, actor=PROVIDER
    )
    before = [*before, sent, books.start(sent.claim_id)]
    ended = books.outcome(sent.claim_id, 60_000, "settled")
    return Scene(book, before, [work(book, told)], [work(book, ended)])


def two_workers(book: BookRef) -> Scene:
    """Both found the same claim due."""
    name, before = paid()
    due = books.refund(name, "600")
    starts = [[work(book, books.start(due.claim_id))] for _ in range(2)]
    return Scene(book, [*before, due], *starts)


def worker_and_cancel(book: BookRef) -> Scene:
    """Withdrawn before the attempt is there, or refused after it."""
    name, before = paid()
    due = books.refund(name, "600")
    cancel = CancelRefund(claim_id=due.claim_id, reason=None, actor=KEY)
    first = work(book, books.start(due.claim_id))
    return Scene(book, [*before, due], [first], [work(book, cancel)])


def one_key_twice(book: BookRef) -> Scene:
    """Two copies of one request, and room for both."""
    name, before = paid()
    key = IdempotencyKey("/refund", "same", "a" * 64)
    copies = [[work(book, books.refund(name, "100"), key)] for _ in range(2)]
    return Scene(book, before, *copies)


def refund_and_credit_for_an_older_one(book: BookRef) -> Scene:
    """What is settled goes to the one that waited, and only the rest to the newer one."""
    poor, before = paid(fee_percent=100)
    rich, more = paid()
    waiting, newer = books.refund(poor, "500"), books.refund(poor, "361.18")
    settle = SettleDue(payment_id=rich)
    before = [*before, *more, waiting]
    return Scene(book, before, [work(book, newer)], [work(book, settle)])


PAIRS: Final[tuple[Made, ...]] = (
    two_refunds, refund_and_chargeback, refund_and_cancel, refund_and_credit,
    refund_and_credit_for_an_older_one, refund_and_fact, two_facts, notice_and_outcome,
    two_workers, worker_and_cancel, one_key_twice,
)  # fmt: skip
LOST: Final = (two_refunds, notice_and_outcome)


def a_fact(event: str, object_id: str | None) -> Fact:
    """Something a provider tells by itself."""
    return Fact(
        fact_id=f"fct_{books.number()}", book_id=None, provider="sandbox",
        provider_account="default", source="notice", event_key=event, type="refund.settled",
        reference="R", object_id=object_id, received_at=START,
    )  # fmt: skip


_STATE: Final = """
SELECT json_build_array(
    (SELECT json_agg(to_jsonb(p) - '{created_at,updated_at,completed_at,settle_at,settled_at,due_at,
        refund_deadline_at,payment_id,open_dispute_id}'::text[] ORDER BY p.payment_id)
     FROM payments AS p WHERE p.book_id = $1),
    (SELECT json_agg(json_build_array(c.claim_id, c.kind, c.status, c.pending_reason, c.resolution,
        c.version, c.amount_usd_e4, c.claimed_share_minor, c.forced_share_minor, c.frozen_usd_e4,
        c.missing_usd_e4, c.payable_usd_e4, c.released_usd_e4, c.sources, c.attempts,
        c.needs_review) ORDER BY c.claim_id)
     FROM claims AS c WHERE c.book_id = $1),
    (SELECT json_agg(json_build_array(e.height, e.type, e.cause) ORDER BY e.height)
     FROM entries AS e WHERE e.book_id = $1),
    (SELECT json_agg(json_build_array(q.height, q.leg, q.account, q.amount, q.balance_after)
        ORDER BY q.height, q.leg)
     FROM postings AS q WHERE q.book_id = $1),
    (SELECT json_agg(json_build_array(v.number, v.type, v.object_id, v.version, v.to_status)
        ORDER BY v.number)
     FROM events AS v WHERE v.book_id = $1),
    (SELECT json_agg(json_build_array(a.currency, a.name, a.balance, a.seq)
        ORDER BY a.currency, a.name)
     FROM accounts AS a WHERE a.book_id = $1),
    (SELECT json_agg(json_build_array(k.route, k.key, k.body))
     FROM idempotency_keys AS k WHERE k.book_id = $1),
    (SELECT json_agg(json_build_array(t.claim_id, t.number, t.operation, t.outcome)
        ORDER BY t.claim_id, t.number)
     FROM attempts AS t WHERE t.book_id = $1),
    (SELECT json_agg(json_build_array(f.event_key, f.type) ORDER BY f.received_at)
     FROM facts AS f WHERE f.book_id = $1)
)::text
"""


def said(outcomes: Sequence[Sequence[Outcome]]) -> str:
    """What all callers were told."""
    return str(
        [
            one.code if isinstance(one, Refused) else (one.status, one.body, one.replayed)
            for told in outcomes
            for one in told
        ]
    )


async def end_of(stage: Stage, scene: Scene, outcomes: Sequence[Sequence[Outcome]]) -> str:
    """All that can be seen of how a scene ended, under names that all such scenes share."""
    row: str = await stage.watcher.fetchval(_STATE, scene.book.book_id)
    seen = f"{said(outcomes)} {row}"
    for name, label in scene.labels().items():
        seen = seen.replace(name, label)
    return seen


class Books:
    """Numbers of books that nobody has yet."""

    def __init__(self, dsn: str) -> None:
        """None so far."""
        self.dsn = dsn
        self.number = 0

    async def scenes(self, stage: Stage, make: Made, many: int) -> list[Scene]:
        """So many scenes, each in a book of its own, filled together."""
        made = []
        for _ in range(many):
            self.number += 1
            made.append(make(await books.open_book(self.dsn, self.number, settle_hours=0)))
        for place in range(0, many, AT_ONCE):
            works = [
                work(scene.book, command)
                for scene in made[place : place + AT_ONCE]
                for command in scene.before
            ]
            await stage.sessions[0].serve(works)
            told = [one.future.result() for one in works if one.future is not None]
            assert all(isinstance(one, Answer) for one in told), told
        return made


class Ends:
    """The ends that batches may come to: those of all orders in which they come one by one."""

    def __init__(self, stage: Stage, of: Books, make: Made) -> None:
        """None known yet."""
        self._stage, self._books, self._make = stage, of, make
        self.known: dict[str, Order] = {}

    async def learn(self, sessions: int) -> None:
        """Play them one after the other."""
        orders = serial_orders(sessions, STEPS)
        scenes = await self._books.scenes(self._stage, self._make, len(orders))
        for order, scene in zip(orders, scenes, strict=True):
            outcomes = await self._stage.play(order, scene.batches)
            self.known[await end_of(self._stage, scene, outcomes)] = order
        assert not self._stage.waited, "one after the other: nobody has to wait"

    async def check(self, orders: Sequence[Order]) -> list[str]:
        """What is wrong with how these orders ended."""
        wrong: list[str] = []
        for place in range(0, len(orders), AT_ONCE):
            some = orders[place : place + AT_ONCE]
            scenes = await self._books.scenes(self._stage, self._make, len(some))
            for order, scene in zip(some, scenes, strict=True):
                outcomes = await self._stage.play(order, scene.batches)
                if (end := await end_of(self._stage, scene, outcomes)) not in self.known:
                    wrong.append(f"{order} ended as none would one by one: {end}")
        return wrong


def faults(stage: Stage, before: int, after: int) -> list[str]:
    """What is wrong with the way there, whatever the end."""
    wrong = []
    if after != before:
        wrong.append(f"{after - before} deadlocks")
    if stage.retries:
        wrong.append(f"{stage.retries} batches had to be tried again")
    if stage.early:
        wrong.append(f"{stage.early} answers before COMMIT had returned")
    if stage.waited.keys() - {"load"}:
        wrong.append(f"waited elsewhere than at the head row: {stage.waited}")
    if not stage.waited:
        wrong.append("nobody ever waited: the orders did not cross")
    return wrong


async def tried(dsn: str, make: Made, orders: Sequence[Order]) -> list[str]:
    """Play these orders and those one by one; everything that is wrong."""
    sessions = max(max(order) for order in orders) + 1
    async with staged(dsn, sessions) as stage:
        before = await stage.deadlocks()
        ends = Ends(stage, Books(dsn), make)
        await ends.learn(sessions)
        wrong = await ends.check(orders)
        wrong += faults(stage, before, await stage.deadlocks())
        print(f"{make.__name__}: {len(orders)} orders, {len(ends.known)} ends, {stage.waited}")
    return wrong


def orders_of_two() -> list[Order]:
    """All 924 in a long run, else some of them."""
    if SAMPLE >= 924:
        return list(all_orders(2, STEPS))
    return some_orders(2, STEPS, SAMPLE, seeded())


@pytest.mark.parametrize("make", PAIRS, ids=lambda make: make.__name__)
async def test_all_orders_end_as_one_after_the_other(database: str, make: Made) -> None:
    assert await tried(database, make, orders_of_two()) == []
    await books.proved(database)


async def test_orders_of_three_end_as_one_after_the_other(database: str) -> None:
    orders = some_orders(3, 4, THREES, seeded())
    assert await tried(database, three_refunds, orders) == []
    await books.proved(database)


def test_there_are_as_many_orders_as_there_must_be() -> None:
    assert len(set(all_orders(2, 6))) == 924
    assert sum(1 for _ in all_orders(3, 4)) == 34_650


def test_a_sample_of_orders_holds_one_that_surely_crosses() -> None:
    for many in (1, SAMPLE):
        assert (0, 1) * STEPS in some_orders(2, STEPS, many, seeded())


@pytest.mark.parametrize("make", sampled(PAIRS, every=2), ids=lambda make: make.__name__)
async def test_one_batch_of_both_ends_as_one_after_the_other(database: str, make: Made) -> None:
    """In one batch the lane's order decides, whichever it is."""
    async with staged(database, 2) as stage:
        shelf = Books(database)
        ends = Ends(stage, shelf, make)
        await ends.learn(2)
        for order, scene in zip(((0, 1), (1, 0)), await shelf.scenes(stage, make, 2), strict=True):
            (one,), (two,) = scene.batches
            await stage.sessions[0].serve([(one, two)[place] for place in order])
            told = [[it.future.result()] for it in (one, two) if it.future is not None]
            assert await end_of(stage, scene, told) in ends.known, order
    await books.proved(database)


@pytest.mark.parametrize("make", LOST, ids=lambda make: make.__name__)
async def test_an_answer_to_commit_that_is_lost_in_any_order(database: str, make: Made) -> None:
    """The first session never hears of its COMMIT, which had its effect or had none."""
    draw, lost = seeded(), Counter[str]()
    async with staged(database, 2) as stage:
        shelf = Books(database)
        ends = Ends(stage, shelf, make)
        await ends.learn(2)
        first = stage.sessions[0].store
        for lose in ("before", "after"):
            scenes = await shelf.scenes(stage, make, LOSSES)
            orders = some_orders(2, STEPS + 2, LOSSES, draw)
            for order, scene in zip(orders, scenes, strict=True):
                first.lose = lose
                outcomes = await stage.play(order, scene.batches)
                lost[lose] += first.lose is None  # a batch that changes nothing has no COMMIT
                first.lose = None
                assert await end_of(stage, scene, outcomes) in ends.known, (lose, order)
        assert lost["before"] * lost["after"] > 0, "the faults fired"
        assert stage.retries == lost["before"], "run again only where COMMIT had no effect"
        assert await stage.deadlocks() == 0
    await books.proved(database)


async def test_books_named_in_any_order_are_locked_in_one(database: str) -> None:
    """Two batches name two books the other way round, and have to wait for both of them."""
    one, two = await books.open_book(database, 1), await books.open_book(database, 2)
    async with staged(database, 2) as stage:
        names: dict[BookRef, PaymentId] = {}
        for book in (one, two):
            names[book], before = paid()
            await stage.sessions[0].serve([work(book, command) for command in before])
        holders = [await asyncpg.connect(database) for _ in names]
        for holder, book in zip(holders, names, strict=True):
            await holder.execute("BEGIN")
            query = "SELECT FROM heads WHERE book_id = $1 FOR UPDATE"
            await holder.fetch(query, book.book_id)
        batches = [
            [work(book, books.refund(names[book], "1")) for book in order]
            for order in ((one, two), (two, one))
        ]
        playing = asyncio.create_task(stage.play((0, 0, 0, 1, 1, 1), batches))
        async with asyncio.timeout(20):
            await stage.sessions[1].stuck.wait()
        for holder in reversed(holders):  # who wanted the second first has it now
            await holder.close()
            await asyncio.sleep(0.1)
        outcomes = await playing
        assert all(isinstance(one, Answer) for told in outcomes for one in told)
        assert (stage.retries, await stage.deadlocks()) == (0, 0)
        assert stage.sessions[0].waited["load"] > 0
    await books.proved(database)


def unlocked() -> str:
    """The loading function, without its lock."""
    (load,) = (text for text in this_release().functions if "FUNCTION lane_load_v1" in text)
    lock = "        FOR UPDATE\n    ) AS h;"
    assert load.count(lock) == 1, "the statement that reads the head rows locks them"
    return load.replace(lock, "    ) AS h;")


async def test_the_control_loads_without_the_head_lock(database: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(unlocked())
    await owner.close()
    wrong = await tried(database, two_refunds, some_orders(2, STEPS, 8, seeded()))
    assert any("tried again" in one or "elsewhere" in one for one in wrong), wrong

"""Bundles: a batch of their own, kept or dropped whole, in a real database."""

import asyncio

import pytest

from clawback.claims.batches import BatchDone, BatchRefused, RefundBatch
from clawback.claims.model import OpenRefund
from clawback.claims.rows import GivenRow
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, KeyId
from clawback.lanes.command import Command
from clawback.lanes.queue import LARGE_PER_BOOK, Queue, Work
from clawback.lanes.records import Claim
from clawback.route import Answer, BookRef, IdempotencyKey, Kept
from tests.support.books import START, create, hashes, look, open_book, open_lanes, proved, refund
from tests.support.books import take_payment as captured

pytestmark = pytest.mark.timeout(120)


def bundle(*parts: OpenRefund, dry: bool = False, whole: bool = False) -> RefundBatch:
    return RefundBatch(
        batch_id="bat_1",
        parts=parts,
        rows=tuple(GivenRow(transaction_id=part.payment_id) for part in parts),
        is_dry=dry,
        all_or_nothing=whole,
        token="0" * 64 if dry else None,
        key_id=KeyId("key_1"),
        real_now=START,
    )


def work(book: BookRef, command: Command) -> Work:
    return Work(book, command, None, None, None)


def told(kept: Kept[BatchDone]) -> list[str]:
    assert kept.value is not None
    return [
        one.outcome.code if isinstance(one.outcome, Refused) else one.outcome.status
        for one in kept.value.rows
    ]


def book_of(number: int) -> BookRef:
    return BookRef(0, BookId(f"bk_{number}"), "MCH-1", "Shop", "test")


def test_a_large_command_has_a_batch_to_itself() -> None:
    one, two = book_of(1), book_of(2)
    queue = Queue()
    small, large = create(), bundle()
    for book, command in ((one, small), (one, large), (one, small), (two, small), (two, small)):
        assert queue.put(work(book, command))
    batches = []
    while queue.size:
        batches.append([item.command for item in queue.take()])
    assert sum(map(len, batches)) == 5
    assert [large] in batches
    assert all(len(batch) == 1 for batch in batches if large in batch)


def test_a_book_has_few_large_commands_waiting() -> None:
    queue = Queue()
    taken = [queue.put(work(book_of(1), bundle())) for _ in range(LARGE_PER_BOOK + 2)]
    assert taken == [True] * LARGE_PER_BOOK + [False] * 2
    assert queue.put(work(book_of(1), create()))


async def test_accepted_parts_enter_and_refused_ones_do_not(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        payment = await captured(lanes, book)
        kept: Kept[BatchDone] = Kept()
        parts = [refund(payment, amount) for amount in ("800", "800", "61.18", "0.01")]
        await lanes.submit(book, bundle(*parts), kept)
        assert told(kept) == [
            "pending", "refund_exceeds_remaining", "pending", "refund_exceeds_remaining",
        ]  # fmt: skip
    found = await look(database, "SELECT claimed_minor FROM payments")
    assert found[0][0] == 86_118
    assert len(await look(database, "SELECT 1 FROM claims")) == 2
    await proved(database)


@pytest.mark.parametrize("dry", [True, False])
async def test_what_is_dropped_leaves_no_trace(database: str, *, dry: bool) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        payment = await captured(lanes, book)
        before = await hashes(database)
        command = bundle(refund(payment, "1"), refund(payment, "900"), dry=dry, whole=not dry)
        outcome = await lanes.submit(book, command, Kept())
        assert isinstance(outcome, Answer if dry else BatchRefused)
        after = await hashes(database)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == ({"idempotency_keys"} if dry else set())
        kept: Kept[Claim] = Kept()
        await lanes.submit(book, refund(payment, None), kept)
        assert kept.value is not None, "the control: the whole is still there"
    await proved(database)


async def test_a_name_that_another_had_first_is_minted_anew(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        payment = await captured(lanes, book)
        taken = ClaimId("CLM-MP331G7R-AAAA")
        assert isinstance(await lanes.submit(book, refund(payment, "1", taken), None), Answer)
    async with open_lanes(database) as lanes:
        kept: Kept[BatchDone] = Kept()
        parts = [refund(payment, "1", name) for name in ("CLM-MP331G7R-BBBB", taken)]
        await lanes.submit(book, bundle(*parts), kept)
        assert told(kept) == ["pending", "pending"]
        assert lanes.counters["retries"] == 1
    assert len(await look(database, "SELECT 1 FROM claims")) == 3
    await proved(database)


async def test_copies_of_a_bundle_under_one_key_are_one(database: str) -> None:
    book = await open_book(database)
    key = IdempotencyKey("POST /refunds/batch", "k", "f" * 64)

    def shown(done: BatchDone) -> Answer:
        names = [one.outcome.claim_id for one in done.rows if isinstance(one.outcome, Claim)]
        return Answer(201, ",".join(names).encode())

    async with open_lanes(database) as lanes:
        payment = await captured(lanes, book)
        copies = [bundle(refund(payment, "1"), refund(payment, "2")) for _ in range(4)]
        answers = await asyncio.gather(*(lanes.submit(book, copy, shown, key) for copy in copies))
    assert len({answer.body for answer in answers if isinstance(answer, Answer)}) == 1
    assert [answer.replayed for answer in answers if isinstance(answer, Answer)].count(True) == 3
    assert len(await look(database, "SELECT 1 FROM claims")) == 2
    await proved(database)


async def test_others_are_served_before_and_after(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        payment = await captured(lanes, book)
        many = bundle(*(refund(payment, "0.01") for _ in range(300)))
        others = [refund(payment, "0.01") for _ in range(50)]
        outcomes = await asyncio.gather(
            *(lanes.submit(book, one, Kept()) for one in (*others[:25], many, *others[25:]))
        )
    assert not [one for one in outcomes if isinstance(one, Refused)]
    assert len(await look(database, "SELECT 1 FROM claims")) == 350
    await proved(database)

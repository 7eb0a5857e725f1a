"""Claims that wait for funds, more of them than one commit serves or one load reads.

The queue is by deadline, then age, however settling, new refunds and follow-ups meet in a batch; in
the end nobody waits while there is money.
"""

from collections.abc import Sequence

import pytest

from clawback.lanes.command import Command
from clawback.lanes.lane import Lane
from clawback.lanes.queue import Work
from clawback.payments.model import SettleDue
from clawback.route import BookRef
from tests.support import books
from tests.support.books import bare_lane, open_book, open_lanes, proved, refund, shown

MANY = 230
STANDING = """
SELECT h.waiting, h.top_up_due, a.balance
FROM heads AS h JOIN accounts AS a USING (shard, book_id) WHERE a.name = 'available'
"""


async def serve(lane: Lane, book: BookRef, commands: Sequence[Command]) -> None:
    """These commands in one batch."""
    await lane._serve(book.shard, [Work(book, one, shown, None, None) for one in commands])


async def follow(lane: Lane) -> int:
    """Whatever is queued, batch by batch; how many batches that took."""
    taken = 0
    while lane.waiting:
        await lane._serve(*await lane._turns.take())
        taken += 1
    return taken


async def waiting_refunds(dsn: str, lane: Lane, book: BookRef, many: int) -> list[str]:
    """So many refunds of payments whose fee ate all of it; their names, oldest first."""
    wanted = [books.create(100, 17) for _ in range(many)]
    await serve(lane, book, wanted)
    await books.look(dsn, "UPDATE payments SET percent_fee_usd_e4 = amount_usd_e4")
    await serve(
        lane, book, [books.capture(one.payment_id, local_minor=one.amount_minor) for one in wanted]
    )
    asked = [refund(one.payment_id, None) for one in wanted]
    await serve(lane, book, asked)
    return [one.claim_id for one in asked]


async def sources(lane: Lane, book: BookRef, many: int, usd_e4: int) -> list[SettleDue]:
    """Captured payments that are due to settle."""
    wanted = [books.create(usd_e4, 17) for _ in range(many)]
    await serve(lane, book, wanted)
    await serve(
        lane, book, [books.capture(one.payment_id, local_minor=one.amount_minor) for one in wanted]
    )
    return [SettleDue(payment_id=one.payment_id) for one in wanted]


async def test_work_that_follows_is_done_without_being_asked_for(database: str) -> None:
    book = await open_book(database, settle_hours=0)
    async with bare_lane(database) as lane:
        await waiting_refunds(database, lane, book, MANY)
        credit = await sources(lane, book, 1, 1_000_000)
    async with open_lanes(database) as lanes:
        await lanes.submit(book, credit[0], None)
        await lanes.drain(10)
    assert (await books.look(database, STANDING))[0]["waiting"] == 0
    await proved(database)


@pytest.mark.parametrize("settling", [2, 3, 5])
async def test_no_newer_claim_overtakes_those_that_were_not_loaded(
    database: str, settling: int
) -> None:
    """Within a batch the queue is loaded once, and only its first part."""
    book = await open_book(database, settle_hours=0)
    async with bare_lane(database) as lane:
        old = await waiting_refunds(database, lane, book, MANY)
        newest = books.create(100, 17)
        await serve(lane, book, [newest])
        await books.look(
            database, "UPDATE payments SET percent_fee_usd_e4 = 100 WHERE payment_id = $1",
            newest.payment_id,
        )  # fmt: skip
        await serve(lane, book, [books.capture(newest.payment_id, local_minor=newest.amount_minor)])
        late = refund(newest.payment_id, None)
        first, *others = await sources(lane, book, settling, 23_000 // settling)
        await serve(lane, book, [first, late, *others])
        stand = (await books.look(database, STANDING))[0]
        served = await books.look(database, "SELECT claim_id FROM claims WHERE missing_usd_e4 = 0")
        assert {row["claim_id"] for row in served} == set(old[: len(served)]), "oldest first"
        assert stand["waiting"] + len(served) == MANY + 1
        assert stand["balance"] == 0 or stand["top_up_due"], "or the next commit is on its way"
        await follow(lane)
    stand = (await books.look(database, STANDING))[0]
    assert stand["waiting"] == 1 + (23_000 - 23_000 // settling * settling > 0)
    assert stand["balance"] == 0
    left = await books.look(database, "SELECT claim_id FROM claims WHERE missing_usd_e4 > 0")
    assert late.claim_id in {row["claim_id"] for row in left}
    await proved(database)

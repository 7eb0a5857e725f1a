"""What became of a COMMIT whose answer did not come: looked up, never guessed, never done twice.

A proxy cuts the lane off before, during and after COMMIT. Whatever it does, each caller hears of
one effect and each command has one. The control retries without looking, and must double.
"""

import asyncio
import random

import pytest

from clawback.errors import InternalError
from clawback.ids import PaymentId
from clawback.lanes.lanes import Lanes
from clawback.lanes.queue import Outcome
from clawback.route import Answer, BookRef
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund, shown
from tests.support.counts import count, seeded
from tests.support.proxies import COMMITTED, NOT_COMMITTED, proxied

LOCKED_LOGIN = "cut, then nobody may log in"
HELD = "cut while it runs"
CUTS = count(10, 1_000)


async def ask(lanes: Lanes, book: BookRef, paid: PaymentId, many: int) -> list[Outcome]:
    """So many refunds of 0.01 at once."""
    return await asyncio.gather(
        *(lanes.submit(book, refund(paid, "0.01"), shown) for _ in range(many))
    )


async def stored(dsn: str) -> set[str]:
    """The names of all claims."""
    return {row["claim_id"] for row in await books.look(dsn, "SELECT claim_id FROM claims")}


def names(answers: list[Outcome]) -> set[str]:
    """What the callers were told, which must be a yes to each."""
    assert all(isinstance(one, Answer) for one in answers), answers
    return {one.body.decode() for one in answers if isinstance(one, Answer)}


@pytest.mark.parametrize("fault", sorted((COMMITTED | NOT_COMMITTED) - {LOCKED_LOGIN}))
async def test_a_cut_around_commit_leaves_one_effect_each(database: str, fault: str) -> None:
    book = await open_book(database)
    async with proxied(database) as (dsn, proxy), open_lanes(dsn) as lanes:
        paid = await books.take_payment(lanes, book)
        proxy.fault = fault
        told = names(await ask(lanes, book, paid, 5))
        assert proxy.fired == {fault: 1}
        assert lanes.counters["retries"] == (fault in NOT_COMMITTED)
        assert await stored(database) == told
        assert len(told) == 5
        told |= names(await ask(lanes, book, paid, 1))
        assert await stored(database) == told, "and it goes on"
    await proved(database)


async def test_nobody_is_answered_before_commit_has_returned(database: str) -> None:
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
    async with proxied(database) as (dsn, proxy), open_lanes(dsn) as lanes:
        proxy.fault = HELD
        asked = asyncio.create_task(ask(lanes, book, paid, 3))
        for _ in range(1_000):
            if proxy.fired:
                break
            await asyncio.sleep(0.001)
        assert proxy.fired == {HELD: 1}
        assert await stored(database) == set(), "COMMIT has not reached the server"
        assert not asked.done()
        assert names(await asked) == await stored(database)
    await proved(database)


async def test_a_commit_that_nobody_can_look_up_is_not_tried_again(database: str) -> None:
    book = await open_book(database)
    async with proxied(database) as (dsn, proxy), open_lanes(dsn) as lanes:
        paid = await books.take_payment(lanes, book)
        proxy.fault = LOCKED_LOGIN
        answers = await ask(lanes, book, paid, 4)
        assert proxy.fired == {LOCKED_LOGIN: 1}
    assert len(await stored(database)) == 4, "once each, whatever the callers heard"
    assert {type(one) for one in answers} <= {Answer, InternalError}
    await proved(database)


async def test_many_random_cuts(database: str) -> None:
    draw = seeded()
    book = await open_book(database)
    told: set[str] = set()
    async with proxied(database) as (dsn, proxy), open_lanes(dsn) as lanes:
        paid = [await books.take_payment(lanes, book) for _ in range(3)]
        for _ in range(CUTS):
            proxy.fault = draw.choice(sorted((COMMITTED | NOT_COMMITTED) - {LOCKED_LOGIN}))
            await asyncio.sleep(random.uniform(0, 0.002))
            told |= names(await ask(lanes, book, draw.choice(paid), draw.randrange(1, 9)))
        assert proxy.fired.total() == CUTS, "every fault fired"
        print(f"{CUTS} cuts, {len(told)} refunds: {proxy.fired}")
    assert await stored(database) == told
    await proved(database)


async def test_the_control_doubles(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_looks(_shard: int, _batch: object) -> bool:
        return False

    book = await open_book(database)
    async with proxied(database) as (dsn, proxy), open_lanes(dsn) as lanes:
        paid = await books.take_payment(lanes, book)
        lane = lanes._lanes[0]
        monkeypatch.setattr(lane, "_find_marker", never_looks)
        proxy.fault = "cut after it"
        told = names(await ask(lanes, book, paid, 1))
        assert proxy.fired.total() == 1
    assert len(told) == 1
    assert len(await stored(database)) == 2, "a lane that retries without looking must double"

"""Long lists are counted once; those that may grow shorter, and short ones, every time."""

import pytest

from clawback.lists import MAX_TOTAL, LongLists

pytestmark = pytest.mark.anyio

BOOK: dict[str, object] = {"shard": 0, "book_id": "bk_00000001", "kind": None, "status": None}


class Counting:
    """A list of some length, and how often it was counted."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.times = 0

    async def __call__(self) -> int:
        self.times += 1
        return min(self.length, MAX_TOTAL + 1)


@pytest.mark.parametrize(
    ("filters", "length", "times"),
    [
        ({}, MAX_TOTAL, 3),
        ({}, MAX_TOTAL + 1, 1),
        ({"kind": "med"}, 50_000, 1),
        ({"status": "released"}, 50_000, 3),
        ({"kind": "med", "status": "released"}, 50_000, 3),
    ],
)
async def test_a_long_list_is_counted_once(
    filters: dict[str, object], length: int, times: int
) -> None:
    lists, counting = LongLists(frozenset({"shard", "book_id", "kind"})), Counting(length)
    told = [await lists.total({**BOOK, **filters}, counting) for _ in range(3)]
    assert told == [min(length, MAX_TOTAL + 1)] * 3
    assert counting.times == times


async def test_one_long_list_says_nothing_of_another() -> None:
    lists, long, short = LongLists(frozenset({"shard", "book_id"})), Counting(20_000), Counting(7)
    assert await lists.total(BOOK, long) == MAX_TOTAL + 1
    assert await lists.total({**BOOK, "book_id": "bk_00000002"}, short) == 7
    assert await lists.total({**BOOK, "shard": 1}, short) == 7

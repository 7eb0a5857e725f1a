"""Looks at the database: rarer while nothing is found, never most of the time."""

import asyncio
import time

import pytest

from clawback.work.pace import IDLE_SECONDS, LONGEST_REST_SECONDS, REST, Pace, pause


def look(pace: Pace, seconds: float) -> None:
    """A look that lasts so long."""
    with pace.looking():
        time.sleep(seconds)


def fail(pace: Pace, seconds: float) -> None:
    """A look that fails after so long."""
    with pace.looking():
        time.sleep(seconds)
        raise ConnectionError


async def waited(pace: Pace, found: int, *, woken: bool = False, stopped: bool = False) -> float:
    """How long it waits for the next look."""
    wake, stop = asyncio.Event(), asyncio.Event()
    for event, is_set in ((wake, woken), (stop, stopped)):
        if is_set:
            event.set()
    begun = time.monotonic()
    await pace.wait(found, stop=stop, wake=wake)
    return time.monotonic() - begun


async def test_looks_become_rarer_until_something_is_found() -> None:
    pace = Pace()
    for seconds in (*IDLE_SECONDS[1:], IDLE_SECONDS[-1]):
        assert await waited(pace, 0) >= seconds * 0.9
    assert min([await waited(pace, 1) for _ in range(5)]) < IDLE_SECONDS[-1]


async def test_looking_takes_a_fifth_of_the_time_even_if_there_is_news() -> None:
    pace = Pace()
    look(pace, 0.05)
    assert await waited(pace, 1, woken=True) >= REST * 0.05 * 0.9
    look(pace, 0)
    assert min([await waited(pace, 1, woken=True) for _ in range(5)]) < REST * 0.05


async def test_a_long_look_is_followed_by_a_second_of_rest() -> None:
    pace = Pace()
    look(pace, 2 * LONGEST_REST_SECONDS / REST)
    assert LONGEST_REST_SECONDS * 0.9 <= await waited(pace, 0) < 2 * LONGEST_REST_SECONDS


async def test_stopping_ends_every_wait() -> None:
    pace = Pace()
    look(pace, LONGEST_REST_SECONDS / REST)
    assert await waited(pace, 0, stopped=True) < LONGEST_REST_SECONDS * 0.9


async def test_whoever_is_set_ends_a_pause() -> None:
    never, soon = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, soon.set)
    async with asyncio.timeout(20):
        await pause(60, never, soon)


async def test_a_look_that_fails_is_timed_too() -> None:
    pace = Pace()
    with pytest.raises(ConnectionError):
        fail(pace, 0.05)
    assert await waited(pace, 1) >= REST * 0.05 * 0.9

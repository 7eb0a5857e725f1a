"""Looks at the database: rarer while nothing is found, never most of the time."""

import time

import pytest

from clawback.work.pace import IDLE_SECONDS, LONGEST_REST_SECONDS, REST, Pace


def look(pace: Pace, seconds: float) -> None:
    """A look that lasts so long."""
    with pace.looking():
        time.sleep(seconds)


def fail(pace: Pace, seconds: float) -> None:
    """A look that fails after so long."""
    with pace.looking():
        time.sleep(seconds)
        raise ConnectionError


def test_looks_become_rarer_until_something_is_found() -> None:
    pace = Pace()
    rarest = IDLE_SECONDS[-1]
    assert [pace.pause(0) for _ in range(6)] == [*IDLE_SECONDS[1:], rarest, rarest]
    assert pace.pause(1) == IDLE_SECONDS[0]


def test_looking_takes_a_fifth_of_the_time() -> None:
    pace = Pace()
    look(pace, 0.02)
    assert REST * 0.02 <= pace.rest() < LONGEST_REST_SECONDS
    assert pace.pause(1) == pace.rest()
    look(pace, 0)
    assert pace.pause(1) == IDLE_SECONDS[0]


def test_a_long_look_is_followed_by_a_second_of_rest() -> None:
    pace = Pace()
    look(pace, LONGEST_REST_SECONDS / REST)
    assert pace.rest() == pace.pause(0) == LONGEST_REST_SECONDS


def test_a_look_that_fails_is_timed_too() -> None:
    pace = Pace()
    with pytest.raises(ConnectionError):
        fail(pace, 0.01)
    assert pace.rest() >= REST * 0.01

"""The clock's commands, decided without a database."""

from datetime import datetime, timedelta

import msgspec
import pytest

from clawback.errors import Refused
from clawback.lanes.command import Decided
from clawback.simulation import model
from tests.model_world import START, World

DAY = 86_400


def ask(
    offset: int, target: int | None, *, seconds: int | None = None, to: datetime | None = None
) -> Refused | int | None:
    """What the clock is to go to, or the refusal."""
    state = World().state
    state.head = msgspec.structs.replace(
        state.head, clock_offset_seconds=offset, clock_target_seconds=target
    )
    draft = state.draft(START)
    decided = model.decide_ask_time(draft, model.AskTime(seconds=seconds, to=to), START)
    if isinstance(decided, Refused):
        assert draft.head is state.head, "a refusal changes nothing"
        return decided
    assert not decided.is_answered
    assert decided.object_id == f"clock_{draft.head.clock_target_seconds}"
    return draft.head.clock_target_seconds


@pytest.mark.parametrize(
    ("offset", "target", "seconds", "wanted"),
    [
        (0, None, 1, 1),
        (5, None, 366 * DAY, 5 + 366 * DAY),
        (5, 100, 10, 110),
        (364 * DAY, None, 366 * DAY, 730 * DAY),
    ],
)
def test_seconds_count_from_where_the_clock_will_be(
    offset: int, target: int | None, seconds: int, wanted: int
) -> None:
    assert ask(offset, target, seconds=seconds) == wanted


@pytest.mark.parametrize(
    ("offset", "target", "after", "wanted"),
    [
        (0, None, timedelta(seconds=10), 10),
        (7, None, timedelta(milliseconds=1), 8),
        (7, None, timedelta(seconds=1, milliseconds=1), 9),
        (7, 1_000, timedelta(seconds=10), 1_000),
        (0, None, timedelta(days=366), 366 * DAY),
    ],
)
def test_a_time_is_reached_and_not_missed_by_a_fraction(
    offset: int, target: int | None, after: timedelta, wanted: int
) -> None:
    assert ask(offset, target, to=START + after) == wanted


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({}, "missing_field", "advanceSeconds"),
        ({"seconds": 0}, "invalid_field", "advanceSeconds"),
        ({"seconds": -5}, "invalid_field", "advanceSeconds"),
        ({"seconds": 366 * DAY + 1}, "invalid_field", "advanceSeconds"),
        ({"to": START}, "invalid_field", "advanceTo"),
        ({"to": START - timedelta(days=1)}, "invalid_field", "advanceTo"),
        ({"to": START + timedelta(days=366, milliseconds=1)}, "invalid_field", "advanceTo"),
        ({"seconds": 1, "to": START + timedelta(days=1)}, "invalid_field", "advanceTo"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], code: str, param: str) -> None:
    refused = ask(100, None, **asked)  # type: ignore[arg-type] # a table of arguments
    assert isinstance(refused, Refused)
    assert (refused.code, refused.param) == (code, param)


def test_two_years_are_all_there_is() -> None:
    assert isinstance(ask(365 * DAY, None, seconds=365 * DAY + 1), Refused)
    assert isinstance(ask(0, 720 * DAY, seconds=11 * DAY), Refused)


@pytest.mark.parametrize(
    ("offset", "target", "to", "reached"),
    [(0, 100, 60, 60), (0, 100, 160, 100), (60, 100, 30, 60), (60, None, 90, 60)],
)
def test_a_step_goes_forward_and_never_beyond_the_target(
    offset: int, target: int | None, to: int, reached: int
) -> None:
    state = World().state
    state.head = msgspec.structs.replace(
        state.head, clock_offset_seconds=offset, clock_target_seconds=target
    )
    draft = state.draft(START)
    decided = model.decide_move_clock(draft, model.MoveClock(to_seconds=to), START)
    assert isinstance(decided, Decided)
    assert draft.head.clock_offset_seconds == reached
    assert isinstance(decided.response, model.Clock)
    assert decided.response.now == START + timedelta(seconds=reached - offset)


@pytest.mark.parametrize(
    ("offset", "target", "stopped"),
    [(100, 100, True), (60, 100, False), (100, 200, False)],
)
def test_a_clock_stops_only_where_it_was_to_go(offset: int, target: int, *, stopped: bool) -> None:
    state = World().state
    state.head = msgspec.structs.replace(
        state.head, clock_offset_seconds=offset, clock_target_seconds=target
    )
    draft = state.draft(START)
    model.decide_stop_clock(draft, model.StopClock(target_seconds=100), START)
    assert (draft.head.clock_target_seconds is None) == stopped

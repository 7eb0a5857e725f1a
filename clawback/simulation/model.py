"""The clock of a test book, and requests that are done in two commits.

Pure. A clock is an offset in the book's head row; it only goes forward. Asking for a time stores
the target; whoever moves the clock takes it from due time to due time until it is there. A
request that has an effect elsewhere first takes its idempotency key without an answer and brings
the answer later, so that a retry resumes it and never starts another.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from clawback.errors import NotFound, Refused
from clawback.ids import PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.state import Draft
from clawback.payments.refusals import FieldInvalid, FieldMissing

MOST_SECONDS: Final = 366 * 86_400
"""How far one request moves a clock (contract, section 12)."""

MOST_SECONDS_IN_ALL: Final = 730 * 86_400
_SECOND: Final = timedelta(seconds=1)


class Clock(msgspec.Struct, frozen=True):
    """A book's clock. `target_seconds` is None unless it is being moved."""

    now: datetime
    offset_seconds: int
    target_seconds: int | None


def _clock(draft: Draft, now: datetime) -> Clock:
    return Clock(now, draft.head.clock_offset_seconds, draft.head.clock_target_seconds)


class AskTime(Command, frozen=True, kw_only=True):
    """Have the clock moved: by so many seconds, or to a time."""

    seconds: int | None
    to: datetime | None


def decide_ask_time(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Store where the clock is to go. Refuses: FieldMissing, FieldInvalid.

    Seconds count from where a clock that is being moved already will be.
    """
    assert isinstance(command, AskTime)
    offset, target = draft.head.clock_offset_seconds, draft.head.clock_target_seconds
    goes_to = offset if target is None else target
    if command.to is None and command.seconds is None:
        return FieldMissing(param="advanceSeconds")
    if command.to is not None and command.seconds is not None:
        return FieldInvalid(param="advanceTo")
    param = "advanceSeconds"
    wanted = goes_to + (command.seconds or 0)
    is_forward = wanted > goes_to
    if command.to is not None:
        param = "advanceTo"
        wanted = offset - (now - command.to) // _SECOND
        is_forward = command.to > now
    if not is_forward or wanted - goes_to > MOST_SECONDS or wanted > MOST_SECONDS_IN_ALL:
        return FieldInvalid(param=param)
    wanted = max(wanted, goes_to)
    draft.set_head(clock_target_seconds=wanted)
    response = Clock(now, offset, wanted)
    return Decided(response=response, object_id=f"clock_{wanted}", is_answered=False)


class MoveClock(Command, frozen=True, kw_only=True):
    """One step: to this offset, but never beyond the target."""

    to_seconds: int


def decide_move_clock(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Move forward; one that is there already stays. Refuses nothing."""
    assert isinstance(command, MoveClock)
    offset, target = draft.head.clock_offset_seconds, draft.head.clock_target_seconds
    reached = offset if target is None else min(max(offset, command.to_seconds), target)
    if reached != offset:
        draft.set_head(clock_offset_seconds=reached)
    return Decided(response=_clock(draft, now + (reached - offset) * _SECOND))


class StopClock(Command, frozen=True, kw_only=True):
    """All that was due has been done: the clock is where it was to go, and runs by itself again."""

    target_seconds: int


def decide_stop_clock(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """End the move, unless the clock has to go further by now. Refuses nothing."""
    assert isinstance(command, StopClock)
    offset, target = draft.head.clock_offset_seconds, draft.head.clock_target_seconds
    if target == command.target_seconds == offset:
        draft.set_head(clock_target_seconds=None)
    return Decided(response=_clock(draft, now))


class TakeKey(Command, frozen=True, kw_only=True):
    """Take the request's idempotency key before its effect elsewhere, perhaps on a payment."""

    payment_id: PaymentId | None

    def reads(self) -> Reads:
        """The payment."""
        return Reads(payments=() if self.payment_id is None else (self.payment_id,))


def decide_take_key(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - every decide is handed one
) -> Refused | Decided:
    """Note the key without an answer. Refuses: NotFound, for the payment."""
    assert isinstance(command, TakeKey)
    if command.payment_id is not None and draft.payment(command.payment_id) is None:
        return NotFound()
    return Decided(object_id=command.payment_id or "book", is_answered=False)


class BringAnswer(Command, frozen=True, kw_only=True):
    """The answer to a key that was taken by an earlier command of the same request."""

    completes_key = True


def decide_bring_answer(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Answer with the book's clock, for those who ask for it. Refuses nothing."""
    assert isinstance(command, BringAnswer)
    return Decided(response=_clock(draft, now))


DECIDE: Final[dict[type, Decide]] = {
    AskTime: decide_ask_time,
    MoveClock: decide_move_clock,
    StopClock: decide_stop_clock,
    TakeKey: decide_take_key,
    BringAnswer: decide_bring_answer,
}

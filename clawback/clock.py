"""The only module that reads time.

Two clocks, never mixed: real time drives leases, time-outs, signatures, key life and rates; a
book's clock (real time plus the offset in the book's head row, test mode only) drives all that
falls due. Everything else is handed its time, so that deciding stays pure and tests can move it.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_KEPT: Final = 256
"""All commands of a batch share its time, which is written many times over."""


def real_now() -> datetime:
    """Now, in UTC, cut to the millisecond: the precision of every stored time."""
    return from_milliseconds(time.time_ns() // 1_000_000)


def monotonic() -> float:
    """Seconds of a clock that never steps, for measuring durations and deadlines."""
    return time.monotonic()


def book_time(real: datetime, offset_seconds: int) -> datetime:
    """The book's clock at this real time."""
    return real if offset_seconds == 0 else real + timedelta(seconds=offset_seconds)


@lru_cache(_KEPT)
def milliseconds(at: datetime) -> int:
    """Unix milliseconds of a time."""
    return (at - _EPOCH) // _MILLISECOND


def from_milliseconds(unix_ms: int) -> datetime:
    """The time at these Unix milliseconds, in UTC."""
    seconds, rest = divmod(unix_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


@lru_cache(_KEPT)
def wire_time(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-05-12T20:27:53.561Z."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"


def maybe_wire_time(at: datetime | None) -> str | None:
    """`wire_time`, or None where there is no time yet."""
    return None if at is None else wire_time(at)


def sleep_seconds(seconds: float) -> None:
    """Wait in a thread or process that has no event loop."""
    time.sleep(seconds)

"""When captured money settles and its reserve is freed: after hours, or on business days.

Pure. A book without a calendar settles after its hours. With one it settles on the n-th business
day after the day of capture, at the same time of day, and frees a reserve on a business day only.
A day is that of the country's standard time. Which days are off is part of the book's settings.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from clawback.lanes.records import Book, PaymentDetails

UTC_HOURS: Final = {"AR": -3, "BR": -3, "CL": -4, "CO": -5, "MX": -6, "PE": -5, "US": -5}
"""The countries whose calendars there are, and their standard time."""
_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5


class Plan(msgspec.Struct, frozen=True):
    """When a payment settles, and when its reserve would be freed; `calendar`: by which, if any."""

    settle_at: datetime
    reserve_release_at: datetime
    calendar: str | None


def plan(book: Book, details: PaymentDetails, now: datetime) -> Plan:
    """The plan of a payment that is captured now, by the rule that it was created under."""
    held_until = now + timedelta(days=book.reserve_days)
    if details.settle_days is None or book.settle_calendar is None:
        return Plan(now + timedelta(hours=details.settle_hours), held_until, None)
    off, hours = frozenset(book.settle_off_days or ()), UTC_HOURS[book.settle_calendar]
    return Plan(
        business_days_later(now, details.settle_days, off, hours),
        on_business_day(held_until, off, hours),
        f"{book.settle_calendar} {book.settle_calendar_version}",
    )


def business_days_later(at: datetime, days: int, off: Collection[date], hours: int) -> datetime:
    """The same time of day on the n-th business day after that of `at`; `days` at least 1."""
    while days:
        at += _DAY
        days -= _is_business_day(at, off, hours)
    return at


def on_business_day(at: datetime, off: Collection[date], hours: int) -> datetime:
    """This time, or the same time of day on the next business day if it falls on none."""
    while not _is_business_day(at, off, hours):
        at += _DAY
    return at


def _is_business_day(at: datetime, off: Collection[date], hours: int) -> bool:
    day = (at + timedelta(hours=hours)).date()
    return day.weekday() < _SATURDAY and day not in off

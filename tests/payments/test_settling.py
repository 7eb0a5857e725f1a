"""Dates of settlement: hours without a calendar, business days with one, in the country's day."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawback.lanes.records import PaymentDetails
from clawback.payments import settling
from tests.model_checks import check
from tests.model_world import World, book

CARNIVAL = (date(2026, 2, 16), date(2026, 2, 17))
MX = settling.UTC_HOURS["MX"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("captured", "days", "settles"),
    [
        ("2026-02-11T15:00", 1, "2026-02-12T15:00"),  # Wednesday
        ("2026-02-11T15:00", 2, "2026-02-13T15:00"),
        ("2026-02-12T15:00", 2, "2026-02-18T15:00"),  # over a weekend and two days off
        ("2026-02-14T15:00", 1, "2026-02-18T15:00"),  # on a Saturday
        ("2026-02-16T15:00", 1, "2026-02-18T15:00"),  # on a day off
        ("2026-02-13T03:00", 1, "2026-02-14T03:00"),  # still Thursday in Mexico: Friday evening
        ("2026-02-13T06:00", 1, "2026-02-18T06:00"),  # Friday has begun
    ],
)
def test_the_nth_business_day_after_that_of_capture(captured: str, days: int, settles: str) -> None:
    assert settling.business_days_later(at(captured), days, CARNIVAL, MX) == at(settles)


@pytest.mark.parametrize(
    ("due", "freed"),
    [("2026-02-13T15:00", "2026-02-13T15:00"), ("2026-02-14T15:00", "2026-02-18T15:00")],
)
def test_a_reserve_is_freed_on_a_business_day(due: str, freed: str) -> None:
    assert settling.on_business_day(at(due), CARNIVAL, MX) == at(freed)


@given(
    minutes=st.integers(0, 2 * 365 * 24 * 60),
    days=st.integers(1, 30),
    off=st.sets(st.dates(date(2026, 1, 1), date(2028, 6, 1)), max_size=60),
    hours=st.sampled_from([*settling.UTC_HOURS.values()]),
)
def test_exactly_so_many_business_days_lie_after_the_capture(
    minutes: int, days: int, off: set[date], hours: int
) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    end = settling.business_days_later(begin, days, off, hours)
    assert (end - begin) % timedelta(days=1) == timedelta()
    passed = [begin + timedelta(days=n) for n in range(1, (end - begin).days + 1)]
    local = [(one + timedelta(hours=hours)).date() for one in passed]
    work = [day for day in local if day.isoweekday() <= 5 and day not in off]
    assert len(work) == days
    assert work[-1] == local[-1]


def calendar_book() -> World:
    return World(
        reserve_percent_e4=100_000,
        settle_calendar="MX",
        settle_days=2,
        settle_off_days=(date(2026, 5, 14),),
        settle_calendar_version="0.0",
    )


def test_a_capture_keeps_its_date_and_what_it_was_computed_by() -> None:
    world = calendar_book()  # captured on Tuesday 2026-05-12, Thursday is off
    payment = world.pay()
    assert payment.settle_at == world.now + timedelta(days=3)
    assert payment.reserve_release_at == world.now + timedelta(days=90)  # a Monday
    details = msgspec.json.decode(payment.details, type=PaymentDetails)
    assert (details.settle_days, details.settle_calendar) == (2, "MX 0.0")
    world.later(days=2)
    world.settle(payment)
    assert world.balance("available") == 0
    world.later(days=1)
    world.settle(payment)
    assert world.balance("available") == 450_000
    check(world)


def test_without_a_calendar_it_is_hours() -> None:
    world = World()
    payment = world.pay()
    assert payment.settle_at == world.now + timedelta(hours=48)
    details = msgspec.json.decode(payment.details, type=PaymentDetails)
    assert (details.settle_days, details.settle_calendar) == (None, None)


def test_a_calendar_that_was_taken_away_meanwhile_leaves_hours() -> None:
    world = calendar_book()
    payment = world.pay(captured=False)
    plan = settling.plan(
        book(), msgspec.json.decode(payment.details, type=PaymentDetails), world.now
    )
    assert plan.settle_at == world.now + timedelta(hours=48)
    assert plan.calendar is None

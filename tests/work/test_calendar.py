"""Days off of every country that has a calendar: known ones are there, weekends are not."""

from datetime import date

import pytest

from clawback.payments.settling import UTC_HOURS
from clawback.work import calendar

KNOWN = {
    "AR": date(2026, 7, 9), "BR": date(2026, 9, 7), "CL": date(2026, 9, 18),
    "CO": date(2026, 7, 20), "MX": date(2026, 9, 16), "PE": date(2026, 7, 28),
    "US": date(2026, 11, 26),
}  # fmt: skip


@pytest.mark.parametrize("country", UTC_HOURS)
def test_a_countrys_days_off_are_known_for_years(country: str) -> None:
    found = calendar.off_days(country, 2026)
    assert KNOWN[country] in found.days
    assert found.days == sorted(set(found.days))
    assert all(day.isoweekday() <= 5 for day in found.days)
    assert {day.year for day in found.days} == set(range(2025, found.last_year + 1))
    assert found.last_year >= 2030
    assert len(found.days) < 1_000
    assert found.version == "0.109"


def test_a_working_day_is_not_among_them() -> None:
    assert date(2026, 9, 15) not in calendar.off_days("MX", 2026).days

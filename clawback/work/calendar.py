"""Which days banks of a country do not settle, for the settings of books.

Public holidays, and bank holidays where the data has them; weekends are left out, for they need no
list. The data changes with laws: it is looked up when an operator sets or refreshes a calendar,
and kept with the book together with its version, so that nothing changes by itself.
"""

from datetime import date
from importlib import metadata
from typing import Final

import msgspec

from clawback.payments.settling import UTC_HOURS

YEARS: Final = 12
"""From the year before on: test clocks and reserves reach at most four years ahead."""
_KINDS: Final = ("public", "bank")
_SATURDAY: Final = 5


class OffDays(msgspec.Struct, frozen=True):
    """Days off that are no weekends, up to the end of a year, and the version of the data."""

    days: list[date]
    last_year: int
    version: str


def off_days(country: str, this_year: int) -> OffDays:
    """The days off of a country. Bug: a country without a calendar."""
    import holidays  # noqa: PLC0415 - it takes 0.2 s, and only this needs it

    assert country in UTC_HOURS, country
    years = range(this_year - 1, this_year - 1 + YEARS)
    kinds = holidays.country_holidays(country).supported_categories
    found = holidays.country_holidays(
        country, years=years, categories=tuple(kind for kind in _KINDS if kind in kinds)
    )
    days = sorted(day for day in found if day.weekday() < _SATURDAY and day.year in years)
    return OffDays(days, years[-1], metadata.version("holidays"))

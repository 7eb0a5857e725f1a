"""Figures of a book: volume and rates by day, how old open claims are, how long claims took.

Each is a picture, a table and a file of the same numbers. They are sums over many rows, so only the
page of figures reckons them; the first page asks for it after it is there. All times are those of
the book's clock, days are in UTC.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response

from clawback.claims.moves import CHARGEBACK, INQUIRY, MED, REFUND
from clawback.dashboard.csvs import csv_file
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.home import book_now
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.dashboard.words import usd_of

DAYS: Final = 30
AGES: Final = ("under 1 day", "1 to 3 days", "3 to 7 days", "7 to 30 days", "30 to 90 days",
               "over 90 days")  # fmt: skip
_EDGES: Final = [86_400 * days for days in (1, 3, 7, 30, 90)]
KINDS: Final = (REFUND, INQUIRY, CHARGEBACK, MED)
_HUNDREDTH: Final = Decimal("0.01")
_HOUR: Final = 3_600


class Day(msgspec.Struct, frozen=True):
    """What became of the payments made on a day, or on several; `volume` is in USD."""

    day: str
    payments: int = 0
    captured: int = 0
    volume: Decimal = Decimal(0)
    refunded: int = 0
    disputed: int = 0

    @property
    def refund_rate(self) -> Decimal:
        """How many of a hundred captured payments were refunded, at least in part."""
        return _percent(self.refunded, self.captured)

    @property
    def dispute_rate(self) -> Decimal:
        """How many of a hundred captured payments were charged back or are disputed."""
        return _percent(self.disputed, self.captured)


class Age(msgspec.Struct, frozen=True):
    """How many claims of an age are open, and their USD; `share` is for the picture: of 100."""

    age: str
    claims: int
    usd: Decimal
    claims_share: int = 0
    usd_share: int = 0


class Time(msgspec.Struct, frozen=True):
    """How many claims of a kind were resolved, and how many hours half and nine tenths took."""

    kind: str
    claims: int
    median: Decimal | None
    ninetieth: Decimal | None
    median_share: int = 0
    ninetieth_share: int = 0


def _percent(many: int, of: int) -> Decimal:
    return (Decimal(100 * many) / of).quantize(_HUNDREDTH) if of else Decimal("0.00")


def _share(part: Decimal | int | None, most: Decimal | int) -> int:
    """The length of a bar: whole hundredths of the longest, and seen if there is anything."""
    return max(1, round(100 * part / most)) if part else 0


def sum_up(days: Iterable[Day]) -> Day:
    """Several days as one."""
    found = list(days)
    return Day(
        "",
        sum(day.payments for day in found),
        sum(day.captured for day in found),
        sum((day.volume for day in found), Decimal(0)),
        sum(day.refunded for day in found),
        sum(day.disputed for day in found),
    )


async def list_days(visit: Visit, now: datetime) -> list[Day]:
    """The last thirty days, those without a payment too."""
    book = visit.held.book
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until = today + timedelta(days=1)
    since = until - timedelta(days=DAYS)
    async with visit.house.services.reader() as connection:
        rows = await SQL.sum_days(
            connection, shard=book.shard, book_id=book.book_id, from_time=since, to_time=until
        )
    found = {row["day"].astimezone(UTC).date(): row for row in rows}
    days = []
    for number in range(DAYS):
        day = (since + timedelta(days=number)).date()
        row = found.get(day)
        if row is None:
            days.append(Day(day.isoformat()))
            continue
        volume = usd_of(row["volume_usd_e4"])
        counts = (row["payments"], row["captured"], volume, row["refunded"], row["disputed"])
        days.append(Day(day.isoformat(), *counts))
    return days


async def list_ages(visit: Visit, now: datetime) -> list[Age]:
    """The open claims by their age, the youngest first; ages without a claim too."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.sum_ages(
            connection, shard=book.shard, book_id=book.book_id, now=now, edges=_EDGES
        )
    found = {row["age"]: row for row in rows}
    ages = [
        Age(name, found[number]["claims"], usd_of(found[number]["usd_e4"]))
        if number in found
        else Age(name, 0, Decimal(0))
        for number, name in enumerate(AGES)
    ]
    many, usd = max(one.claims for one in ages), max(one.usd for one in ages)
    return [
        msgspec.structs.replace(
            one, claims_share=_share(one.claims, many), usd_share=_share(one.usd, usd)
        )
        for one in ages
    ]


async def list_times(visit: Visit, now: datetime) -> list[Time]:
    """How long the claims took that were resolved in the last thirty days, by kind."""
    book = visit.held.book
    since = now - timedelta(days=DAYS)
    async with visit.house.services.reader() as connection:
        rows = await SQL.sum_times(
            connection, shard=book.shard, book_id=book.book_id, from_time=since, to_time=now
        )
    found = {row["kind"]: row for row in rows}
    times = [
        Time(kind, found[kind]["claims"], _hours(found[kind]["half"]), _hours(found[kind]["tenth"]))
        if kind in found
        else Time(kind, 0, None, None)
        for kind in KINDS
    ]
    most = max(one.ninetieth or Decimal(0) for one in times)
    return [
        msgspec.structs.replace(
            one,
            median_share=_share(one.median, most),
            ninetieth_share=_share(one.ninetieth, most),
        )
        for one in times
    ]


def _hours(seconds: float) -> Decimal:
    return (Decimal(seconds) / _HOUR).quantize(_HUNDREDTH)


async def show(visit: Visit) -> Response:
    """The page: each picture beside its table."""
    now = await book_now(visit)
    days = await list_days(visit, now)
    series = {
        "labels": [visit.speech.day(date.fromisoformat(one.day)) for one in days],
        "volume": [float(one.volume) for one in days],
        "refunded": [float(one.refund_rate) for one in days],
        "disputed": [float(one.dispute_rate) for one in days],
    }
    return visit.page(
        "days.html",
        days=days,
        total=sum_up(days),
        ages=await list_ages(visit, now),
        times=await list_times(visit, now),
        dated=date.fromisoformat,
        series=msgspec.json.encode(series).decode(),
    )


async def export_days(visit: Visit) -> Response:
    """Volume and rates as CSV."""
    names = Day.__struct_fields__
    rows = [
        [*(getattr(one, name) for name in names), one.refund_rate, one.dispute_rate]
        for one in await list_days(visit, await book_now(visit))
    ]
    return csv_file("days", (*names, "refundedPercent", "disputedPercent"), rows)


async def export_ages(visit: Visit) -> Response:
    """The ages of open claims as CSV."""
    rows = [(one.age, one.claims, one.usd) for one in await list_ages(visit, await book_now(visit))]
    return csv_file("ages", ("age", "claims", "usd"), rows)


async def export_times(visit: Visit) -> Response:
    """The times to resolve as CSV."""
    rows = [
        (one.kind, one.claims, one.median, one.ninetieth)
        for one in await list_times(visit, await book_now(visit))
    ]
    return csv_file("times", ("kind", "claims", "medianHours", "ninetiethHours"), rows)


PAGES: Final = (
    BookPage("/days", show, SEE),
    BookPage("/days.csv", export_days, SEE),
    BookPage("/ages.csv", export_ages, SEE),
    BookPage("/times.csv", export_times, SEE),
)

"""The first page of a book: where its money is, what waits for a person, how it is going.

The balance is the API's own answer; work comes by its deadline on the book's clock. The sums behind
the chart are asked for apart, so that the page itself never waits for them.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response

from clawback import clock
from clawback.claims.wire import row_fields
from clawback.dashboard.asking import Json, as_json
from clawback.dashboard.csvs import csv_file
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.dashboard.words import usd_of
from clawback.errors import Refused
from clawback.lanes.records import Claim

WORK: Final = ("review", "awaiting_evidence", "awaiting_approval", "awaiting_payer_details",
               "awaiting_funds")  # fmt: skip
DAYS: Final = 30
_SHOWN: Final = 8
_ROW: Final = msgspec.json.Decoder(Claim)


class Work(msgspec.Struct, frozen=True):
    """A claim that waits for a person, as the API shows it, and until when."""

    claim: Json
    act_by: str | None


class Day(msgspec.Struct, frozen=True):
    """What became of the payments made on a day."""

    day: str
    payments: int = 0
    captured: int = 0
    volume: Decimal = Decimal(0)
    refunded: int = 0
    disputed: int = 0

    def share(self, many: int) -> float:
        """How many in a hundred captured payments, for a chart."""
        return round(100 * many / self.captured, 2) if self.captured else 0.0


async def list_work(visit: Visit, reason: str | None, limit: int) -> list[Work]:
    """Open claims that wait for a person, the most urgent first."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.list_work(
            connection, shard=book.shard, book_id=book.book_id, reason=reason, limit=limit
        )
    return [
        Work(
            as_json(row_fields(_ROW.decode(row["row"]), book.mode)),
            clock.maybe_wire_time(row["act_by"]),
        )
        for row in rows
    ]


async def count_work(visit: Visit) -> dict[str, int]:
    """How many claims wait for what."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.count_work(connection, shard=book.shard, book_id=book.book_id)
    return {row["reason"]: row["many"] for row in rows}


async def book_now(visit: Visit) -> datetime:
    """The book's clock."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        head = await SQL.read_head(connection, shard=book.shard, book_id=book.book_id)
    return clock.book_time(clock.real_now(), head["clock_offset_seconds"])


async def show(visit: Visit) -> Response:
    """The page."""
    balance = await visit.ask.get("/me/balance")
    if isinstance(balance, Refused):
        return visit.refused(balance)
    counts = await count_work(visit)
    return visit.page(
        "home.html",
        balance=balance,
        counts=[(reason, counts.get(reason, 0)) for reason in WORK],
        work=await list_work(visit, None, _SHOWN),
        now=await book_now(visit),
    )


async def list_days(visit: Visit) -> list[Day]:
    """The last thirty days, those without a payment too."""
    book = visit.held.book
    now = (await book_now(visit)).astimezone(UTC)
    until = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
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


async def show_days(visit: Visit) -> Response:
    """Volume and rates of the last thirty days: a chart, and the same as a table."""
    days = await list_days(visit)
    series = {
        "labels": [one.day for one in days],
        "volume": [float(one.volume) for one in days],
        "refunded": [one.share(one.refunded) for one in days],
        "disputed": [one.share(one.disputed) for one in days],
    }
    return visit.page("days.html", days=days, series=msgspec.json.encode(series).decode())


async def export_days(visit: Visit) -> Response:
    """The same as CSV."""
    names = Day.__struct_fields__
    return csv_file("days", names, ([getattr(day, name) for name in names] for day in
                                    await list_days(visit)))  # fmt: skip


PAGES: Final = (
    BookPage("/", show, SEE),
    BookPage("/days", show_days, SEE),
    BookPage("/days.csv", export_days, SEE),
)

"""The first page of a book: where its money is, what waits for a person, how it is going.

The balance is the API's own answer; work comes by its deadline on the book's clock. The figures are
asked for apart, so that the page itself never waits for them.
"""

from datetime import datetime
from typing import Final

import msgspec
from starlette.responses import Response

from clawback import clock
from clawback.claims.wire import row_fields
from clawback.dashboard.asking import Json, as_json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.errors import Refused
from clawback.lanes.records import Claim

WORK: Final = ("review", "awaiting_evidence", "awaiting_approval", "awaiting_payer_details",
               "awaiting_funds")  # fmt: skip
_SHOWN: Final = 8
_ROW: Final = msgspec.json.Decoder(Claim)


class Work(msgspec.Struct, frozen=True):
    """A claim that waits for a person, as the API shows it, and until when."""

    claim: Json
    act_by: str | None


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


PAGES: Final = (BookPage("/", show, SEE),)

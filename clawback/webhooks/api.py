"""GET /events, and all routes of webhooks: what happened in a book, oldest first.

Events run in commit order (contract, section 10.1). A body was fixed when it happened and is passed
on byte for byte. A cursor is an event's id; nothing ever turns up behind one that was handed out.
A page that is not full hands out the newest event there is: all before it was looked at.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.db import queries
from clawback.errors import Refused
from clawback.lists import DEFAULT_LIMIT, MAX_LIMIT, Pagination, ParameterRefused
from clawback.route import Answer, Call, NoBody, Route
from clawback.webhooks import deliveries, endpoints
from clawback.webhooks.model import EVENT_PATTERNS

SQL: Final = queries.load(__package__, "queries.sql")
NUMBER_AT: Final = slice(12, 20)
"""Where an event's id holds its number in the book."""

_ENCODER: Final = msgspec.json.Encoder()


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of GET /events. `type` is a name, or a pattern such as `claim.*`."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None
    type: str | None = None
    object_id: str | None = msgspec.field(default=None, name="objectId")
    from_: datetime | None = msgspec.field(default=None, name="from")
    to: datetime | None = None


class EventWire(msgspec.Struct, frozen=True, rename="camel"):
    """An event as it is shown everywhere."""

    id: str
    type: str
    created_at: str
    api_version: str
    mode: str
    merchant_id: str
    data: dict[str, msgspec.Raw]


class EventList(msgspec.Struct, frozen=True):
    """A page of events."""

    data: list[EventWire]
    pagination: Pagination


class _Page(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw]
    pagination: Pagination


async def list_events(call: Call[NoBody, EventsQuery]) -> Answer | Refused:
    """GET /events."""
    query, place = call.query, {"shard": call.book.shard, "book_id": call.book.book_id}
    if query.type is not None and query.type not in EVENT_PATTERNS:
        return ParameterRefused(param="type")
    limit = min(max(query.limit, 1), MAX_LIMIT)
    kind = None if query.type in {None, "*"} else query.type
    prefix = kind[:-1] if kind is not None and kind.endswith(".*") else None
    async with call.services.reader() as connection:
        number = 0
        if query.after is not None:
            number = _number(query.after)
            row = await SQL.find_event(connection, **place, number=number)
            if row is None or row["event_id"] != query.after:
                return ParameterRefused(param="after")
        rows = await SQL.list_events(
            connection,
            **place,
            after_number=number,
            type=None if prefix is not None else kind,
            prefix=prefix,
            object_id=query.object_id,
            from_time=query.from_,
            to_time=query.to,
            limit=limit,
        )
    found = [row for row in rows if row["event_id"] is not None]
    last = query.after
    if rows:  # nothing found: it has looked at every event up to the newest
        last = found[-1]["event_id"] if found else rows[0]["newest_id"]
    shown = _Page(
        [msgspec.Raw(row["body"].encode()) for row in found],
        Pagination(total=None, limit=limit, offset=None, pages=None, next=last),
    )
    return Answer(200, _ENCODER.encode(shown))


def _number(event_id: str) -> int:
    """The number that an event's id names; 0 for what cannot be one."""
    try:
        return int(event_id[NUMBER_AT], 36)
    except ValueError:
        return 0


ROUTES: Final = (
    Route(
        "GET",
        "/events",
        list_events,
        "events:read",
        "List events, oldest first",
        EventList,
        query=EventsQuery,
        errors=("invalid_parameter",),
    ),
    *endpoints.ROUTES,
    *deliveries.ROUTES,
)

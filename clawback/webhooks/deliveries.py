"""The calls on deliveries: list, inbox, replay of one and of all since (contract, section 10.2).

Reads never wait for a lane. A replay is a command like every POST; that of many events leaves word
which ones, and the worker queues them piece by piece, so that no lane waits for a long one.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from clawback import clock
from clawback.db import queries
from clawback.errors import NotFound, Refused
from clawback.ids import opaque
from clawback.lists import ListQuery, Page, Pagination, paginate, read_page
from clawback.route import Answer, Call, NoBody, NoQuery, Route
from clawback.webhooks.endpoints import SCOPE, find_endpoint
from clawback.webhooks.model import Queued, ReplayDelivery, ReplayEvents, Requeued
from clawback.webhooks.wire import (
    DeliveryRow,
    InboxRow,
    delivery_row,
    inbox_row,
    read_delivery_id,
)

SQL: Final = queries.load(__package__, "queries.sql")
INBOX_DAYS: Final = timedelta(days=30)

_ENCODER: Final = msgspec.json.Encoder()

ZonedTime = Annotated[datetime, msgspec.Meta(tz=True)]


class DeliveriesQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of GET /webhooks/{id}/deliveries."""

    status: Literal["pending", "succeeded", "failed", "dead_letter"] | None = None


class DeliveryList(msgspec.Struct, frozen=True):
    """A page of deliveries."""

    data: list[DeliveryRow]
    pagination: Pagination


class InboxList(msgspec.Struct, frozen=True):
    """A page of an inbox."""

    data: list[InboxRow]
    pagination: Pagination


class ReplayBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /webhooks/{id}/replay. `since` is included, `until` excluded."""

    since: ZonedTime
    until: ZonedTime | None = None
    include_succeeded: bool | None = None


class Replayed(msgspec.Struct, frozen=True):
    """How many events are delivered again."""

    ok: bool
    queued: int


class DeliveryReplayed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A delivery whose schedule starts anew."""

    ok: bool
    delivery_id: str
    previous_status: str
    new_status: str
    next_attempt_at: str


def _after(page: Page, endpoint_id: str) -> int | None:
    """The event number that the cursor names; one of another endpoint leads nowhere."""
    if page.after is None:
        return None
    found = read_delivery_id(page.after)
    return found[1] if found is not None and found[0] == endpoint_id else 0


async def list_deliveries(call: Call[NoBody, DeliveriesQuery]) -> Answer | Refused:
    """GET /webhooks/{id}/deliveries, newest first."""
    page = read_page(call.query)
    if isinstance(page, Refused):
        return page
    endpoint = await find_endpoint(call)
    if endpoint is None:
        return NotFound()
    filters = {
        "shard": call.book.shard,
        "book_id": call.book.book_id,
        "endpoint_id": endpoint.endpoint_id,
        "status": call.query.status,
        "from_time": call.query.from_,
        "to_time": call.query.to,
    }
    after = _after(page, endpoint.endpoint_id)
    async with call.services.reader() as connection:
        rows = await SQL.list_deliveries(
            connection, **filters, after_number=after, limit=page.limit + 1, offset=page.offset
        )
        total = None
        if page.counts:
            total = (await SQL.count_deliveries(connection, **filters))["total"]
    found = [delivery_row(row) for row in rows[: page.limit]]
    last = found[-1].id if found else None
    shown = DeliveryList(found, paginate(page, total, last, has_more=len(rows) > page.limit))
    return Answer(200, _ENCODER.encode(shown))


async def list_inbox(call: Call[NoBody, ListQuery]) -> Answer | Refused:
    """GET /webhooks/{id}/inbox: what a managed endpoint received in the last 30 days."""
    page = read_page(call.query)
    if isinstance(page, Refused):
        return page
    endpoint = await find_endpoint(call)
    if endpoint is None:
        return NotFound()
    place = {"shard": call.book.shard, "book_id": call.book.book_id}
    after = _after(page, endpoint.endpoint_id)
    async with call.services.reader() as connection:
        offset = (await SQL.clock_offset(connection, **place))["clock_offset_seconds"]
        filters = {
            **place,
            "endpoint_id": endpoint.endpoint_id,
            "kept_from": clock.book_time(call.real_now, offset) - INBOX_DAYS,
            "from_time": call.query.from_,
            "to_time": call.query.to,
        }
        rows = await SQL.list_inbox(
            connection, **filters, after_number=after, limit=page.limit + 1, offset=page.offset
        )
        total = (await SQL.count_inbox(connection, **filters))["total"] if page.counts else None
    found = [inbox_row(row) for row in rows[: page.limit]]
    last = found[-1].id if found else None
    shown = InboxList(found, paginate(page, total, last, has_more=len(rows) > page.limit))
    return Answer(200, _ENCODER.encode(shown))


async def replay_delivery(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """POST /webhooks/{id}/deliveries/{deliveryId}/replay."""
    name = call.path["deliveryId"]
    found = read_delivery_id(name)
    if found is None or found[0] != call.path["id"]:
        return NotFound()

    def shown(requeued: Requeued) -> Answer:
        row = DeliveryReplayed(
            ok=True,
            delivery_id=name,
            previous_status=requeued.previous_status,
            new_status="pending",
            next_attempt_at=clock.wire_time(requeued.next_attempt_at),
        )
        return Answer(200, _ENCODER.encode(row))

    command = ReplayDelivery(endpoint_id=found[0], event_number=found[1])
    return await call.services.submit(call.book, command, shown, call.key)


async def replay(call: Call[ReplayBody, NoQuery]) -> Answer | Refused:
    """POST /webhooks/{id}/replay: every matching event of a time that was not delivered yet."""
    body, endpoint_id = call.body, call.path["id"]
    include = body.include_succeeded or False
    async with call.services.reader() as connection:
        found = await SQL.count_replay(
            connection,
            shard=call.book.shard,
            book_id=call.book.book_id,
            endpoint_id=endpoint_id,
            since=body.since,
            until=body.until,
            include_succeeded=include,
        )

    def shown(queued: Queued) -> Answer:
        return Answer(200, _ENCODER.encode(Replayed(ok=True, queued=queued.count)))

    command = ReplayEvents(
        endpoint_id=endpoint_id,
        replay_id=opaque("rpl_"),
        since=body.since,
        until=body.until,
        include_succeeded=include,
        first_number=found["first_number"],
        last_number=found["last_number"],
        count=found["count"],
    )
    return await call.services.submit(call.book, command, shown, call.key)


ROUTES: Final = (
    Route(
        "GET",
        "/webhooks/{id}/deliveries",
        list_deliveries,
        SCOPE,
        "List an endpoint's deliveries, newest first",
        DeliveryList,
        query=DeliveriesQuery,
        errors=("invalid_parameter", "not_found"),
    ),
    Route(
        "GET",
        "/webhooks/{id}/inbox",
        list_inbox,
        SCOPE,
        "List what a managed endpoint received, newest first",
        InboxList,
        query=ListQuery,
        errors=("invalid_parameter", "not_found"),
    ),
    Route(
        "POST",
        "/webhooks/{id}/deliveries/{deliveryId}/replay",
        replay_delivery,
        SCOPE,
        "Deliver one event again",
        DeliveryReplayed,
        errors=("not_found",),
    ),
    Route(
        "POST",
        "/webhooks/{id}/replay",
        replay,
        SCOPE,
        "Deliver the events of a time again",
        Replayed,
        body=ReplayBody,
        errors=("not_found",),
    ),
)

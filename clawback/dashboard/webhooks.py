"""Webhook endpoints and their deliveries, and the book's events, the newest first.

A secret is shown on the page that made it and never again. Everything is done by the API's calls.
"""

import re
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from clawback import clock
from clawback.dashboard.asking import Json
from clawback.dashboard.exporting import STEP, Listing, Piece, export_list
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.payments import PAGE
from clawback.dashboard.refunds import explained
from clawback.dashboard.roles import SEE, WEBHOOKS
from clawback.dashboard.sql import SQL
from clawback.errors import Refused

if TYPE_CHECKING:
    from asyncpg import Record

EVENT_COLUMNS: Final = ("number", "id", "type", "objectId", "version", "from", "to", "actor",
                        "createdAt")  # fmt: skip
PATTERNS: Final = ("*", "payment.*", "claim.*", "webhook.disabled")
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
STATUSES: Final = ("pending", "succeeded", "failed", "dead_letter")


def _patterns(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if one]


async def _read_events(visit: Visit, before: str | None, limit: int) -> "list[Record]":
    """Events as the address filters them, the newest first, those before a number."""
    book, query = visit.held.book, visit.query
    async with visit.house.services.reader() as connection:
        rows: list[Record] = await SQL.latest_events(
            connection,
            shard=book.shard,
            book_id=book.book_id,
            before=int(before) if before and _NUMBER.fullmatch(before) else None,
            object_id=query.get("objectId") or None,
            kind=query.get("type") or None,
            limit=limit,
        )
    return rows


async def show_events(visit: Visit) -> Response:
    """What happened in the book, the newest first."""
    rows = await _read_events(visit, visit.query.get("before"), PAGE)
    return visit.page("events.html", events=[dict(row) for row in rows], many=PAGE)


async def export_events(visit: Visit) -> Response:
    """What the list of events shows, as CSV; what each event says is in the API."""

    async def fetch(after: str | None) -> Piece | Refused:
        rows = await _read_events(visit, after, STEP)
        lines = [
            [row["number"], row["event_id"], row["type"], row["object_id"], row["version"],
             row["from_status"], row["to_status"], row["actor"],
             clock.wire_time(row["created_at"])]
            for row in rows
        ]  # fmt: skip
        return Piece(lines, len(rows), str(rows[-1]["number"]) if len(rows) == STEP else None)

    filters = {name: visit.query[name] for name in ("type", "objectId") if visit.query.get(name)}
    return await export_list(visit, Listing("events", EVENT_COLUMNS, filters, fetch))


async def show_list(
    visit: Visit, made: Json | None = None, error: Json | None = None, status: int = 200
) -> Response:
    """All endpoints, and the form for another."""
    found = await visit.ask.get("/webhooks", limit=100)
    if isinstance(found, Refused):
        return visit.refused(found)
    return visit.page(
        "webhooks.html",
        status,
        endpoints=found["data"],
        made=made,
        error=error,
        typed=visit.form,
        patterns=PATTERNS,
    )


async def create(visit: Visit) -> Response:
    """Make an endpoint; its secret is on the page that answers, this once."""
    form = visit.form
    body: dict[str, object] = {"events": _patterns(form.get("events", ""))}
    for name in ("url", "description"):
        if form.get(name, "").strip():
            body[name] = form[name].strip()
    found = await visit.ask.do("POST", "/webhooks", body)
    if isinstance(found, Refused):
        return await show_list(visit, None, explained(found), 422)
    return await show_list(visit, made=found)


async def show(
    visit: Visit, made: Json | None = None, error: Json | None = None, status: int = 200
) -> Response:
    """One endpoint with its deliveries, or what its inbox holds."""
    path = f"/webhooks/{visit.path['id']}"
    endpoint = await visit.ask.get(path)
    if isinstance(endpoint, Refused):
        return visit.refused(endpoint)
    wanted = visit.query.get("status")
    after = visit.query.get("after")
    chosen = wanted if wanted in STATUSES else None
    found = await visit.ask.get(f"{path}/deliveries", status=chosen, limit=PAGE, after=after)
    if isinstance(found, Refused):
        return visit.refused(found)
    inbox = await visit.ask.get(f"{path}/inbox", limit=20) if endpoint["managed"] else None
    return visit.page(
        "webhook.html",
        status,
        endpoint=endpoint,
        deliveries=found["data"],
        page=found["pagination"],
        inbox=[] if inbox is None or isinstance(inbox, Refused) else inbox["data"],
        statuses=STATUSES,
        made=made,
        error=error,
    )


async def change(visit: Visit) -> Response:
    """Change an endpoint, or switch it off and on."""
    form = visit.form
    body: dict[str, object] = {}
    if "events" in form:
        body = {
            "events": _patterns(form["events"]),
            "description": form.get("description", "").strip() or None,
        }
        if form.get("url", "").strip():
            body["url"] = form["url"].strip()
    if "active" in form:
        body["active"] = form["active"] == "true"
    return await _done(visit, "PATCH", "", body)


async def remove(visit: Visit) -> Response:
    """Remove an endpoint with its deliveries; the events stay."""
    found = await visit.ask.do("DELETE", f"/webhooks/{visit.path['id']}", {})
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return visit.go("/webhooks")


async def rotate(visit: Visit) -> Response:
    """A new secret, on the page that answers, this once."""
    body = {"immediate": visit.form.get("immediate") == "true"}
    found = await visit.ask.do("POST", f"/webhooks/{visit.path['id']}/rotate-secret", body)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return await show(visit, made=found)


async def resend(visit: Visit) -> Response:
    """One delivery again."""
    return await _done(visit, "POST", f"/deliveries/{visit.path['delivery']}/replay", {})


async def replay(visit: Visit) -> Response:
    """All of a time that were not delivered yet."""
    body: dict[str, object] = {"since": f"{visit.form.get('since', '')}T00:00:00Z"}
    if visit.form.get("all") == "true":
        body["includeSucceeded"] = True
    return await _done(visit, "POST", "/replay", body)


async def _done(visit: Visit, method: str, path: str, body: dict[str, object]) -> Response:
    name = visit.path["id"]
    found = await visit.ask.do(method, f"/webhooks/{name}{path}", body)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return visit.go(f"/webhooks/{name}")


PAGES: Final = (
    BookPage("/events", show_events, SEE),
    BookPage("/events.csv", export_events, SEE),
    BookPage("/webhooks", show_list, WEBHOOKS),
    BookPage("/webhooks", create, WEBHOOKS, method="POST"),
    BookPage("/webhooks/{id}", show, WEBHOOKS),
    BookPage("/webhooks/{id}", change, WEBHOOKS, method="POST"),
    BookPage("/webhooks/{id}/remove", remove, WEBHOOKS, method="POST"),
    BookPage("/webhooks/{id}/rotate", rotate, WEBHOOKS, method="POST"),
    BookPage("/webhooks/{id}/replay", replay, WEBHOOKS, method="POST"),
    BookPage("/webhooks/{id}/deliveries/{delivery}/resend", resend, WEBHOOKS, method="POST"),
)

"""Payments: found, listed as the API lists them, kept as CSV; and each one with all about it.

Filters stay in the address. The list, its export and the page of one payment are the API's own
answers; the capability panel is its preflight.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from clawback.currencies import exponent
from clawback.dashboard.asking import Asking, Json
from clawback.dashboard.csvs import csv_file
from clawback.dashboard.exporting import Fetch, Listing, Piece, export_list, read_api
from clawback.dashboard.flow import draw, flow_in, lines_of, read_moves
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.home import book_now
from clawback.dashboard.names import read_names
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.dashboard.words import read_time
from clawback.errors import NotFound, Refused
from clawback.ids import is_well_formed
from clawback.money import major_text

if TYPE_CHECKING:
    from asyncpg import Record

STATUSES: Final = ("pending", "processing", "completed", "failed", "expired", "refunded",
                   "chargeback")  # fmt: skip
FILTERS: Final = ("status", "paymentMethodId", "currencyLocal", "merchantOrderId", "disputed")
PAGE: Final = 50
_FOUND: Final = 50
_SHOWN: Final = 100
COLUMNS: Final = (
    "id", "status", "amount", "currency", "amountLocal", "currencyLocal", "remaining",
    "amountRefunded", "amountChargedBack", "disputed", "paymentMethodId", "country",
    "merchantOrderId", "userName", "userEmail", "providerReference", "railReference", "createdAt",
    "completedAt",
)  # fmt: skip


def filters_of(given: dict[str, str]) -> dict[str, str]:
    """The filters of an address, as the API takes them; days are whole days in UTC."""
    found = {name: given[name] for name in FILTERS if given.get(name)}
    for name in ("from", "to"):
        if given.get(name):
            found[name] = f"{given[name]}T00:00:00Z"
    return found


class Found(msgspec.Struct, frozen=True):
    """What a search finds; `has_more`: not all of it."""

    payments: list[Json]
    has_more: bool


async def show_list(visit: Visit) -> Response:
    """The list, or what a search finds in it; filters stay in the address."""
    text = text_of(visit)
    for prefix, place in (("TXN-", "payments"), ("CLM-", "claims")):
        if is_well_formed(text.upper(), prefix):
            return visit.lead(f"/{place}/{text.upper()}")
    filters, fault = filters_of(visit.query), ""
    nothing: Json = {"data": [], "pagination": {"total": 0, "next": None}}
    found: Json | Refused
    if text:
        matches = await search(visit, text, filters)
        found = matches if isinstance(matches, Refused) else _as_page(matches)
    else:
        after = visit.query.get("after")
        found = await visit.ask.get("/payments", **filters, limit=PAGE, after=after)
    if isinstance(found, Refused):
        fault, found = found.message, nothing
    methods = await visit.ask.get("/payment-methods")
    return visit.page(
        "payments.html",
        payments=found["data"],
        page=found["pagination"],
        fault=fault,
        text=text,
        statuses=STATUSES,
        methods=[] if isinstance(methods, Refused) else methods["methods"],
    )


def text_of(visit: Visit) -> str:
    """What is searched for."""
    return visit.query.get("q", "").strip()[:128]


def _as_page(found: Found) -> Json:
    """As a list answers; of a search with more than is shown the total is not known."""
    total = None if found.has_more else len(found.payments)
    return {"data": found.payments, "pagination": {"total": total, "next": None}}


async def search(visit: Visit, text: str, filters: dict[str, str]) -> Found | Refused:
    """Payments by an order, a reference or the payer, filtered. Refuses: what the list refuses."""
    tried = await visit.ask.get("/payments", **filters, limit=1)
    if isinstance(tried, Refused):
        return tried
    book, since, until = visit.held.book, filters.get("from"), filters.get("to")
    disputed = filters.get("disputed")
    async with visit.house.services.reader() as connection:
        rows = await SQL.search_payments(
            connection,
            shard=book.shard,
            book_id=book.book_id,
            text=text,
            status=filters.get("status"),
            method_id=filters.get("paymentMethodId"),
            currency=filters.get("currencyLocal"),
            merchant_order_id=filters.get("merchantOrderId"),
            disputed=None if disputed is None else disputed == "true",
            from_time=None if since is None else read_time(since),
            to_time=None if until is None else read_time(until),
            limit=_FOUND + 1,
        )
    found = [await visit.ask.get(f"/payments/{row['payment_id']}") for row in rows[:_FOUND]]
    return Found([one for one in found if not isinstance(one, Refused)], len(rows) > _FOUND)


async def export(visit: Visit) -> Response:
    """What the list shows, as CSV."""
    text, filters = text_of(visit), filters_of(visit.query)
    fetch = read_api(visit, "/payments", filters, _lines_of)
    if text:
        fetch, filters = _read_search(visit, text, filters), {"q": text, **filters}
    return await export_list(visit, Listing("payments", COLUMNS, filters, fetch))


def _read_search(visit: Visit, text: str, filters: dict[str, str]) -> Fetch:
    async def fetch(_: str | None) -> Piece | Refused:
        found = await search(visit, text, filters)
        if isinstance(found, Refused):
            return found
        lines = [line for row in found.payments for line in _lines_of(row)]
        return Piece(lines, len(found.payments), None, found.has_more)

    return fetch


def _lines_of(row: Json) -> list[list[object]]:
    return [[row[name] for name in COLUMNS]]


async def read_payment(ask: Asking, payment_id: str) -> Json | Refused:
    """A payment, as the API shows it."""
    if not is_well_formed(payment_id, "TXN-"):
        return NotFound()
    return await ask.get(f"/payments/{payment_id}")


async def show(visit: Visit) -> Response:
    """One payment: what it is, what is left of it, its claims, what a refund would meet."""
    payment = await read_payment(visit.ask, visit.path["id"])
    if isinstance(payment, Refused):
        return visit.refused(payment)
    moves = await read_moves(visit.ask, payment["id"])
    ability = await visit.ask.get(f"/payments/{payment['id']}/refundability")
    events = await visit.ask.get("/events", objectId=payment["id"], limit=100)
    for one in (moves, ability, events):
        if isinstance(one, Refused):
            return visit.refused(one)
    assert isinstance(moves, tuple)
    assert isinstance(events, dict)
    entries, claims = moves
    flow = flow_in(entries, claims)
    return visit.page(
        "payment.html",
        payment=payment,
        claims=claims.rows[:_SHOWN],
        ability=ability,
        events=events["data"],
        entries=entries.rows[:_SHOWN][::-1],
        flow=flow,
        picture=flow and draw(flow),
        facts=await read_facts(visit, payment["id"]),
        names=await read_names(visit, [one["requestedBy"] for one in claims.rows[:_SHOWN]]),
        now=await book_now(visit),
    )


async def export_flow(visit: Visit) -> Response:
    """Where the payment's money came from and is, as CSV."""
    payment = await read_payment(visit.ask, visit.path["id"])
    if isinstance(payment, Refused):
        return visit.refused(payment)
    moves = await read_moves(visit.ask, payment["id"])
    if isinstance(moves, Refused):
        return visit.refused(moves)
    flow = flow_in(*moves)
    return csv_file("flow", ("side", "place", "usd"), lines_of(flow) if flow else ())


async def read_facts(visit: Visit, object_id: str) -> list[Json]:
    """What providers told us of an object; `amount` in major units, None where none was named."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.list_facts(
            connection, shard=book.shard, book_id=book.book_id, object_id=object_id
        )
    return [{**row, "amount": _amount_of(row)} for row in rows]


def _amount_of(row: "Record") -> Decimal | None:
    if row["amount_minor"] is None or row["currency"] is None:
        return None
    return Decimal(major_text(row["amount_minor"], exponent(row["currency"])))


PAGES: Final = (
    BookPage("/payments", show_list, SEE),
    BookPage("/payments.csv", export, SEE),
    BookPage("/payments/{id}", show, SEE),
    BookPage("/payments/{id}/flow.csv", export_flow, SEE),
)

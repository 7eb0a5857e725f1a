"""Payments: found, listed as the API lists them, kept as CSV; and each one with all about it.

Filters stay in the address. The list, its export and the page of one payment are the API's own
answers; the capability panel is its preflight.
"""

from typing import Final

from starlette.responses import Response

from clawback.dashboard.asking import Asking, Json
from clawback.dashboard.csvs import csv_file
from clawback.dashboard.exporting import export_list
from clawback.dashboard.flow import Rows, draw, flow_in, lines_of, read_all
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.home import book_now
from clawback.dashboard.names import read_names
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.errors import NotFound, Refused
from clawback.ids import is_well_formed

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


async def show_list(visit: Visit) -> Response:
    """The list, or what a search finds."""
    text = visit.query.get("q", "").strip()[:128]
    if text:
        return await _search(visit, text)
    filters = filters_of(visit.query)
    after = visit.query.get("after")
    found = await visit.ask.get("/payments", **filters, limit=PAGE, after=after)
    fault = ""
    if isinstance(found, Refused):
        fault, found = found.message, {"data": [], "pagination": {"total": 0, "next": None}}
    methods = await visit.ask.get("/payment-methods")
    return visit.page(
        "payments.html",
        payments=found["data"],
        page=found["pagination"],
        fault=fault,
        text="",
        statuses=STATUSES,
        methods=[] if isinstance(methods, Refused) else methods["methods"],
    )


async def _search(visit: Visit, text: str) -> Response:
    """By id straight to the page; by an order, a reference or the payer, a list."""
    name = text.upper()
    for prefix, place in (("TXN-", "payments"), ("CLM-", "claims")):
        if is_well_formed(name, prefix):
            return visit.lead(f"/{place}/{name}")
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.search_payments(
            connection, shard=book.shard, book_id=book.book_id, text=text, limit=_FOUND
        )
    found = [await visit.ask.get(f"/payments/{row['payment_id']}") for row in rows]
    payments = [one for one in found if not isinstance(one, Refused)]
    return visit.page(
        "payments.html",
        payments=payments,
        page={"total": len(payments), "next": None},
        fault="",
        text=text,
        statuses=STATUSES,
        methods=[],
    )


async def export(visit: Visit) -> Response:
    """The filtered list as CSV."""
    return await export_list(visit, "/payments", filters_of(visit.query), COLUMNS)


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
    entries = await read_all(visit.ask, "/ledger/entries", payment["id"])
    claims = await read_all(visit.ask, "/claims", payment["id"])
    ability = await visit.ask.get(f"/payments/{payment['id']}/refundability")
    events = await visit.ask.get("/events", objectId=payment["id"], limit=100)
    for one in (claims, ability, events, entries):
        if isinstance(one, Refused):
            return visit.refused(one)
    assert isinstance(claims, Rows)
    assert isinstance(events, dict)
    assert isinstance(entries, Rows)
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
    entries = await read_all(visit.ask, "/ledger/entries", payment["id"])
    claims = await read_all(visit.ask, "/claims", payment["id"])
    for one in (entries, claims):
        if isinstance(one, Refused):
            return visit.refused(one)
    assert isinstance(entries, Rows)
    assert isinstance(claims, Rows)
    flow = flow_in(entries, claims)
    return csv_file("flow", ("side", "place", "usd"), lines_of(flow) if flow else ())


async def read_facts(visit: Visit, object_id: str) -> list[Json]:
    """What providers told us of an object."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await SQL.list_facts(
            connection, shard=book.shard, book_id=book.book_id, object_id=object_id
        )
    return [dict(row) for row in rows]


PAGES: Final = (
    BookPage("/payments", show_list, SEE),
    BookPage("/payments.csv", export, SEE),
    BookPage("/payments/{id}", show, SEE),
    BookPage("/payments/{id}/flow.csv", export_flow, SEE),
)

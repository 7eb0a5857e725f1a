"""Claims: the list, the queue of those that wait for a person, and one with its whole life.

A claim's page shows each step with the postings behind it, the tries to make the provider act, what
providers told us, the evidence, and the decisions that the person's role allows.
"""

from typing import Final

from starlette.responses import Response

from clawback.claims.reviews import FINDINGS
from clawback.dashboard.asking import Json
from clawback.dashboard.csvs import file_headers
from clawback.dashboard.exporting import Listing, export_list, read_api
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.home import WORK, book_now, count_work, list_work
from clawback.dashboard.names import read_names
from clawback.dashboard.payments import PAGE, read_facts
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.db.queries import Query
from clawback.errors import NotFound, Refused
from clawback.ids import is_well_formed

KINDS: Final = ("user_dispute", "inquiry", "chargeback", "med")
STATUSES: Final = ("pending", "approved", "released", "rejected", "failed", "canceled", "reversed")
REASONS: Final = ("awaiting_evidence", "awaiting_payer_details", "awaiting_approval",
                  "awaiting_funds", "provider_unknown", "processing")  # fmt: skip
EVIDENCE: Final = ("receipt", "shipping", "communication", "refund_proof", "terms", "identity",
                   "other")  # fmt: skip
FILTERS: Final = ("kind", "status", "pendingReason", "transactionId", "needsReview")
COLUMNS: Final = (
    "id", "kind", "status", "pendingReason", "resolution", "amount", "currency", "amountUsd",
    "amountReleased", "amountReleasedUsd", "frozenUsd", "missingUsd", "inTransitUsd",
    "transactionId", "reason", "reasonCode", "requestedBy", "providerReference", "railReference",
    "evidenceDueAt", "createdAt", "resolvedAt", "releasedAt",
)  # fmt: skip
SHARE_DAYS: Final = 30
_QUEUE: Final = 200


def filters_of(given: dict[str, str]) -> dict[str, str]:
    """The filters of an address, as the API takes them; days are whole days in UTC."""
    filters = {name: given[name] for name in FILTERS if given.get(name)}
    for name in ("from", "to"):
        if given.get(name):
            filters[name] = f"{given[name]}T00:00:00Z"
    return filters


async def export(visit: Visit) -> Response:
    """What the list shows, as CSV."""
    filters = filters_of(visit.query)
    fetch = read_api(visit, "/claims", filters, lambda row: [[row[name] for name in COLUMNS]])
    return await export_list(visit, Listing("claims", COLUMNS, filters, fetch))


async def show_list(visit: Visit) -> Response:
    """The list, newest first; filters stay in the address."""
    filters = filters_of(visit.query)
    after = visit.query.get("after")
    found = await visit.ask.get("/claims", **filters, limit=PAGE, after=after)
    fault = ""
    if isinstance(found, Refused):
        fault, found = found.message, {"data": [], "pagination": {"total": 0, "next": None}}
    return visit.page(
        "claims.html",
        claims=found["data"],
        page=found["pagination"],
        fault=fault,
        kinds=KINDS,
        statuses=STATUSES,
        reasons=REASONS,
        now=await book_now(visit),
    )


async def show_work(visit: Visit) -> Response:
    """What waits for a person, by deadline."""
    reason = visit.query.get("reason")
    wanted = reason if reason in WORK else None
    counts = await count_work(visit)
    return visit.page(
        "work.html",
        work=await list_work(visit, wanted, _QUEUE),
        counts=[(one, counts.get(one, 0)) for one in WORK],
        reason=wanted,
        now=await book_now(visit),
    )


async def read_claim(visit: Visit) -> Json | Refused:
    """The claim of the page's path."""
    claim_id = visit.path["id"]
    if not is_well_formed(claim_id, "CLM-"):
        return NotFound()
    return await visit.ask.get(f"/claims/{claim_id}")


async def show(
    visit: Visit, error: Json | None = None, status: int = 200, shared: str | None = None
) -> Response:
    """One claim. `shared`: a link for its payer that was just made."""
    claim = await read_claim(visit)
    if isinstance(claim, Refused):
        return visit.refused(claim)
    payment = await visit.ask.get(f"/payments/{claim['transactionId']}")
    entries = await visit.ask.get("/ledger/entries", claimId=claim["id"], limit=100)
    if isinstance(payment, Refused) or isinstance(entries, Refused):
        return visit.refused(payment if isinstance(payment, Refused) else NotFound())
    facts = await read_facts(visit, claim["id"])
    acts = await _read_rows(visit, SQL.list_acts, object_id=claim["id"])
    actors = [step["actor"] for step in claim["timeline"]] + [act["actor"] for act in acts]
    actors += [claim["requestedBy"], claim["approval"]["by"]]
    reviews = await _read_rows(visit, SQL.list_reviews, claim_id=claim["id"])
    actors += [one["who"] for one in reviews] + [one["confirmed_who"] for one in reviews]
    return visit.page(
        "claim.html",
        status,
        claim=claim,
        payment=payment,
        steps=steps_of(claim, entries["data"]),
        acts=acts,
        facts=facts,
        said={fact["event_key"]: fact["reason"] for fact in facts},
        reviews=reviews,
        findings=FINDINGS,
        names=await read_names(visit, actors),
        evidence_types=EVIDENCE,
        error=error,
        shared=shared,
        share_days=SHARE_DAYS,
        can_share=visit.house.services.seal() is not None,
        typed=visit.form,
        now=await book_now(visit),
    )


def steps_of(claim: Json, entries: list[Json]) -> list[Json]:
    """The timeline, each step with the entries that its commit booked, by their movement."""
    steps: list[Json] = [{**step, "entries": []} for step in claim["timeline"]]
    for entry in sorted(entries, key=lambda one: one["height"]):
        same = [step for step in steps if step["at"] == entry["createdAt"] and step["movement"]]
        own = [step for step in same if step["movement"] == entry["type"]]
        before = [step for step in steps if step["at"] <= entry["createdAt"]]
        (own or same or before[-1:] or steps)[0]["entries"].append(entry)
    return steps


async def _read_rows(visit: Visit, query: Query, **more: object) -> list[Json]:
    """Rows of the visit's book."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        rows = await query(connection, shard=book.shard, book_id=book.book_id, **more)
    return [dict(row) for row in rows]


async def send_file(visit: Visit) -> Response:
    """A file of the evidence: to be kept, never shown in place."""
    book = visit.held.book
    async with visit.house.services.reader() as connection:
        row = await SQL.find_file(
            connection,
            shard=book.shard,
            book_id=book.book_id,
            claim_id=visit.path["id"],
            evidence_id=visit.path["evidence"],
        )
    if row is None:
        return visit.refused(NotFound())
    suffix = {"application/pdf": "pdf", "image/png": "png", "image/jpeg": "jpg"}
    kind = str(row["content_type"])
    headers = file_headers(visit.path["evidence"])
    name = f"{visit.path['evidence']}.{suffix[kind]}"
    headers["content-disposition"] = f'attachment; filename="{name}"'
    return Response(bytes(row["content"]), 200, headers, kind)


PAGES: Final = (
    BookPage("/claims", show_list, SEE),
    BookPage("/claims.csv", export, SEE),
    BookPage("/work", show_work, SEE),
    BookPage("/claims/{id}", show, SEE),
    BookPage("/claims/{id}/evidence/{evidence}/file", send_file, SEE),
)

"""Claims as they are read: one with its whole history, or lists of them (contract, section 8).

Reads never wait for a lane. A command that answers with the whole claim joins the history that was
read before it with what it added, so that the stored answer is whole too.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from clawback import clock
from clawback.claims.ending import Changed
from clawback.claims.links import make_link
from clawback.claims.wire import (
    AttemptWire,
    ClaimRow,
    ClaimWire,
    EntryLink,
    EvidenceWire,
    Step,
    row_fields,
)
from clawback.db import queries
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, is_well_formed
from clawback.lanes.records import Claim
from clawback.lists import ListQuery, LongLists, Pagination, ParameterRefused, paginate, read_page
from clawback.route import Answer, BookRef, Call, NoBody, NoQuery, QueryT, Route, Services

if TYPE_CHECKING:
    from asyncpg import Record

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()
_ROW: Final = msgspec.json.Decoder(Claim)
_LONG_LISTS: Final = LongLists(frozenset({"shard", "book_id", "kind", "payment_id", "shop_id"}))


class History(msgspec.Struct, frozen=True):
    """What happened to a claim so far."""

    attempts: list[AttemptWire]
    timeline: list[Step]
    entries: list[EntryLink]
    evidence: list[EvidenceWire]


async def read_history(services: Services, book: BookRef, claim_id: ClaimId) -> History:
    """The claim's attempts, versions and entries, oldest first."""
    place = {"shard": book.shard, "book_id": book.book_id}
    async with services.reader() as connection:
        steps = await SQL.list_timeline(connection, **place, claim_id=claim_id)
        attempts = await SQL.list_attempts(connection, **place, claim_id=claim_id)
        evidence = await SQL.list_evidence(connection, **place, claim_id=claim_id)
        entries = await SQL.list_entries(
            connection, **place, first_cause=f"{claim_id}:", last_cause=f"{claim_id};"
        )
    return History(
        attempts=[_attempt(row) for row in attempts],
        timeline=[_step(row) for row in steps],
        entries=[_link(row["entry_id"], row["type"]) for row in entries],
        evidence=[_evidence(row) for row in evidence],
    )


def _attempt(row: "Record") -> AttemptWire:
    return AttemptWire(
        row["attempt_id"],
        row["number"],
        row["operation"],
        row["outcome"],
        row["provider_reference"],
        clock.wire_time(row["started_at"]),
        clock.maybe_wire_time(row["ended_at"]),
    )


def _step(row: "Record") -> Step:
    return Step(
        row["version"],
        clock.wire_time(row["created_at"]),
        row["from_status"],
        row["to_status"],
        row["movement"],
        row["actor"],
        row["note"],
    )


def _evidence(row: "Record") -> EvidenceWire:
    return EvidenceWire(
        row["evidence_id"],
        row["type"],
        row["content"],
        row["filename"],
        row["content_type"],
        row["size_bytes"],
        row["sha256"],
        row["note"],
        clock.wire_time(row["created_at"]),
    )


async def exists(services: Services, book: BookRef, claim_id: ClaimId) -> bool:
    """Whether the book has a claim of that name."""
    async with services.reader() as connection:
        row = await SQL.find_claim(
            connection, shard=book.shard, book_id=book.book_id, claim_id=claim_id
        )
    return row is not None


def _link(entry_id: str, kind: str) -> EntryLink:
    return EntryLink(entry_id, kind, f"/api/v1/ledger/entries?id={entry_id}")


def render_claim(claim: Claim, mode: str, history: History, link: str | None = None) -> bytes:
    """The whole claim."""
    row = row_fields(claim, mode, link)
    return _ENCODER.encode(
        ClaimWire(
            **{name: getattr(row, name) for name in row.__struct_fields__},
            evidence=history.evidence,
            attempts=history.attempts,
            timeline=history.timeline,
            entries=history.entries,
        )
    )


def render_changed(changed: Changed, mode: str, before: History) -> bytes:
    """The whole claim after a command: the history read before it, and what it added."""
    steps = [
        Step(
            notice.version,
            clock.wire_time(notice.at),
            notice.from_status,
            notice.to_status,
            notice.movement,
            notice.actor,
            notice.note,
        )
        for notice in changed.notices
        if notice.version is not None and notice.subject.version == notice.version
    ]
    known = {step.version for step in before.timeline}
    links = [_link(entry.entry_id, entry.type) for entry in changed.entries]
    after = History(
        attempts=before.attempts,
        timeline=[*before.timeline, *(step for step in steps if step.version not in known)],
        evidence=before.evidence,
        entries=[*before.entries, *(link for link in links if link not in before.entries)],
    )
    return render_claim(changed.claim, mode, after)


async def _find(call: Call[NoBody, QueryT], claim_id: str) -> Claim | None:
    if not is_well_formed(claim_id, "CLM-"):
        return None
    async with call.services.reader() as connection:
        row = await SQL.find_claim(
            connection, shard=call.book.shard, book_id=call.book.book_id, claim_id=claim_id
        )
    return None if row is None else _ROW.decode(row["row"])


async def read(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /claims/{id}: the claim with its whole history."""
    claim = await _find(call, call.path["id"])
    if claim is None:
        return NotFound()
    history = await read_history(call.services, call.book, claim.claim_id)
    link = make_link(call.services, claim)
    return Answer(200, render_claim(claim, call.book.mode, history, link))


Kind = Literal["user_dispute", "inquiry", "chargeback", "med"]
Status = Literal["pending", "approved", "released", "rejected", "canceled", "failed", "reversed"]
Waiting = Literal[
    "awaiting_evidence",
    "awaiting_payer_details",
    "awaiting_approval",
    "awaiting_funds",
    "provider_unknown",
    "processing",
]


class ClaimsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Filters of GET /claims."""

    kind: Kind | None = None
    status: Status | None = None
    pending_reason: Waiting | None = None
    transaction_id: str | None = None
    shop_id: str | None = None
    needs_review: bool | None = None
    due_before: datetime | None = None


class ClaimList(msgspec.Struct, frozen=True):
    """A page of claims."""

    data: list[ClaimRow]
    pagination: Pagination


async def list_claims(call: Call[NoBody, ClaimsQuery]) -> Answer | Refused:
    """GET /claims, newest first."""
    query = call.query
    page = read_page(query)
    if isinstance(page, Refused):
        return page
    filters = {
        "shard": call.book.shard,
        "book_id": call.book.book_id,
        "kind": query.kind,
        "status": query.status,
        "pending_reason": query.pending_reason,
        "payment_id": query.transaction_id,
        "shop_id": query.shop_id,
        "needs_review": query.needs_review,
        "due_before": query.due_before,
        "from_time": query.from_,
        "to_time": query.to,
    }
    async with call.services.reader() as connection:
        rows = await SQL.list_claims(
            connection, **filters, after_id=page.after, limit=page.limit + 1, offset=page.offset
        )

        async def count() -> int:
            return int((await SQL.count_claims(connection, **filters))["total"])

        total = await _LONG_LISTS.total(filters, count) if page.counts else None
    if not rows and page.after is not None and await _find(call, page.after) is None:
        return ParameterRefused(param="after")
    claims = [_ROW.decode(row["row"]) for row in rows[: page.limit]]
    shown = ClaimList(
        [row_fields(one, call.book.mode, make_link(call.services, one)) for one in claims],
        paginate(
            page,
            total,
            claims[-1].claim_id if claims else None,
            has_more=len(rows) > page.limit,
        ),
    )
    return Answer(200, _ENCODER.encode(shown))


ROUTES: Final = (
    Route(
        "GET",
        "/claims",
        list_claims,
        "claims:read",
        "List claims, newest first",
        ClaimList,
        query=ClaimsQuery,
        errors=("invalid_parameter",),
    ),
    Route(
        "GET",
        "/claims/{id}",
        read,
        "claims:read",
        "Show a claim with its whole history",
        ClaimWire,
        errors=("not_found",),
    ),
)

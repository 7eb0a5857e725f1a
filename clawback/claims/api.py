"""The calls on refunds and claims: refund, cancel, get, list (contract, sections 7.1 and 8.5).

The refund call takes and answers exactly what the refund page says: local currency, major units,
eight fields in the page's order. It is answered after the freeze has committed.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from clawback import clock
from clawback.claims.model import CancelRefund, OpenRefund
from clawback.claims.notices import receive
from clawback.claims.wire import AttemptWire, ClaimRow, ClaimWire, EntryLink, Step, row_fields
from clawback.currencies import exponent
from clawback.db import queries
from clawback.errors import InvalidAmount, NotFound, Refused
from clawback.ids import ClaimId, PaymentId, is_well_formed
from clawback.lanes.records import Claim
from clawback.lists import ListQuery, Pagination, paginate, read_page
from clawback.money import Amount, AmountError, major, not_negative, positive, usd
from clawback.route import (
    PROVIDER,
    Answer,
    BookRef,
    Call,
    NoBody,
    NoQuery,
    Route,
    Services,
)

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()
_ROW: Final = msgspec.json.Decoder(Claim)

Reason = Annotated[str, msgspec.Meta(max_length=500)]


class RefundBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /payments/{id}/refund."""

    amount: Amount | msgspec.UnsetType = msgspec.UNSET
    reason: Reason | None = None
    expected_remaining: Amount | msgspec.UnsetType = msgspec.UNSET


class RefundOpened(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of the refund page, in its order."""

    refund_id: str
    transaction_id: str
    amount: msgspec.Raw
    amount_usd: msgspec.Raw
    currency: str
    status: str
    reason: str | None
    created_at: str


def _opened(claim: Claim) -> Answer:
    body = RefundOpened(
        claim.claim_id,
        claim.payment_id,
        major(claim.amount_minor, exponent(claim.currency)),
        usd(claim.amount_usd_e4),
        claim.currency,
        claim.status,
        claim.reason,
        clock.wire_time(claim.created_at),
    )
    return Answer(201, _ENCODER.encode(body), f"/api/v1/claims/{claim.claim_id}")


async def refund(call: Call[RefundBody, NoQuery]) -> Answer | Refused:
    """POST /payments/{id}/refund: open a claim for a part or all of a captured payment."""
    body, param = call.body, "amount"
    try:
        amount = None if body.amount is msgspec.UNSET else positive(body.amount)
        param = "expectedRemaining"
        guard = body.expected_remaining
        expected = None if guard is msgspec.UNSET else not_negative(guard)
    except AmountError as error:
        return InvalidAmount(param=param, rule=error.rule, maximum=error.maximum)
    payment_id = call.path["id"]
    if not is_well_formed(payment_id, "TXN-"):
        return NotFound()
    return await call.services.submit(
        call.book,
        OpenRefund(
            payment_id=PaymentId(payment_id),
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            amount=amount,
            reason=body.reason,
            expected_remaining=expected,
            actor=call.caller.actor,
        ),
        _opened,
        call.key,
    )


class CancelBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /claims/{id}/cancel."""

    reason: Reason | None = None


async def cancel(call: Call[CancelBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/cancel: withdraw a refund that has not been sent."""
    claim_id = call.path["id"]
    if not is_well_formed(claim_id, "CLM-"):
        return NotFound()
    ended: list[Claim] = []

    def note(claim: Claim) -> Answer:
        ended.append(claim)
        return Answer(200, _ENCODER.encode(row_fields(claim, call.book.mode)))

    outcome = await call.services.submit(
        call.book,
        CancelRefund(claim_id=ClaimId(claim_id), reason=call.body.reason, actor=call.caller.actor),
        note,
        call.key,
    )
    if isinstance(outcome, Refused) or call.key is not None:
        return outcome
    return await _show(call.services, call.book, ended[-1])


# Reading


async def read(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /claims/{id}: the claim with its whole history."""
    claim_id = call.path["id"]
    if not is_well_formed(claim_id, "CLM-"):
        return NotFound()
    async with call.services.reader() as connection:
        row = await SQL.find_claim(
            connection, shard=call.book.shard, book_id=call.book.book_id, claim_id=claim_id
        )
    return NotFound() if row is None else await _show(call.services, call.book, _ROW.decode(row["row"]))


async def _show(services: Services, book: BookRef, claim: Claim) -> Answer:
    place = {"shard": book.shard, "book_id": book.book_id}
    async with services.reader() as connection:
        steps = await SQL.list_timeline(connection, **place, claim_id=claim.claim_id)
        attempts = await SQL.list_attempts(connection, **place, claim_id=claim.claim_id)
        entries = await SQL.list_entries(
            connection,
            **place,
            first_cause=f"{claim.claim_id}:",
            last_cause=f"{claim.claim_id};",
        )
    row = row_fields(claim, book.mode)
    shown = ClaimWire(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        evidence=[],
        attempts=[
            AttemptWire(
                one["attempt_id"],
                one["number"],
                one["operation"],
                one["outcome"],
                one["provider_reference"],
                clock.wire_time(one["started_at"]),
                clock.maybe_wire_time(one["ended_at"]),
            )
            for one in attempts
        ],
        timeline=[
            Step(
                one["version"],
                clock.wire_time(one["created_at"]),
                one["from_status"],
                one["to_status"],
                one["movement"],
                one["actor"],
                one["note"],
            )
            for one in steps
        ],
        entries=[
            EntryLink(
                one["entry_id"], one["type"], f"/api/v1/ledger/entries?id={one['entry_id']}"
            )
            for one in entries
        ],
    )
    return Answer(200, _ENCODER.encode(shown))


class ClaimsQuery(
    ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Filters of GET /claims."""

    kind: str | None = None
    status: str | None = None
    pending_reason: str | None = None
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
        total = (await SQL.count_claims(connection, **filters))["total"] if page.counts else None
    claims = [_ROW.decode(row["row"]) for row in rows[: page.limit]]
    shown = ClaimList(
        [row_fields(claim, call.book.mode) for claim in claims],
        paginate(
            page,
            total,
            claims[-1].claim_id if claims else None,
            has_more=len(rows) > page.limit,
        ),
    )
    return Answer(200, _ENCODER.encode(shown))


class AccountQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the provider's accounts a webhook is for."""

    account: str = "default"


class Received(msgspec.Struct, frozen=True):
    """The fact is stored."""

    received: bool


_REFUND_ERRORS: Final = (
    "not_found",
    "invalid_amount",
    "payment_not_refundable",
    "payment_disputed",
    "refund_not_supported",
    "refund_window_closed",
    "partial_refund_not_supported",
    "multiple_refunds_not_supported",
    "remaining_changed",
    "refund_exceeds_remaining",
    "key_limit_exceeded",
)

ROUTES: Final = (
    Route(
        "POST",
        "/payments/{id}/refund",
        refund,
        "claims:write",
        "Refund a captured payment in full or in part",
        RefundOpened,
        status=201,
        body=RefundBody,
        empty_body=False,
        errors=_REFUND_ERRORS,
    ),
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
    Route(
        "POST",
        "/claims/{id}/cancel",
        cancel,
        "claims:write",
        "Withdraw a refund that has not been sent",
        ClaimWire,
        body=CancelBody,
        errors=("not_found", "claim_transition_invalid", "claim_in_flight"),
    ),
    Route(
        "POST",
        "/providers/{provider}/webhooks",
        receive,
        PROVIDER,
        "Take a provider's notice",
        Received,
        query=AccountQuery,
        errors=("invalid_signature", "stale_timestamp", "route_not_found"),
    ),
)


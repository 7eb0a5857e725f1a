"""A claim as every call and every event shows it: wire words, major units.

The one place that knows the wire form of a claim (contract, section 8.1).
"""

from typing import Final

import msgspec

from clawback import clock
from clawback.currencies import exponent
from clawback.lanes.records import Claim
from clawback.lanes.state import BookState
from clawback.money import major, usd

_ENCODER: Final = msgspec.json.Encoder()


class Approval(msgspec.Struct, frozen=True):
    """Whether a second principal must decide, and who did."""

    required: bool
    by: str | None
    at: str | None


class ClaimRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A claim as in lists and events."""

    id: str
    refund_id: str | None
    kind: str
    transaction_id: str
    related_claim_id: str | None
    amount: msgspec.Raw
    currency: str
    amount_usd: msgspec.Raw
    amount_released: msgspec.Raw
    amount_released_usd: msgspec.Raw
    excess_amount: msgspec.Raw
    excess_usd: msgspec.Raw
    frozen_usd: msgspec.Raw
    missing_usd: msgspec.Raw
    in_transit_usd: msgspec.Raw
    reason: str | None
    reason_code: str | None
    status: str
    pending_reason: str | None
    resolution: str | None
    needs_review: bool
    review_reason: str | None
    approval: Approval
    requested_by: str
    provider: str
    provider_reference: str | None
    rail_reference: str | None
    evidence_due_at: str | None
    evidence_submitted_at: str | None
    refund_deadline_at: str | None
    payer_details_due_at: str | None
    expected_by: str | None
    payer_details: dict[str, str] | None
    payer_details_url: str | None
    version: int
    created_at: str
    updated_at: str
    resolved_at: str | None
    released_at: str | None
    shop_id: str
    mode: str


class AttemptWire(msgspec.Struct, frozen=True, rename="camel"):
    """One try to make the provider act."""

    id: str
    number: int
    operation: str
    outcome: str | None
    provider_reference: str | None
    started_at: str
    ended_at: str | None


class Step(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """One version of the claim."""

    version: int
    at: str
    from_: str | None
    to: str
    movement: str | None
    actor: str
    note: str | None


class EvidenceWire(msgspec.Struct, frozen=True, rename="camel"):
    """A piece of evidence."""

    id: str
    type: str
    text: str | None
    filename: str | None
    content_type: str | None
    size_bytes: int
    sha256: str | None
    note: str | None
    created_at: str


class EntryLink(msgspec.Struct, frozen=True):
    """One of the claim's ledger entries."""

    id: str
    type: str
    href: str


class ClaimWire(ClaimRow, frozen=True, kw_only=True, rename="camel"):
    """A whole claim."""

    evidence: list[EvidenceWire]
    attempts: list[AttemptWire]
    timeline: list[Step]
    entries: list[EntryLink]


_NOT_REQUIRED: Final = Approval(required=False, by=None, at=None)


def row_fields(claim: Claim, mode: str, link: str | None = None) -> ClaimRow:
    """The claim without its history. `link`: to the payer's page, only for who asks to see it."""
    places = exponent(claim.currency)
    approval = _NOT_REQUIRED
    if claim.approval_required or claim.approved_by is not None:
        at = clock.maybe_wire_time(claim.approved_at)
        approval = Approval(claim.approval_required, claim.approved_by, at)
    created_at = clock.wire_time(claim.created_at)
    is_new = claim.updated_at is claim.created_at
    return ClaimRow(
        id=claim.claim_id,
        refund_id=claim.claim_id if claim.kind == "user_dispute" else None,
        kind=claim.kind,
        transaction_id=claim.payment_id,
        related_claim_id=claim.related_claim_id,
        amount=major(claim.amount_minor, places),
        currency=claim.currency,
        amount_usd=usd(claim.amount_usd_e4),
        amount_released=major(claim.released_minor, places),
        amount_released_usd=usd(claim.released_usd_e4),
        excess_amount=major(claim.excess_minor, places),
        excess_usd=usd(claim.excess_usd_e4),
        frozen_usd=usd(claim.frozen_usd_e4),
        missing_usd=usd(claim.missing_usd_e4),
        in_transit_usd=usd(claim.payable_usd_e4),
        reason=claim.reason,
        reason_code=claim.reason_code,
        status=claim.status,
        pending_reason=claim.pending_reason,
        resolution=claim.resolution,
        needs_review=claim.needs_review,
        review_reason=claim.review_reason,
        approval=approval,
        requested_by=claim.requested_by,
        provider=claim.provider,
        provider_reference=claim.provider_reference,
        rail_reference=claim.rail_reference,
        evidence_due_at=clock.maybe_wire_time(claim.evidence_due_at),
        evidence_submitted_at=clock.maybe_wire_time(claim.evidence_submitted_at),
        refund_deadline_at=clock.maybe_wire_time(claim.refund_deadline_at),
        payer_details_due_at=clock.maybe_wire_time(claim.payer_details_due_at),
        expected_by=clock.maybe_wire_time(claim.expected_by),
        payer_details=None if claim.payer_details is None else _shown_details(claim.payer_details),
        payer_details_url=link,
        version=claim.version,
        created_at=created_at,
        updated_at=created_at if is_new else clock.wire_time(claim.updated_at),
        resolved_at=clock.maybe_wire_time(claim.resolved_at),
        released_at=clock.maybe_wire_time(claim.released_at),
        shop_id=claim.shop_id,
        mode=mode,
    )


def _shown_details(details: dict[str, str]) -> dict[str, str]:
    """What was stored beside the sealed details: account and document are masked in it."""
    return {name: value for name, value in details.items() if name != "sealed"}


def render_claim_row(claim: Claim, state: BookState) -> bytes:
    """The claim as an event's `data.object`."""
    return _ENCODER.encode(row_fields(claim, state.book.mode))

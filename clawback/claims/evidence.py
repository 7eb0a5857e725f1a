"""What a merchant does about a dispute: gathers evidence, submits it once a round, or gives in.

Pure. Evidence is open while the case is undecided, until it is submitted, accepted or too late on
the book's clock. Giving in to a chargeback or MED is final: approved when all of it is frozen.
Giving in to an inquiry is a refund by the refund's own rules. Every act is noted in the trail.
"""

from datetime import datetime
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, queued, takes_evidence
from clawback.claims import turns
from clawback.claims.ending import changed, invalid_transition
from clawback.claims.limits import limit_refusal
from clawback.claims.model import OpenRefund, decide_open_refund
from clawback.claims.moves import FORCED, NETWORK_MADE, PENDING
from clawback.claims.refusals import EvidenceClosed, EvidenceInvalid
from clawback.currencies import exponent
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, Mint
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.evidence import Evidence
from clawback.lanes.records import Claim
from clawback.lanes.state import Draft
from clawback.money import Amount

replace = msgspec.structs.replace

MAX_ITEMS: Final = 20
MAX_TOTAL_BYTES: Final = 40 * 1024 * 1024
TYPES: Final = (
    "receipt",
    "shipping",
    "communication",
    "refund_proof",
    "terms",
    "identity",
    "other",
)


class AddEvidence(Command, frozen=True, kw_only=True):
    """Put a text, or a file that is stored already, to a case.

    `problem` is what the file breaks; then nothing of it is stored.
    """

    claim_id: ClaimId
    evidence_id: str
    type: str
    content: str | None
    filename: str | None
    content_type: str | None
    size_bytes: int
    sha256: str | None
    note: str | None
    actor: str
    principal: str | None = None
    problem: str | None = None

    def reads(self) -> Reads:
        """The claim with its evidence."""
        return Reads(claims=(self.claim_id,), evidence_of=(self.claim_id,))


def _closed(claim: Claim, now: datetime) -> Refused | None:
    """Why nothing can be done about the evidence of this claim, if so."""
    if claim.kind not in NETWORK_MADE or claim.status != PENDING:
        return invalid_transition(claim)
    if takes_evidence(claim, now) and claim.approved_by is None:
        return None
    return EvidenceClosed(due_at=claim.evidence_due_at, submitted_at=claim.evidence_submitted_at)


def decide_add_evidence(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Add it. Refuses: NotFound, ClaimTransitionInvalid, EvidenceClosed, EvidenceInvalid."""
    assert isinstance(command, AddEvidence)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    refused = _closed(claim, now)
    if refused is not None:
        return refused
    if command.problem is not None:
        return EvidenceInvalid(rule=command.problem)
    known = draft.evidence.of(claim.claim_id)
    if len(known) >= MAX_ITEMS:
        return EvidenceInvalid(rule="count")
    if sum(one.size_bytes for one in known) + command.size_bytes > MAX_TOTAL_BYTES:
        return EvidenceInvalid(rule="total_size")
    item = draft.evidence.put(
        Evidence(
            claim_id=claim.claim_id,
            evidence_id=command.evidence_id,
            book_id=claim.book_id,
            round=claim.round,
            type=command.type,
            content=command.content,
            filename=command.filename,
            content_type=command.content_type,
            size_bytes=command.size_bytes,
            sha256=command.sha256,
            note=command.note,
            added_by=command.actor,
            created_at=now,
        )
    )
    _note(draft, claim, "evidence_added", command.actor, command.principal, item.evidence_id)
    return Decided(response=item, object_id=claim.claim_id)


def _note(
    draft: Draft, claim: Claim, action: str, actor: str, principal: str | None, note: str | None
) -> Claim:
    """Row 4, and the act in the trail."""
    draft.evidence.act(action, claim.claim_id, actor=actor, principal=principal, note=note)
    after = replace(claim, version=claim.version + 1, updated_at=draft.now)
    after = draft.put_claim(queued(after, draft.now))
    draft.tell("claim.updated", after, actor=actor, from_status=claim.status)
    return after


class RemoveEvidence(Command, frozen=True, kw_only=True):
    """Take a piece of evidence back before it is submitted."""

    claim_id: ClaimId
    evidence_id: str
    actor: str
    principal: str | None = None

    def reads(self) -> Reads:
        """The claim with its evidence."""
        return Reads(claims=(self.claim_id,), evidence_of=(self.claim_id,))


def decide_remove_evidence(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Remove it. Refuses: NotFound, ClaimTransitionInvalid, EvidenceClosed."""
    assert isinstance(command, RemoveEvidence)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    items = draft.evidence.of(claim.claim_id)
    item = next((one for one in items if one.evidence_id == command.evidence_id), None)
    if item is None:
        return NotFound()
    refused = _closed(claim, now)
    if refused is None and item.round != claim.round:
        submitted_at = claim.evidence_submitted_at
        refused = EvidenceClosed(due_at=claim.evidence_due_at, submitted_at=submitted_at)
    if refused is not None:
        return refused
    item = draft.evidence.put(replace(item, removed_at=now))
    _note(draft, claim, "evidence_removed", command.actor, command.principal, item.evidence_id)
    return Decided(response=item, object_id=claim.claim_id)


class SubmitEvidence(Command, frozen=True, kw_only=True):
    """Close the evidence of this round and have it sent."""

    claim_id: ClaimId
    actor: str
    principal: str | None = None

    def reads(self) -> Reads:
        """The claim with its evidence."""
        return Reads(claims=(self.claim_id,), evidence_of=(self.claim_id,))


def decide_submit_evidence(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Submit it. Refuses: NotFound, ClaimTransitionInvalid, EvidenceClosed, EvidenceInvalid."""
    assert isinstance(command, SubmitEvidence)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    refused = _closed(claim, now)
    if refused is not None:
        return refused
    if not any(one.round == claim.round for one in draft.evidence.of(claim.claim_id)):
        return EvidenceInvalid(rule="nothing_to_submit")
    claim = replace(claim, evidence_submitted_at=now, provider_state=None)
    claim = _note(draft, claim, "evidence_submitted", command.actor, command.principal, None)
    return Decided(response=changed(draft, claim), object_id=claim.claim_id)


class AcceptDispute(Command, frozen=True, kw_only=True):
    """Give in. `refund_id` is for the refund that an inquiry becomes."""

    claim_id: ClaimId
    refund_id: ClaimId
    actor: str
    principal: str | None = None
    max_claim_usd_e4: int | None = None
    max_day_usd_e4: int | None = None

    def reads(self) -> Reads:
        """The claim, and the accounts that an approval or a freeze may touch."""
        return Reads(claims=(self.claim_id,), accounts=FREEZE_ACCOUNTS)

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, refund_id=mint.claim(unix_ms))


def decide_accept_dispute(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Accept. Refuses: NotFound, ClaimTransitionInvalid, the refund's, KeyLimitExceeded."""
    assert isinstance(command, AcceptDispute)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    is_open = claim.status == PENDING and claim.approved_by is None
    if claim.kind not in NETWORK_MADE or not is_open:
        return invalid_transition(claim)
    if claim.kind not in FORCED:
        return _refunded_instead(draft, claim, command, now)
    refused = limit_refusal(
        draft,
        command.actor,
        claim.amount_usd_e4,
        command.max_claim_usd_e4,
        command.max_day_usd_e4,
    )
    if refused is not None:
        return refused
    agreed = replace(
        claim,
        approved_by=command.actor,
        approved_principal=command.principal,
        approved_at=now,
        provider_state=None,
    )
    if claim.missing_usd_e4 == 0:
        draft.evidence.act(
            "accepted", claim.claim_id, actor=command.actor, principal=command.principal
        )
        agreed = turns.approve(draft, agreed, 6, claim.amount_minor, command.actor)
    else:
        agreed = _note(draft, agreed, "accepted", command.actor, command.principal, None)
    return Decided(response=changed(draft, agreed), object_id=claim.claim_id)


def _refunded_instead(
    draft: Draft, claim: Claim, command: AcceptDispute, now: datetime
) -> Refused | Decided:
    """Rows 1 and 12: a refund of what the inquiry asks, as far as that remains."""
    payment = draft.known_payment(claim.payment_id)
    asked_minor = min(claim.amount_minor, payment.remaining_minor) or claim.amount_minor
    outcome = decide_open_refund(
        draft,
        OpenRefund(
            payment_id=claim.payment_id,
            claim_id=command.refund_id,
            amount=Amount(asked_minor, exponent(claim.currency)),
            reason=claim.reason,
            expected_remaining=None,
            actor=command.actor,
            principal=command.principal,
            max_claim_usd_e4=command.max_claim_usd_e4,
            max_day_usd_e4=command.max_day_usd_e4,
        ),
        now,
    )
    if isinstance(outcome, Refused):
        return outcome
    draft.evidence.act("accepted", claim.claim_id, actor=command.actor, principal=command.principal)
    after = draft.claim(claim.claim_id)
    assert after is not None, claim.claim_id
    return Decided(
        response=changed(draft, after), object_id=claim.claim_id, follow_up=outcome.follow_up
    )


DECIDE: Final[dict[type, Decide]] = {
    AddEvidence: decide_add_evidence,
    RemoveEvidence: decide_remove_evidence,
    SubmitEvidence: decide_submit_evidence,
    AcceptDispute: decide_accept_dispute,
}

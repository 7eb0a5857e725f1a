"""How a claim ends without money leaving: its money and its share of the cap go back.

Pure. Canceling is the merchant's own way out, open until the first attempt exists; rejecting,
failing and the rest end a claim by the same steps.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, give_back, serve_waiting
from clawback.claims.moves import CANCELED, INQUIRY, REFUND, move_to, targets
from clawback.claims.refusals import ClaimInFlight, ClaimTransitionInvalid
from clawback.claims.shares import counted_usd_e4, relieve
from clawback.claims.standing import standing_of
from clawback.claims.turns import closed, reopen
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Entry, Payment
from clawback.lanes.state import Draft, Notice
from clawback.ledger import accounts as a
from clawback.ledger.entries import Sources


class Changed(msgspec.Struct, frozen=True):
    """A claim after a command, with the entries and events that the command made."""

    claim: Claim
    entries: tuple[Entry, ...]
    notices: tuple[Notice, ...]


def changed(draft: Draft, claim: Claim) -> Changed:
    """What this command did to the claim so far."""
    return Changed(
        claim,
        tuple(entry for entry in draft.entries if entry.claim_id == claim.claim_id),
        tuple(
            notice
            for notice in draft.notices
            if isinstance(notice.subject, Claim) and notice.subject.claim_id == claim.claim_id
        ),
    )


class CancelRefund(Command, frozen=True, kw_only=True):
    """Withdraw a refund that has not been sent."""

    claim_id: ClaimId
    reason: str | None
    actor: str
    principal: str | None = None

    def reads(self) -> Reads:
        """The claim; its payment and accounts are discovered."""
        return Reads(claims=(self.claim_id,), accounts=FREEZE_ACCOUNTS)


def decide_cancel_refund(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - the draft's own
) -> Refused | Decided:
    """End it and give the money back. Refuses: NotFound, ClaimTransitionInvalid, ClaimInFlight."""
    assert isinstance(command, CancelRefund)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    if claim.kind != REFUND or move_to(claim, CANCELED) is None:
        return invalid_transition(claim)
    if claim.attempts:
        return ClaimInFlight(attempt_id=draft.attempts_of(claim.claim_id)[-1].attempt_id)
    claim = ended(draft, claim, CANCELED, "canceled_by_merchant", command.actor, command.reason)
    draft.evidence.act(
        "canceled",
        claim.claim_id,
        actor=command.actor,
        principal=command.principal,
        note=command.reason,
    )
    response = changed(draft, claim)
    left = serve_waiting(draft, payment_id=claim.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def invalid_transition(claim: Claim) -> Refused:
    """The refusal of an action that the claim's kind or status does not allow."""
    return ClaimTransitionInvalid(
        kind=claim.kind,
        claim_status=claim.status,
        pending_reason=claim.pending_reason,
        allowed=targets(claim),
    )


def ended(
    draft: Draft, claim: Claim, status: str, resolution: str, actor: str, note: str | None = None
) -> Claim:
    """End an open claim without money leaving: its money and its share of the cap go back.

    An inquiry that it had replaced goes on, unless a chargeback or MED was the reason.
    """
    move = move_to(claim, status)
    assert move is not None, (claim.claim_id, claim.status, status)
    assert move.movement is not None, move
    payment = draft.known_payment(claim.payment_id)
    held_e4 = claim.frozen_usd_e4 + claim.payable_usd_e4
    after = give_back(draft, claim, move.movement, held_e4)
    after = closed(draft, after, status, resolution, counted_e4=counted_usd_e4(claim))
    draft.tell(
        move.event, after, actor=actor, from_status=claim.status, movement=move.movement, note=note
    )
    relieve(draft, payment, actor)
    if claim.kind == REFUND and claim.related_claim_id and resolution != "superseded_by_dispute":
        _resume_inquiries(draft, claim, actor)
    return after


def replace_inquiries(
    draft: Draft, payment: Payment, amount_minor: int, refund_id: ClaimId, actor: str
) -> tuple[ClaimId | None, Sources]:
    """Row 12 for the open inquiries that a refund of this amount covers.

    Returns the newest of them, and the shared money that they gave back: it is the refund's.
    """
    before = draft.balance(a.AVAILABLE), draft.balance(a.DEBT)
    newest = None
    for claim in draft.claims_of(payment.payment_id):
        needed = min(claim.amount_minor, payment.remaining_minor)
        if claim.kind == INQUIRY and claim.is_open and amount_minor >= needed:
            linked = draft.put_claim(msgspec.structs.replace(claim, related_claim_id=refund_id))
            ended(draft, linked, CANCELED, "refunded_instead", actor)
            newest = claim.claim_id
    back = draft.balance(a.AVAILABLE) - before[0], draft.balance(a.DEBT) - before[1]
    return newest, ((a.AVAILABLE, max(0, back[0])), (a.DEBT, max(0, back[1])))


def _resume_inquiries(draft: Draft, refund: Claim, actor: str) -> None:
    """Row 17 for the inquiries that this refund had replaced, unless they are decided since."""
    for claim in draft.claims_of(refund.payment_id):
        is_replaced = claim.related_claim_id == refund.claim_id and claim.kind == INQUIRY
        if is_replaced and claim.resolution == "refunded_instead":
            standing = standing_of(draft, claim)
            if standing is None or not standing.is_decided:
                reopen(draft, claim, actor, claim.round + 1)


DECIDE: Final[dict[type, Decide]] = {CancelRefund: decide_cancel_refund}

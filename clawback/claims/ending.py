"""How a claim ends without money leaving: its money and its share of the cap go back.

Pure. Canceling is the merchant's own way out, open until the first attempt exists; rejecting,
failing and the rest end a claim by the same steps.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, give_back, serve_waiting
from clawback.claims.model import CANCELED, MOVES, REFUND, move_to
from clawback.claims.refusals import ClaimInFlight, ClaimTransitionInvalid
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Entry
from clawback.lanes.state import Draft, Notice

replace = msgspec.structs.replace


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
    if move_to(claim, CANCELED) is None:
        return invalid_transition(claim)
    if claim.attempts:
        return ClaimInFlight(attempt_id=draft.attempts_of(claim.claim_id)[-1].attempt_id)
    claim = ended(draft, claim, CANCELED, "canceled_by_merchant", command.actor, command.reason)
    response = changed(draft, claim)
    left = serve_waiting(draft, payment_id=claim.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def invalid_transition(claim: Claim) -> Refused:
    """The refusal of an action that the claim's kind or status does not allow."""
    allowed = tuple(
        move.target for move in MOVES if claim.kind in move.kinds and claim.status == move.source
    )
    return ClaimTransitionInvalid(
        kind=claim.kind,
        claim_status=claim.status,
        pending_reason=claim.pending_reason,
        allowed=allowed,
    )


def ended(
    draft: Draft, claim: Claim, status: str, resolution: str, actor: str, note: str | None = None
) -> Claim:
    """End an open claim without money leaving: its money and its share of the cap go back."""
    move = move_to(claim, status)
    assert move is not None, (claim.claim_id, claim.status, status)
    held_e4 = claim.frozen_usd_e4 + claim.payable_usd_e4
    after = give_back(draft, claim, move.movement, held_e4)
    after = closed(draft, after, status, resolution)
    draft.tell(
        move.event, after, actor=actor, from_status=claim.status, movement=move.movement, note=note
    )
    return after


def closed(draft: Draft, claim: Claim, status: str, resolution: str) -> Claim:
    """The claim counts for nothing any more: its shares of the cap are taken back."""
    payment = draft.known_payment(claim.payment_id)
    draft.put_payment(
        replace(
            payment,
            claimed_minor=payment.claimed_minor - claim.claimed_share_minor,
            forced_minor=payment.forced_minor - claim.forced_share_minor,
            claimed_usd_e4=max(0, payment.claimed_usd_e4 - claim.amount_usd_e4),
            refunds_used=payment.refunds_used - (1 if claim.kind == REFUND else 0),
            updated_at=draft.now,
        )
    )
    return draft.put_claim(
        replace(
            claim,
            status=status,
            resolution=resolution,
            pending_reason=None,
            version=claim.version + 1,
            claimed_share_minor=0,
            forced_share_minor=0,
            missing_usd_e4=0,
            needs_review=False,
            provider_state=None,
            due_at=None,
            updated_at=draft.now,
            resolved_at=claim.resolved_at or draft.now,
        )
    )


DECIDE: Final[dict[type, Decide]] = {CancelRefund: decide_cancel_refund}

"""Decisions of a second principal: approving a refund, rejecting it.

Pure. Who asked does not decide: principals are compared, so that two keys of one owner are one.
An approval is recorded while money is missing and takes effect when it has come; rejecting gives
back what was frozen.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, queued, serve_waiting
from clawback.claims.ending import changed, ended, invalid_transition
from clawback.claims.fold import approve, too_late
from clawback.claims.limits import limit_refusal
from clawback.claims.moves import PENDING, REFUND, REJECTED
from clawback.claims.refusals import SelfApproval
from clawback.currencies import USD
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import AccountName, Command, Decide, Decided, Reads
from clawback.lanes.records import Claim
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a

replace = msgspec.structs.replace

_APPROVE_ACCOUNTS: Final = tuple(AccountName(USD, name) for name in (a.FROZEN, a.PAYABLE))


class ApproveRefund(Command, frozen=True, kw_only=True):
    """Agree to a refund that somebody else asked for."""

    claim_id: ClaimId
    note: str | None
    actor: str
    principal: str | None = None
    max_claim_usd_e4: int | None = None

    def reads(self) -> Reads:
        """The claim, and what an approval moves."""
        return Reads(claims=(self.claim_id,), accounts=_APPROVE_ACCOUNTS)


def decide_approve_refund(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Record the approval; a fully frozen refund is approved at once, others when funds arrive.

    Refuses: NotFound, ClaimTransitionInvalid, SelfApproval, KeyLimitExceeded. A second approval
    of one that waits for funds changes nothing.
    """
    assert isinstance(command, ApproveRefund)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    if (
        claim.kind != REFUND
        or claim.status != PENDING
        or claim.pending_reason == "awaiting_payer_details"
        or too_late(claim, now) is not None
    ):
        return invalid_transition(claim)
    if _asked_by(claim) == (command.principal or command.actor):
        return SelfApproval()
    refused = limit_refusal(
        draft, command.actor, claim.amount_usd_e4, command.max_claim_usd_e4, None
    )
    if refused is not None:
        return refused
    if claim.approved_by is None:
        claim = _agreed(draft, claim, command)
        _note(draft, "approved", command, command.note)
    return Decided(response=changed(draft, claim), object_id=claim.claim_id)


def _agreed(draft: Draft, claim: Claim, command: ApproveRefund) -> Claim:
    agreed = queued(
        replace(
            claim,
            approved_by=command.actor,
            approved_principal=command.principal,
            approved_at=draft.now,
        ),
        draft.now,
    )
    if agreed.pending_reason == "processing" and not agreed.needs_review:
        return approve(draft, agreed, command.actor, command.note)
    agreed = draft.put_claim(replace(agreed, version=claim.version + 1, updated_at=draft.now))
    draft.tell("claim.updated", agreed, actor=command.actor, from_status=PENDING, note=command.note)
    return agreed


class RejectRefund(Command, frozen=True, kw_only=True):
    """Refuse a refund that somebody else asked for."""

    claim_id: ClaimId
    reason: str
    actor: str
    principal: str | None = None

    def reads(self) -> Reads:
        """The claim; its payment and what it gives back are discovered."""
        return Reads(claims=(self.claim_id,), accounts=FREEZE_ACCOUNTS)


def decide_reject_refund(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - the draft's own
) -> Refused | Decided:
    """Move 9: end it and give the money back.

    Refuses: NotFound, ClaimTransitionInvalid, SelfApproval.
    """
    assert isinstance(command, RejectRefund)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    if claim.kind != REFUND or claim.status != PENDING:
        return invalid_transition(claim)
    if _asked_by(claim) == (command.principal or command.actor):
        return SelfApproval()
    claim = ended(draft, claim, REJECTED, "rejected_by_approver", command.actor, command.reason)
    _note(draft, "rejected", command, command.reason)
    response = changed(draft, claim)
    left = serve_waiting(draft, payment_id=claim.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def _note(
    draft: Draft, action: str, command: ApproveRefund | RejectRefund, note: str | None
) -> None:
    """The decision in the trail."""
    draft.evidence.act(
        action, command.claim_id, actor=command.actor, principal=command.principal, note=note
    )


def _asked_by(claim: Claim) -> str:
    """The principal that asked: the person, or the actor that stands for itself."""
    return claim.requested_principal or claim.requested_by


DECIDE: Final[dict[type, Decide]] = {
    ApproveRefund: decide_approve_refund,
    RejectRefund: decide_reject_refund,
}

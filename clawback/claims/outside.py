"""A refund that the provider made without being asked: recorded, approved and released at once.

Pure. Money that has left is a fact, so it is never refused: what does not fit under the cap is
excess, what is not there is debt. Its end may be told too, in any order: money that came back is
back, whether its leaving was told before or after.
"""

from datetime import datetime
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, serve_waiting
from clawback.claims import turns
from clawback.claims.ending import Changed, changed, replace_inquiries
from clawback.claims.fold import Report, fold
from clawback.claims.moves import PENDING, REFUND
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, Mint, PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Fact, Payment
from clawback.lanes.state import Draft
from clawback.ledger.entries import Sources

replace = msgspec.structs.replace

LEFT: Final = frozenset({"settled", "returned"})
"""What proves that money has left: that it came back proves it too."""


class RecordOutsideRefund(Command, frozen=True, kw_only=True):
    """A provider's fact about a refund under no reference of ours; a repeat changes nothing.

    The response is `Changed` of its claim, or None if nothing has left, or nothing that fits the
    payment: such a fact is kept, and posts nothing.
    """

    payment_id: PaymentId
    claim_id: ClaimId
    report: Report
    fact: Fact
    actor: str
    reason: str | None = None

    def reads(self) -> Reads:
        """The payment with all its claims and facts."""
        return Reads(
            payments=(self.payment_id,),
            claims_of=(self.payment_id,),
            facts_of=(self.payment_id,),
            accounts=FREEZE_ACCOUNTS,
        )

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, claim_id=mint.claim(unix_ms))


def decide_record_outside_refund(
    draft: Draft, command: Command, now: datetime
) -> Refused | Decided:
    """Store the fact once and fold it. Refuses: NotFound, for the payment."""
    assert isinstance(command, RecordOutsideRefund)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    told = command.report
    claim = _known(draft, payment, told.provider_reference)
    subjects = (payment.payment_id,) if claim is None else (payment.payment_id, claim.claim_id)
    if any(draft.has_fact(subject, command.fact.event_key) for subject in subjects):
        return Decided(response=None if claim is None else Changed(claim, (), ()))
    fits = told.status in LEFT and told.currency == payment.currency and told.amount_minor
    is_new = claim is None and bool(fits) and payment.captured_minor > 0
    object_id = command.claim_id if is_new else payment.payment_id
    draft.put_fact(
        replace(
            command.fact,
            book_id=payment.book_id,
            object_id=object_id if claim is None else claim.claim_id,
            type=f"refund.{told.status}",
            amount_minor=told.amount_minor,
            currency=told.currency,
            provider_reference=told.provider_reference,
            rail_reference=told.rail_reference,
            reason=told.reason,
            effective_at=told.at or command.fact.effective_at,
            applied_at=now if is_new or claim is not None else None,
        )
    )
    if told.at is None:
        told = replace(told, at=command.fact.effective_at)
    if is_new:
        claim = record_outside(
            draft, payment, command.claim_id, told, command.actor, command.reason
        )
    if claim is None:
        return Decided()
    left: tuple[Command, ...] = ()
    if not is_new or told.status == "returned":
        claim, left = fold(draft, claim, told, command.actor)
    response = changed(draft, claim)
    left = left or serve_waiting(draft, payment_id=payment.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def _known(draft: Draft, payment: Payment, reference: str | None) -> Claim | None:
    """The claim of this refund, if it was told before."""
    for claim in draft.claims_of(payment.payment_id):
        is_it = claim.kind == REFUND and claim.attempts == 0
        if is_it and reference is not None and claim.provider_reference == reference:
            return claim
    return None


def record_outside(
    draft: Draft,
    payment: Payment,
    claim_id: ClaimId,
    told: Report,
    actor: str,
    reason: str | None = None,
) -> Claim:
    """Rows 1, 7 and 8 in one commit; an open inquiry that it covers ends first."""
    assert told.amount_minor is not None, told
    replaced: ClaimId | None = None
    freed: Sources = ()
    if payment.open_dispute_id is not None:
        replaced, freed = replace_inquiries(draft, payment, told.amount_minor, claim_id, actor)
    claim = Claim(
        claim_id=claim_id,
        book_id=payment.book_id,
        payment_id=payment.payment_id,
        shop_id=payment.shop_id,
        kind=REFUND,
        status=PENDING,
        pending_reason=None,
        amount_minor=told.amount_minor,
        currency=payment.currency,
        amount_usd_e4=0,
        claimed_before_minor=0,
        claimed_before_usd_e4=0,
        reason=reason,
        requested_by=actor,
        provider=payment.provider,
        provider_account=payment.provider_account,
        provider_reference=told.provider_reference,
        rail_reference=told.rail_reference,
        refund_deadline_at=payment.refund_deadline_at,
        related_claim_id=replaced,
        created_at=draft.now,
        updated_at=draft.now,
    )
    claim = turns.open_claim(draft, claim, actor, earmarked=freed)
    claim = turns.approve(draft, claim, 7, claim.amount_minor, actor)
    return turns.release(draft, claim, "refunded", actor, told.reason)


DECIDE: Final[dict[type, Decide]] = {RecordOutsideRefund: decide_record_outside_refund}

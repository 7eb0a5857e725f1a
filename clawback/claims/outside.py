"""Money that went back without us: refunds made at the provider's own desk, or by somebody else.

Pure. Such a refund is always recorded, whatever the cap and the funds: a claim of kind
`user_dispute`, opened, approved and released in one commit (contract, 8.3, rows 1, 7 and 8). What
is told of it later, its return for instance, goes the way of any refund.
"""

from datetime import datetime
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, serve_waiting
from clawback.claims import turns
from clawback.claims.ending import Changed, changed, replace_inquiries
from clawback.claims.fold import fold, report
from clawback.claims.moves import PENDING, REFUND
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, Mint, PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Fact, Payment
from clawback.lanes.state import Draft
from clawback.providers import port

replace = msgspec.structs.replace


class RecordOutside(Command, frozen=True, kw_only=True):
    """What a provider says of a refund that nobody asked us for; a repeat changes nothing.

    `claim_id` is for the claim that it may open. The response is `Changed` of the claim, or None
    if nothing is known to fit.
    """

    payment_id: PaymentId
    claim_id: ClaimId
    notice: port.RefundNotice
    fact: Fact
    actor: str

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


def decide_record_outside(
    draft: Draft,
    command: Command,
    now: datetime,
) -> Refused | Decided:
    """Store the fact once, open what it tells of, fold what came of it. Refuses: NotFound."""
    assert isinstance(command, RecordOutside)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    claim = _known(draft, payment, command.notice)
    key = command.fact.event_key
    if claim is not None and draft.has_fact(claim.claim_id, key):
        return Decided(response=Changed(claim, (), ()))
    fact = replace(command.fact, book_id=payment.book_id, object_id=payment.payment_id)
    if claim is None and not _fits(payment, command.notice):
        if not draft.has_fact(payment.payment_id, key):
            draft.put_fact(fact)
        return Decided()
    if claim is None:
        claim = _opened(draft, payment, command)
    draft.put_fact(replace(fact, object_id=claim.claim_id, applied_at=now))
    claim, left = fold(draft, claim, report(command.notice.finding), command.actor)
    response = changed(draft, claim)
    left = left or serve_waiting(draft, payment_id=payment.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def _known(draft: Draft, payment: Payment, notice: port.RefundNotice) -> Claim | None:
    """The claim that stands for this refund already."""
    name = notice.finding.provider_reference
    for claim in draft.claims_of(payment.payment_id):
        if claim.kind == REFUND and claim.attempts == 0 and claim.provider_reference == name:
            return claim
    return None


def _fits(payment: Payment, notice: port.RefundNotice) -> bool:
    """Whether it tells of money of this payment that has left."""
    finding = notice.finding
    if not isinstance(finding, port.Settled | port.Returned) or payment.captured_minor == 0:
        return False
    return finding.currency == payment.currency and finding.amount_minor > 0


def _opened(draft: Draft, payment: Payment, command: RecordOutside) -> Claim:
    """Rows 1, 7 and 8; an inquiry that it covers is over."""
    finding = command.notice.finding
    assert isinstance(finding, port.Settled | port.Returned), finding
    replaced, freed = replace_inquiries(
        draft, payment, finding.amount_minor, command.claim_id, command.actor
    )
    claim = Claim(
        claim_id=command.claim_id,
        book_id=payment.book_id,
        payment_id=payment.payment_id,
        shop_id=payment.shop_id,
        kind=REFUND,
        status=PENDING,
        pending_reason=None,
        amount_minor=finding.amount_minor,
        currency=payment.currency,
        amount_usd_e4=0,
        claimed_before_minor=0,
        claimed_before_usd_e4=0,
        requested_by=command.actor,
        provider=payment.provider,
        provider_account=payment.provider_account,
        provider_reference=finding.provider_reference,
        rail_reference=finding.rail_reference,
        related_claim_id=replaced,
        created_at=draft.now,
        updated_at=draft.now,
    )
    claim = turns.open_claim(draft, claim, command.actor, earmarked=freed)
    claim = turns.approve(draft, claim, 7, claim.amount_minor, command.actor)
    return turns.release(draft, claim, "refunded", command.actor)


DECIDE: Final[dict[type, Decide]] = {RecordOutside: decide_record_outside}

"""Claims: opened by a merchant, frozen as far as there is money, or refused.

Pure. This module opens refunds (contract, section 7.1). What becomes of a claim is in the modules
beside it: `moves` has every transition as data, `turns` what each of them posts. What a provider
says is a fact that goes through `fold` (refunds) or `disputes` (cases of a network), so that order
and repetition do not matter.
"""

from datetime import datetime, timedelta
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, freeze, queued, serve_waiting
from clawback.claims.ending import replace_inquiries
from clawback.claims.limits import limit_refusal
from clawback.claims.moves import FORCED, PENDING, REFUND
from clawback.claims.refusals import (
    MultipleRefundsNotSupported,
    PartialRefundNotSupported,
    PaymentDisputed,
    PaymentNotRefundable,
    RefundExceedsRemaining,
    RefundNotSupported,
    RefundWindowClosed,
    RemainingChanged,
)
from clawback.currencies import exponent
from clawback.errors import InvalidAmount, NotFound, Refused
from clawback.ids import ClaimId, Mint, PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Book, Claim, Payment
from clawback.lanes.state import Draft
from clawback.ledger.entries import Sources
from clawback.money import Amount, AmountError
from clawback.payments.model import YES, latest_arrival, max_refunds, usd_e4_of_first
from clawback.providers.rails import Rule, rule_for

replace = msgspec.structs.replace


class OpenRefund(Command, frozen=True, kw_only=True):
    """Ask for part or all of a captured payment back."""

    payment_id: PaymentId
    claim_id: ClaimId
    amount: Amount | None
    reason: str | None
    expected_remaining: Amount | None
    actor: str
    principal: str | None = None
    max_claim_usd_e4: int | None = None
    max_day_usd_e4: int | None = None

    def reads(self) -> Reads:
        """The payment and the accounts that a freeze may touch."""
        return Reads(payments=(self.payment_id,), accounts=FREEZE_ACCOUNTS)

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, claim_id=mint.claim(unix_ms))


def decide_open_refund(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Open a claim for what is asked back, frozen as far as the money is there.

    Refuses, in this order: NotFound, InvalidAmount (precision), PaymentNotRefundable,
    PaymentDisputed, RefundNotSupported, RefundWindowClosed, PartialRefundNotSupported,
    MultipleRefundsNotSupported, RemainingChanged, RefundExceedsRemaining.
    """
    assert isinstance(command, OpenRefund)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    places = exponent(payment.currency)
    try:
        asked = payment.amount_minor if command.amount is None else command.amount.minor(places)
        guard = command.expected_remaining
        expected = payment.remaining_minor if guard is None else guard.minor(places)
    except AmountError as error:
        is_guard = command.amount is None or command.amount.scale <= places
        param = "expectedRemaining" if is_guard else "amount"
        return InvalidAmount(param=param, rule=error.rule, decimals=error.decimals)
    rule = rule_for(payment.provider, payment.method, payment.country)
    refused = (
        _dispute_refusal(draft, payment, asked)
        or _rail_refusal(payment, rule, asked, now)
        or _amount_refusal(payment, asked, expected)
    )
    if refused is not None:
        return refused
    assert rule is not None, payment.method
    worth = worth_e4(payment, asked)
    refused = limit_refusal(
        draft, command.actor, worth, command.max_claim_usd_e4, command.max_day_usd_e4
    )
    if refused is not None:
        return refused
    if payment.open_dispute_id is not None:
        return _opened_instead(draft, payment, rule, command, asked)
    claim = _opened(draft, payment, rule, command, asked)
    draft.tell("claim.opened", claim, actor=command.actor, movement="freeze")
    return Decided(response=claim, object_id=claim.claim_id)


def _dispute_refusal(draft: Draft, payment: Payment, asked: int) -> Refused | None:
    """Nothing is refunded beside an open chargeback or MED; an open inquiry wants to be covered.

    Looks at the payment's claims only if one of them is an open dispute.
    """
    if payment.captured_minor == 0:
        return PaymentNotRefundable(payment_status=payment.status)
    if payment.open_dispute_id is None:
        return None
    claims = [claim for claim in draft.claims_of(payment.payment_id) if claim.is_open]
    forced = [claim for claim in claims if claim.kind in FORCED]
    if forced:
        return _disputed(payment, forced[-1], None)
    inquiries = [claim for claim in claims if claim.kind != REFUND]
    largest = max(inquiries, key=lambda claim: (claim.amount_minor, claim.created_at))
    minimum_minor = min(largest.amount_minor, payment.remaining_minor)
    return _disputed(payment, largest, minimum_minor) if asked < minimum_minor else None


def _disputed(payment: Payment, claim: Claim, minimum_minor: int | None) -> Refused:
    return PaymentDisputed(
        claim_id=claim.claim_id,
        kind=claim.kind,
        claim_status=claim.status,
        minimum_minor=minimum_minor,
        currency=payment.currency,
    )


def _opened_instead(
    draft: Draft, payment: Payment, rule: Rule, command: OpenRefund, asked: int
) -> Decided:
    """A refund that covers the open inquiries: they end, and what they froze serves it."""
    replaced, freed = replace_inquiries(draft, payment, asked, command.claim_id, command.actor)
    payment = draft.known_payment(payment.payment_id)
    claim = _opened(draft, payment, rule, command, asked, freed)
    claim = draft.put_claim(replace(claim, related_claim_id=replaced))
    draft.tell("claim.opened", claim, actor=command.actor, movement="freeze")
    left = serve_waiting(draft, payment_id=payment.payment_id)
    return Decided(response=claim, object_id=claim.claim_id, follow_up=left)


def _rail_refusal(payment: Payment, rule: Rule | None, asked: int, now: datetime) -> Refused | None:
    """The state checks of contract 7.1 that come before those of the amount, in its order."""
    if rule is None or rule.refund.full != YES:
        return RefundNotSupported(rail=payment.method)
    if payment.refund_deadline_at is not None and now > payment.refund_deadline_at:
        return RefundWindowClosed(deadline_at=payment.refund_deadline_at)
    limit = max_refunds(rule)
    if asked < payment.amount_minor and rule.refund.partial != YES:
        return PartialRefundNotSupported(max_refunds=limit)
    if limit is not None and payment.refunds_used >= limit:
        return MultipleRefundsNotSupported(max_refunds=limit)
    return None


def _amount_refusal(payment: Payment, asked: int, expected: int) -> Refused | None:
    remaining = payment.remaining_minor
    if expected != remaining:
        return RemainingChanged(
            expected_minor=expected, remaining_minor=remaining, currency=payment.currency
        )
    if asked > remaining:
        return RefundExceedsRemaining(
            remaining_minor=remaining,
            captured_minor=payment.captured_minor,
            claimed_minor=payment.claimed_minor + payment.forced_minor,
            currency=payment.currency,
        )
    return None


def worth_e4(payment: Payment, asked: int) -> int:
    """The USD value of the next `asked` local units, so that all parts add up to the whole."""
    before_minor = payment.claimed_minor + payment.forced_minor
    return max(0, usd_e4_of_first(before_minor + asked, payment) - payment.claimed_usd_e4)


def needs_approval(book: Book, worth: int) -> bool:
    """Whether a refund of this worth, in 1/10,000 USD, waits for a second principal."""
    threshold = book.approval_threshold_usd_e4
    return threshold is not None and worth >= threshold


def _opened(
    draft: Draft,
    payment: Payment,
    rule: Rule,
    command: OpenRefund,
    asked: int,
    earmarked: Sources = (),
) -> Claim:
    """The new claim with its share of the cap, frozen as far as there is money."""
    before_minor = payment.claimed_minor + payment.forced_minor
    worth = worth_e4(payment, asked)
    deadline, now = payment.refund_deadline_at, draft.now
    details_due = None
    if rule.payer_fields:
        details_due = min(now + timedelta(days=30), deadline or now + timedelta(days=30))
    claim = Claim(
        claim_id=command.claim_id,
        book_id=draft.book.book_id,
        payment_id=payment.payment_id,
        shop_id=payment.shop_id,
        kind=REFUND,
        status=PENDING,
        pending_reason=None,
        amount_minor=asked,
        currency=payment.currency,
        amount_usd_e4=worth,
        claimed_before_minor=before_minor,
        claimed_before_usd_e4=payment.claimed_usd_e4,
        claimed_share_minor=asked,
        missing_usd_e4=worth,
        reason=command.reason,
        approval_required=needs_approval(draft.book, worth),
        requested_by=command.actor,
        requested_principal=command.principal,
        provider=payment.provider,
        provider_account=payment.provider_account,
        payer_fields=rule.payer_fields,
        payer_details_due_at=details_due,
        refund_deadline_at=deadline,
        expected_by=latest_arrival(rule, now),
        created_at=now,
        updated_at=now,
    )
    draft.put_payment(
        replace(
            payment,
            claimed_minor=payment.claimed_minor + asked,
            claimed_usd_e4=payment.claimed_usd_e4 + worth,
            refunds_used=payment.refunds_used + 1,
            updated_at=now,
        )
    )
    claim = freeze(draft, claim, from_book=draft.head.waiting == 0, earmarked=earmarked)
    return draft.put_claim(queued(claim, now))


DECIDE: Final[dict[type, Decide]] = {
    OpenRefund: decide_open_refund,
}

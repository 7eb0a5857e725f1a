"""GET /payments/{id}/refundability: what a refund call would do, without doing it (contract, 7.2).

There is no second copy of the rules: the refund is decided by the refund's own decide, on a draft
over one snapshot of the book, and the draft is dropped. So the answer is what the call would meet
at this instant, with this key, on the book's clock.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback import clock
from clawback.balances.model import offers
from clawback.claims.model import OpenRefund, decide_open_refund, needs_approval, worth_e4
from clawback.currencies import exponent
from clawback.errors import InvalidAmount, NotFound, Refused
from clawback.ids import PaymentId, is_well_formed
from clawback.lanes.command import Decided
from clawback.lanes.peek import peek
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.ledger.entries import take
from clawback.money import Amount, AmountError, major, positive, read_amount, usd
from clawback.payments.model import YES, earliest_arrival, latest_arrival, max_refunds
from clawback.providers.rails import Rule, rule_for
from clawback.route import Answer, Call, NoBody, Route

replace = msgspec.structs.replace

WAITS: Final = {
    "awaiting_payer_details": "The payer must first say where the money shall go.",
    "awaiting_approval": "A second principal must approve it.",
    "awaiting_funds": "It waits until the book has the money.",
}
"""What a refund may wait for before it is sent."""

_ENCODER: Final = msgspec.json.Encoder()


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund would come to: a refusal, or the claim that it would open.

    Amounts: local minor units and 1/10,000 USD. `freezable` is what the claim would freeze.
    """

    payment: Payment
    outcome: Refused | Claim
    rule: Rule | None
    asked_minor: int
    worth_usd_e4: int
    remaining_usd_e4: int
    minimum_minor: int
    freezable_usd_e4: int
    dispute: Claim | None
    approval_required: bool
    now: datetime


def foresee(draft: Draft, command: OpenRefund) -> Foreseen | Refused:
    """Decide the refund on a draft that is dropped; without an amount, of all that is left.

    Nothing left is asked for as the whole payment. Refuses: NotFound, InvalidAmount.
    """
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    remaining, places = payment.remaining_minor, exponent(payment.currency)
    asked = remaining
    if command.amount is not None:
        try:
            asked = command.amount.minor(places)
        except AmountError as error:
            return InvalidAmount(param="amount", rule=error.rule, decimals=error.decimals)
    elif remaining > 0:
        command = replace(command, amount=Amount(remaining, places))
    rule = rule_for(payment.provider, payment.method, payment.country)
    worth = worth_e4(payment, asked)
    from_book = draft.head.waiting == 0
    taken = take(worth, offers(draft, payment, worth, from_book=from_book))
    dispute = payment.open_dispute_id
    minimum = _minimum(draft, payment, rule)
    found = Foreseen(
        payment=payment,
        outcome=NotFound(),
        rule=rule,
        asked_minor=asked,
        worth_usd_e4=worth,
        remaining_usd_e4=worth_e4(payment, remaining),
        minimum_minor=minimum,
        freezable_usd_e4=sum(part_e4 for _, part_e4 in taken),
        dispute=None if dispute is None else draft.claim(dispute),
        approval_required=needs_approval(draft.book, worth),
        now=draft.now,
    )
    outcome = decide_open_refund(draft, command, draft.now)
    if isinstance(outcome, Decided):
        claim = outcome.response
        assert isinstance(claim, Claim), claim
        return replace(found, outcome=claim, freezable_usd_e4=claim.frozen_usd_e4)
    return replace(found, outcome=outcome)


def _minimum(draft: Draft, payment: Payment, rule: Rule | None) -> int:
    """The least that a refund may be: of a full-only rail all, with an open inquiry its amount."""
    if rule is not None and rule.refund.partial != YES:
        return payment.amount_minor
    if payment.open_dispute_id is None:
        return 1
    inquiries = [
        min(claim.amount_minor, payment.remaining_minor)
        for claim in draft.claims_of(payment.payment_id)
        if claim.kind == "inquiry" and claim.is_open
    ]
    return max(1, *inquiries) if inquiries else 1


class Obstacle(msgspec.Struct, frozen=True):
    """Why it would be refused, or what it would wait for."""

    code: str
    message: str
    blocking: bool


class Freezable(msgspec.Struct, frozen=True, rename="camel"):
    """What there is to be frozen for it, and what is missing."""

    freezable_usd: msgspec.Raw
    shortfall_usd: msgspec.Raw


class Dispute(msgspec.Struct, frozen=True, rename="camel"):
    """The open dispute of the payment."""

    claim_id: str
    kind: str
    status: str
    ends_by_refund: bool


class FeeEffect(msgspec.Struct, frozen=True, rename="camel"):
    """What becomes of the payment's fee."""

    policy: str
    returned_usd: int
    charged_usd: int


class Arrival(msgspec.Struct, frozen=True):
    """When the money would reach the payer."""

    earliest: str
    latest: str


class Refundability(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a refund call would meet at this instant (contract, section 7.2)."""

    transaction_id: str
    allowed: bool
    reasons: list[Obstacle]
    currency: str
    amount: msgspec.Raw
    amount_usd: msgspec.Raw
    captured: msgspec.Raw
    claimed: msgspec.Raw
    remaining: msgspec.Raw
    remaining_usd: msgspec.Raw
    minimum_amount: msgspec.Raw
    partial: bool
    multiple: bool
    max_refunds: int | None
    refunds_used: int
    deadline_at: str | None
    missing_payer_fields: list[str]
    balance: Freezable
    dispute: Dispute | None
    approval_required: bool
    fee_effect: FeeEffect
    arrival: Arrival | None


def show(seen: Foreseen) -> Refundability:
    """The answer, in wire words and major units."""
    payment, rule, outcome = seen.payment, seen.rule, seen.outcome
    places = exponent(payment.currency)
    return Refundability(
        transaction_id=payment.payment_id,
        allowed=isinstance(outcome, Claim),
        reasons=_reasons(outcome),
        currency=payment.currency,
        amount=major(seen.asked_minor, places),
        amount_usd=usd(seen.worth_usd_e4),
        captured=major(payment.captured_minor, places),
        claimed=major(payment.claimed_minor + payment.forced_minor, places),
        remaining=major(payment.remaining_minor, places),
        remaining_usd=usd(seen.remaining_usd_e4),
        minimum_amount=major(seen.minimum_minor, places),
        partial=rule is not None and rule.refund.partial == YES,
        multiple=rule is not None and rule.refund.multiple == YES,
        max_refunds=0 if rule is None else max_refunds(rule),
        refunds_used=payment.refunds_used,
        deadline_at=clock.maybe_wire_time(payment.refund_deadline_at),
        missing_payer_fields=[] if rule is None else list(rule.payer_fields),
        balance=Freezable(
            usd(seen.freezable_usd_e4), usd(max(0, seen.worth_usd_e4 - seen.freezable_usd_e4))
        ),
        dispute=_dispute(seen),
        approval_required=seen.approval_required,
        fee_effect=FeeEffect("kept", 0, 0),
        arrival=None if rule is None else _arrival(rule, seen.now),
    )


def _reasons(outcome: Refused | Claim) -> list[Obstacle]:
    if isinstance(outcome, Refused):
        return [Obstacle(outcome.code, outcome.message, blocking=True)]
    waits = outcome.pending_reason
    return [Obstacle(waits, WAITS[waits], blocking=False)] if waits in WAITS else []


def _dispute(seen: Foreseen) -> Dispute | None:
    found = seen.dispute
    if found is None:
        return None
    ends = found.kind == "inquiry" and isinstance(seen.outcome, Claim)
    return Dispute(found.claim_id, found.kind, found.status, ends_by_refund=ends)


def _arrival(rule: Rule, now: datetime) -> Arrival | None:
    earliest, latest = earliest_arrival(rule, now), latest_arrival(rule, now)
    if earliest is None or latest is None:
        return None
    return Arrival(clock.wire_time(earliest), clock.wire_time(latest))


class RefundabilityQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`amount`: in the payment's local currency; all that is left without it."""

    amount: str | None = None


async def refundability(call: Call[NoBody, RefundabilityQuery]) -> Answer | Refused:
    """GET /payments/{id}/refundability."""
    try:
        text = call.query.amount
        amount = None if text is None else positive(read_amount(text))
    except AmountError as error:
        return InvalidAmount(param="amount", rule=error.rule, maximum=error.maximum)
    if not is_well_formed(call.path["id"], "TXN-"):
        return NotFound()
    limits = call.caller.limits
    command = OpenRefund(
        payment_id=PaymentId(call.path["id"]),
        claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
        amount=amount,
        reason=None,
        expected_remaining=None,
        actor=call.caller.actor,
        principal=call.caller.person,
        max_claim_usd_e4=None if limits is None else limits.max_claim_usd_e4,
        max_day_usd_e4=None if limits is None else limits.max_day_usd_e4,
    )
    async with call.services.reader() as connection:
        seen = await peek(
            connection,
            call.book,
            command.reads(),
            lambda draft: foresee(draft, command),
            call.real_now,
        )
    return seen if isinstance(seen, Refused) else Answer(200, _ENCODER.encode(show(seen)))


ROUTES: Final = (
    Route(
        "GET",
        "/payments/{id}/refundability",
        refundability,
        "payments:read",
        "What a refund of this payment would meet now",
        Refundability,
        query=RefundabilityQuery,
        errors=("not_found", "invalid_amount"),
    ),
)

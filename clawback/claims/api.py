"""The refund call, and the routes of all calls on claims (contract, sections 7.1 and 8.5).

The refund call takes and answers exactly what the refund page says: local currency, major units,
eight fields in the page's order. It is answered after the freeze has committed.
"""

from typing import Annotated, Final

import msgspec

from clawback import clock
from clawback.claims import acting, batching, detailing, exhibits, notices, preflight, reading
from clawback.claims.model import OpenRefund
from clawback.currencies import exponent
from clawback.errors import InvalidAmount
from clawback.ids import PaymentId
from clawback.lanes.records import Claim
from clawback.money import Amount, AmountError, major, not_negative, positive, usd
from clawback.route import Answer, Call, NoQuery, Route, Started

_ENCODER: Final = msgspec.json.Encoder()

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


def refund(call: Call[RefundBody, NoQuery]) -> Started:
    """POST /payments/{id}/refund: open a claim for a part or all of a captured payment."""
    body, param = call.body, "amount"
    try:
        amount = None if body.amount is msgspec.UNSET else positive(body.amount)
        param = "expectedRemaining"
        guard = body.expected_remaining
        expected = None if guard is msgspec.UNSET else not_negative(guard)
    except AmountError as error:
        return InvalidAmount(param=param, rule=error.rule, maximum=error.maximum)
    limits = call.caller.limits
    return call.services.submit(
        call.book,
        OpenRefund(
            payment_id=PaymentId(call.path["id"]),
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            amount=amount,
            reason=body.reason,
            expected_remaining=expected,
            actor=call.caller.actor,
            principal=call.caller.person,
            max_claim_usd_e4=None if limits is None else limits.max_claim_usd_e4,
            max_day_usd_e4=None if limits is None else limits.max_day_usd_e4,
        ),
        _opened,
        call.key,
    )


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
    *batching.ROUTES,
    *preflight.ROUTES,
    *acting.ROUTES,
    *detailing.ROUTES,
    *exhibits.ROUTES,
    *reading.ROUTES,
    *notices.ROUTES,
)

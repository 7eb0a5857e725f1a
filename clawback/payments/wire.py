"""A payment as every call and every event shows it: wire words, major units.

The one place that knows the wire form of a payment (contract, section 6.1).
"""

from typing import Final

import msgspec

from clawback import clock
from clawback.currencies import exponent
from clawback.lanes.records import Payment, PaymentDetails
from clawback.lanes.state import BookState
from clawback.money import major, usd

_ENCODER: Final = msgspec.json.Encoder()


class Fees(msgspec.Struct, frozen=True):
    """What the payment cost, in USD."""

    platform: msgspec.Raw
    provider: int
    network: int
    total: msgspec.Raw


class Settlement(msgspec.Struct, frozen=True):
    """When captured money becomes available."""

    type: str
    delay: str
    status: str
    at: str | None


class PaymentWire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A payment as every call and event shows it (contract, section 6.1)."""

    id: str
    transaction_id: str
    status: str
    version: int
    amount: msgspec.Raw
    currency: str
    amount_local: msgspec.Raw
    currency_local: str
    fx_rate: msgspec.Raw
    fx_rate_at: str
    fx_source: str
    amount_claimed: msgspec.Raw
    remaining: msgspec.Raw
    amount_refunded: msgspec.Raw
    amount_charged_back: msgspec.Raw
    disputed: bool
    open_dispute_id: str | None
    country: str
    payment_method_id: str
    payment_method: str
    provider: str
    provider_reference: str | None
    rail_reference: str | None
    payment_data: dict[str, str] | None
    expires_at: str | None
    failure_code: str | None
    failure_message: str | None
    fees: Fees
    settlement: Settlement
    merchant_order_id: str | None
    user_name: str | None
    user_email: str | None
    user_phone: str | None
    document_type: str | None
    document_id: str | None
    return_url: str | None
    metadata: dict[str, str]
    refund_deadline_at: str | None
    completed_at: str | None
    created_at: str
    updated_at: str
    shop_id: str
    mode: str


def show(payment: Payment, mode: str) -> PaymentWire:
    """The payment in wire words and major units."""
    details = msgspec.json.decode(payment.details, type=PaymentDetails)
    places = exponent(payment.currency)
    fee = usd(payment.percent_fee_usd_e4 + payment.flat_fee_usd_e4)
    data = payment.payment_data
    return PaymentWire(
        id=payment.payment_id,
        transaction_id=payment.payment_id,
        status=payment.status,
        version=payment.version,
        amount=usd(payment.amount_usd_e4),
        currency="USD",
        amount_local=major(payment.amount_minor, places),
        currency_local=payment.currency,
        fx_rate=msgspec.Raw(details.fx_rate.encode()),
        fx_rate_at=clock.wire_time(details.fx_at),
        fx_source=details.fx_source,
        amount_claimed=major(payment.claimed_minor + payment.forced_minor, places),
        remaining=major(payment.remaining_minor, places),
        amount_refunded=major(payment.refunded_minor, places),
        amount_charged_back=major(payment.charged_back_minor, places),
        disputed=payment.open_dispute_id is not None,
        open_dispute_id=payment.open_dispute_id,
        country=payment.country,
        payment_method_id=payment.method_id,
        payment_method=payment.method,
        provider=payment.provider,
        provider_reference=payment.provider_reference,
        rail_reference=payment.rail_reference,
        payment_data=None if data is None else {"method": payment.method, **data},
        expires_at=clock.maybe_wire_time(payment.expires_at),
        failure_code=payment.failure_code,
        failure_message=payment.failure_message,
        fees=Fees(platform=fee, provider=0, network=0, total=fee),
        settlement=Settlement(
            type="delayed",
            delay=_delay(details),
            status="settled" if payment.settled_at is not None else "pending",
            at=clock.maybe_wire_time(payment.settled_at or payment.settle_at),
        ),
        merchant_order_id=payment.merchant_order_id,
        user_name=details.user_name,
        user_email=details.user_email,
        user_phone=details.user_phone,
        document_type=details.document_type,
        document_id=details.document_id,
        return_url=details.return_url,
        metadata=details.metadata,
        refund_deadline_at=clock.maybe_wire_time(payment.refund_deadline_at),
        completed_at=clock.maybe_wire_time(payment.completed_at),
        created_at=clock.wire_time(payment.created_at),
        updated_at=clock.wire_time(payment.updated_at),
        shop_id=payment.shop_id,
        mode=mode,
    )


def _delay(details: PaymentDetails) -> str:
    """In hours, or in business days: 48h, 2bd."""
    if details.settle_days is None:
        return f"{details.settle_hours}h"
    return f"{details.settle_days}bd"


def render_payment(payment: Payment, mode: str) -> bytes:
    """The payment as JSON."""
    return _ENCODER.encode(show(payment, mode))


def render_event_object(payment: Payment, state: BookState) -> bytes:
    """The payment as an event's `data.object`."""
    return render_payment(payment, state.book.mode)

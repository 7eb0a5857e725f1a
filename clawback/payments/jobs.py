"""What is done when a payment is due: charge it again, ask how it stands, or settle it.

A charge is always sent under the payment's own reference, so however often it is sent it has one
effect. A payment is expired only after its provider was asked and knows of no money.
"""

from datetime import datetime

from clawback import clock
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Payment
from clawback.payments.model import (
    UNPAID,
    ChargeTaken,
    RecordCharge,
    SettleDue,
    TakeCharge,
    window_days,
)
from clawback.providers import port
from clawback.providers.rails import rule_for
from clawback.route import BookRef, Kept


async def go_on(
    lanes: Lanes, provider: port.Provider, book: BookRef, payment: Payment, offset_seconds: int
) -> None:
    """Take the next step of a due payment."""
    if payment.status not in UNPAID:
        await lanes.submit(book, SettleDue(payment_id=payment.payment_id), Kept())
        return
    kept: Kept[ChargeTaken] = Kept()
    await lanes.submit(
        book,
        TakeCharge(payment_id=payment.payment_id, real_now=clock.real_now()),
        kept,
    )
    taken = kept.value
    if taken is None or not taken.is_ours:
        return
    book_time = clock.book_time(clock.real_now(), offset_seconds)
    command = await ask(provider, book, taken.payment, book_time)
    await lanes.submit(book, command, Kept())


async def ask(
    provider: port.Provider, book: BookRef, payment: Payment, book_time: datetime
) -> RecordCharge:
    """How the charge stands, opening it if it never reached its provider."""
    reference = port.charge_reference(payment.payment_id, book.home_of(payment.payment_id))
    found: port.Charged | port.Absent = port.Absent()
    if payment.provider_reference is not None:
        found = await provider.lookup_charge(
            port.LookupRequest(
                book=book.book_id,
                book_time=book_time,
                reference=reference,
                charge_reference=reference,
            )
        )
    if isinstance(found, port.Absent):
        found = await charge(provider, book, payment, book_time)
    command = recorded(payment, found)
    is_over = payment.expires_at is not None and payment.expires_at <= book_time
    if command.status in {"pending", "processing"} and is_over:
        return RecordCharge(
            payment_id=payment.payment_id,
            status="expired",
            actor="clock",
            failure_code="expired",
            failure_message="The paying window is over.",
        )
    return command


async def charge(
    provider: port.Provider, book: BookRef, payment: Payment, book_time: datetime
) -> port.Charged:
    """Open the payment's charge, under its own reference."""
    return await provider.charge(
        port.ChargeRequest(
            book=book.book_id,
            book_time=book_time,
            reference=port.charge_reference(payment.payment_id, book.home_of(payment.payment_id)),
            method=payment.method,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            country=payment.country,
            merchant_name=book.merchant_name,
            simulate=payment.simulate,
        )
    )


def recorded(
    payment: Payment, found: port.Charged | port.Absent, *, is_answer: bool = False
) -> RecordCharge:
    """The provider's words about a charge as the model folds them."""
    rule = rule_for(payment.provider, payment.method, payment.country)
    actor = f"provider:{payment.provider}"
    if not isinstance(found, port.Charge):
        return RecordCharge(
            payment_id=payment.payment_id, status="unknown", actor=actor, is_answer=is_answer
        )
    code = found.failure_code if isinstance(found, port.Failed | port.Expired) else None
    return RecordCharge(
        payment_id=payment.payment_id,
        status=found.status,
        actor=actor,
        amount_minor=found.amount_minor,
        currency=found.currency,
        is_answer=is_answer,
        provider_reference=found.provider_reference,
        rail_reference=found.rail_reference,
        payment_data=found.payment_data or None,
        expires_at=found.expires_at,
        check_at=found.next_change_at,
        failure_code=code,
        failure_message=None if code is None else code.replace("_", " ").capitalize() + ".",
        window_days=window_days(rule),
    )

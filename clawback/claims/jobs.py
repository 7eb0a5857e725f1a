"""What is done when a claim is due: one step towards the provider, and what came of it.

The attempt is committed before the first byte leaves and no transaction is open during the call.
A worker that dies leaves an attempt whose lease runs out; the next one looks the reference up
before anything is sent again. An outcome is kept in memory until its commit is certain.
"""

import asyncio
from datetime import datetime
from typing import Final

from clawback import clock, logs
from clawback.claims.asking import Reader, ask_network
from clawback.claims.detailing import payee_of
from clawback.claims.fold import AttemptStarted, RecordOutcome, StartAttempt, report
from clawback.claims.moves import REFUND
from clawback.errors import InternalError, Overloaded, Refused, Unavailable
from clawback.ids import ClaimId, opaque
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Attempt, Claim, Payment
from clawback.providers import port
from clawback.route import BookRef, Kept
from clawback.seal import Seal

LEASE_SECONDS: Final = 30

log = logs.get_logger()


async def send_refund(
    lanes: Lanes,
    provider: port.Provider,
    reader: Reader,
    seal: Seal | None,
    book: BookRef,
    claim_id: ClaimId,
    offset_seconds: int,
) -> None:
    """Take the next step of a due claim, call its provider if there is cause, note the outcome."""
    kept: Kept[AttemptStarted] = Kept()
    outcome = await lanes.submit(
        book,
        StartAttempt(
            claim_id=claim_id,
            attempt_id=opaque("att_"),
            real_now=clock.real_now(),
            lease_seconds=LEASE_SECONDS,
            actor="worker",
        ),
        kept,
    )
    started = kept.value
    if isinstance(outcome, Refused) or started is None or started.attempt is None:
        return
    claim, payment, attempt = started.claim, started.payment, started.attempt
    book_time = clock.book_time(clock.real_now(), offset_seconds)
    if claim.kind == REFUND:
        told = report(await _call(provider, seal, book, claim, payment, attempt, book_time))
    else:
        told = await ask_network(lanes, provider, reader, book, claim, attempt, book_time)
    await _note(
        lanes,
        book,
        RecordOutcome(
            claim_id=claim_id,
            number=attempt.number,
            report=told,
            fact_id=opaque("fct_"),
            real_now=clock.real_now(),
            actor=f"provider:{claim.provider}",
        ),
    )


async def _call(
    provider: port.Provider,
    seal: Seal | None,
    book: BookRef,
    claim: Claim,
    payment: Payment,
    attempt: Attempt,
    book_time: datetime,
) -> port.Found:
    charge = port.charge_reference(payment.payment_id, book.home_of(payment.payment_id))
    if attempt.operation == "lookup":
        return await provider.lookup_refund(
            port.LookupRequest(
                book=book.book_id,
                book_time=book_time,
                reference=attempt.reference,
                charge_reference=charge,
            )
        )
    payee = payee_of(seal, claim)
    if isinstance(payee, port.Unavailable):
        return payee
    return await provider.refund(
        port.RefundRequest(
            book=book.book_id,
            book_time=book_time,
            reference=attempt.reference,
            charge_reference=charge,
            amount_minor=attempt.amount_minor,
            currency=attempt.currency,
            payee=payee,
        )
    )


async def _note(lanes: Lanes, book: BookRef, command: RecordOutcome) -> None:
    """Bring the outcome to its book; while this process lives it is not lost."""
    wait = 0.05
    while True:
        outcome = await lanes.submit(book, command, Kept())
        if not isinstance(outcome, Overloaded | Unavailable):
            break
        await asyncio.sleep(wait)
        wait = min(wait * 2, 5.0)
    if isinstance(outcome, InternalError):
        log.error("outcome_not_noted", claim_id=command.claim_id, number=command.number)

"""Charges of the sandbox provider: opened once per reference, decided once, on the book's clock.

A charge waits for its payer until a simulation or its expiry decides it; a card is decided at
once. Money that comes late completes a failed or expired charge after all, as on real rails;
nothing undoes a completed one. A repeated reference is answered with the bytes of the first
answer and changes nothing; the same reference with other terms is refused.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from clawback.clock import from_milliseconds, milliseconds, wire_time
from clawback.sandbox import identifiers
from clawback.sandbox.protocol import (
    DISPUTED,
    SIMULATIONS,
    AskCharge,
    Charge,
    ChargeStatus,
    DisputeKind,
    Notice,
)
from clawback.sandbox.record import ChargeRow, ChargeStep, Record, maybe_time

EXPIRES_SECONDS: Final[dict[str, int | None]] = {
    "spei": 24 * 3600,
    "oxxo": 7 * 24 * 3600,
    "pix": 3600,
    "pse": 1800,
    "card": None,
}
"""How long a payer may take, by method; None: decided at once."""

_THREE_DAYS: Final = timedelta(days=3)
_ENCODE: Final = msgspec.json.Encoder().encode
_PAGES: Final = "https://sandbox.example"

Tell = Callable[[Notice], None]


class Conflict(Exception):
    """The reference is taken by other terms, or the state does not allow the change."""


class Planner(Protocol):
    """Who opens the cases that were planned with a charge."""

    def plan(self, charge: ChargeRow, kind: DisputeKind) -> None:
        """Have a case opened some time after the charge completes."""
        ...

    def charge_completed(self, charge: ChargeRow, at: datetime) -> None:
        """The payer has paid."""
        ...


class Charges:
    """Opens, shows and decides charges."""

    def __init__(self, record: Record, tell: Tell, disputes: Planner) -> None:
        """`tell` is called once for each change that the caller did not make by opening."""
        self._record = record
        self._tell = tell
        self._disputes = disputes

    def open(self, asked: AskCharge, *, book: str, now: datetime, fault: str) -> bytes:
        """Open the charge, or repeat the first answer. Raises: Conflict."""
        row = self._record.charge(asked.reference)
        if row is None:
            row = _opened(asked, book, now, fault, self._record.next_number("charge"))
            row = msgspec.structs.replace(row, answer=_ENCODE(shown(row)))
            self._record.add_charge(row)
            for kind in DISPUTED:
                if asked.simulate == kind:
                    self._disputes.plan(row, kind)
            if row.status == "completed":
                self._disputes.charge_completed(row, now)
            return row.answer
        terms = (row.book, row.method, row.amount_minor, row.currency)
        if terms != (book, asked.method, asked.amount_minor, asked.currency):
            raise Conflict("reference_taken")
        self._record.write("charge_asked", row.reference)
        return row.answer

    def look_up(self, reference: str, *, book: str, now: datetime) -> ChargeRow | None:
        """The charge as it stands at this time of the book, or None."""
        row = self._record.charge(reference)
        if row is None or row.book != book:
            return None
        if row.step is None or row.step_at_ms is None or row.step_at_ms > milliseconds(now):
            return row
        return self.take_step(row)

    def take_step(self, row: ChargeRow) -> ChargeRow:
        """Do what has fallen due. Bug: nothing is scheduled."""
        assert row.step is not None, row.reference
        assert row.step_at_ms is not None, row.reference
        return self._decide(row, row.step, from_milliseconds(row.step_at_ms))

    def simulate(self, row: ChargeRow, status: ChargeStatus, at: datetime) -> ChargeRow:
        """Bring about a status now; the one that it has already is no change. Raises: Conflict."""
        allowed: dict[str, tuple[str, ...]] = {
            "processing": ("pending",),
            "completed": ("pending", "processing", "failed", "expired"),
            "failed": ("pending", "processing"),
            "expired": ("pending", "processing"),
        }
        if row.status == status:
            return row
        if row.status not in allowed[status]:
            raise Conflict("status_does_not_allow")
        return self._decide(row, status, at)

    def stop(self, row: ChargeRow) -> ChargeRow:
        """Never decide this charge by itself."""
        return self._keep(msgspec.structs.replace(row, step=None, step_at_ms=None))

    def _decide(self, row: ChargeRow, status: ChargeStatus, at: datetime) -> ChargeRow:
        if status == "processing":
            row = msgspec.structs.replace(row, status=status)
        else:
            row = _decided(row, status, at)
        self._tell(notice(row, at))
        if status == "completed":
            self._disputes.charge_completed(row, at)
        return self._keep(row)

    def _keep(self, row: ChargeRow) -> ChargeRow:
        self._record.keep_charge(row)
        return row


def shown(row: ChargeRow) -> Charge:
    """A charge as it is told."""
    return Charge(
        charge_id=f"sbx_ch_{row.number:09d}",
        reference=row.reference,
        status=row.status,
        amount_minor=row.amount_minor,
        currency=row.currency,
        payment_data=msgspec.json.decode(row.payment_data, type=dict[str, str]),
        rail_reference=row.rail_reference,
        expires_at=maybe_time(row.expires_at_ms),
        next_change_at=maybe_time(row.step_at_ms),
        decided_at=maybe_time(row.decided_at_ms),
        failure_code=row.failure_code,
    )


def notice(row: ChargeRow, at: datetime) -> Notice:
    """What is told of a change; its id is set when it is stored."""
    return Notice(
        id="",
        type=f"charge.{row.status}",
        created_at=at,
        book=row.book,
        reference=row.reference,
        charge_reference=row.reference,
        provider_reference=f"sbx_ch_{row.number:09d}",
        amount_minor=row.amount_minor,
        currency=row.currency,
        status=row.status,
        rail_reference=row.rail_reference,
        reason=row.failure_code,
        at=at,
    )


def _opened(asked: AskCharge, book: str, now: datetime, fault: str, number: int) -> ChargeRow:
    """A new charge: pending with its next step, or decided at once."""
    seconds = EXPIRES_SECONDS[asked.method]
    expires_at = None if seconds is None else now + timedelta(seconds=seconds)
    step, step_at = _first_step(asked, now, expires_at, fault)
    row = ChargeRow(
        number=number,
        reference=asked.reference,
        book=book,
        method=asked.method,
        country=asked.country,
        amount_minor=asked.amount_minor,
        refunded_minor=0,
        currency=asked.currency,
        payment_data=msgspec.json.encode(payment_data(asked, number)).decode(),
        status="pending",
        rail_reference=None,
        expires_at_ms=None if expires_at is None else milliseconds(expires_at),
        decided_at_ms=None,
        failure_code=None,
        step=step,
        step_at_ms=None if step_at is None else milliseconds(step_at),
        answer=b"",
    )
    if fault == "decline":
        return _decided(row, "failed", now, code="declined")
    if step is not None and step_at == now:
        return _decided(row, step, now)
    return row


def _first_step(
    asked: AskCharge, now: datetime, expires_at: datetime | None, fault: str
) -> tuple[ChargeStep | None, datetime | None]:
    """What the provider will do by itself, and when."""
    if fault == "never_settles":
        return None, None
    if fault == "fails_after_3_days":
        return "failed", now + _THREE_DAYS
    if asked.simulate is None and expires_at is not None:
        return "expired", expires_at
    status, seconds = SIMULATIONS[asked.simulate or "paid"]
    step: ChargeStep = "completed" if status == "completed" else "failed"
    if status == "expired":
        step = "expired"
    return step, now if expires_at is None else now + timedelta(seconds=seconds)


def _decided(
    row: ChargeRow, status: ChargeStatus, at: datetime, code: str | None = None
) -> ChargeRow:
    """A charge that came to its end."""
    codes = {"failed": "payment_failed", "expired": "payment_expired"}
    is_paid = status == "completed"
    return msgspec.structs.replace(
        row,
        status=status,
        rail_reference=_rail_reference(row, at) if is_paid else row.rail_reference,
        decided_at_ms=milliseconds(at),
        failure_code=code or codes.get(status),
        step=None,
        step_at_ms=None,
    )


def _rail_reference(row: ChargeRow, at: datetime) -> str | None:
    """The number under which the payer's bank knows the payment."""
    match row.method:
        case "spei":
            return identifiers.tracking_key(2 * row.number + 1, at)
        case "pix":
            return identifiers.pix_id("E", row.number, at)
        case "oxxo" | "pse":
            return f"{row.number:012d}"
        case _:
            return None


def payment_data(asked: AskCharge, number: int) -> dict[str, str]:
    """How to pay, by method (the fields of the contract, section 6.3)."""
    match asked.method:
        case "spei":
            fields = {
                "clabe": identifiers.clabe(number),
                "bankName": "Sandbox Bank",
                "beneficiary": asked.merchant_name,
                "reference": str(1000 + number),
            }
        case "oxxo":
            voucher = f"99{number:012d}"
            fields = {
                "voucherCode": voucher,
                "voucherUrl": f"{_PAGES}/oxxo/{voucher}",
                "reference": str(1000 + number),
            }
        case "pix":
            code = identifiers.br_code(
                amount_minor=asked.amount_minor, merchant_name=asked.merchant_name, number=number
            )
            fields = {"qrCode": code, "qrCodeUrl": f"{_PAGES}/pix/{number}.png"}
        case "pse":
            fields = {"redirectUrl": f"{_PAGES}/pse/{number}"}
        case _:
            fields = {"brand": "visa"}
    return {"method": asked.method, **fields}


def stamped(notice_: Notice, number: int, real: datetime) -> Notice:
    """A notice with its id and real time of making."""
    return msgspec.structs.replace(
        notice_, id=f"ntc_{wire_time(real)[:10].replace('-', '')}_{number}", created_at=real
    )

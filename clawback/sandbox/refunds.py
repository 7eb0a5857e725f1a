"""Refunds of the sandbox provider: at most one effect per reference, never more than was charged.

A refund is accepted at once and settled two seconds later on the book's clock; success is not
final, a settled one can be returned days later under the same rail reference. A repeated
reference is answered with the bytes of the first answer; the same reference with other terms is
refused. What is left of the charge falls and rises in the transaction of the refund itself.
"""

import re
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from clawback.clock import from_milliseconds, milliseconds
from clawback.sandbox import identifiers
from clawback.sandbox.charges import Conflict, Tell
from clawback.sandbox.protocol import AskOutsideRefund, AskRefund, Notice, Refund, RefundStatus
from clawback.sandbox.record import ChargeRow, Record, RefundRow, RefundStep, maybe_time

SETTLE_SECONDS: Final = 2
_BOUNCE_DAYS: Final = 3
_ARN_BUSINESS_DAYS: Final = 2
_NAME: Final = re.compile(r"sbx_rf_([0-9]{9,15})", re.ASCII)
_ENCODE: Final = msgspec.json.Encoder().encode


class Inquirer(Protocol):
    """Who ends an inquiry when its money goes back, and takes it up again."""

    def refund_left(self, refund: RefundRow, at: datetime) -> None:
        """Money goes back to the payer."""
        ...

    def refund_undone(self, refund: RefundRow, at: datetime) -> None:
        """It did not arrive, or came back."""
        ...


class Refunds:
    """Opens, shows and decides refunds."""

    def __init__(self, record: Record, tell: Tell, disputes: Inquirer) -> None:
        """`tell` is called once for each change that the caller did not see in an answer."""
        self._record = record
        self._tell = tell
        self._disputes = disputes

    def open(self, asked: AskRefund, *, book: str, now: datetime, fault: str) -> bytes:
        """Accept or decline the refund, or repeat the first answer. Raises: Conflict."""
        row = self._record.refund(asked.reference)
        if row is not None:
            return self._repeat(row, asked, book)
        charge = self._record.charge(asked.charge_reference)
        reason = _reason_against(asked, charge, book, fault)
        number = self._record.next_number("refund")
        method = "" if charge is None else charge.method
        row = _opened(asked, book=book, method=method, now=now, number=number)
        row = _declined(row, reason) if reason is not None else _twisted(row, fault)
        row = msgspec.structs.replace(row, answer=_ENCODE(shown(row)))
        self._record.add_refund(row)
        if row.effects:
            self._record.write("take_from_charge", row.charge_reference, row.amount_minor)
            self._disputes.refund_left(row, now)
        return row.answer

    def give_outside(self, charge: ChargeRow, asked: AskOutsideRefund, now: datetime) -> RefundRow:
        """Money goes back that nobody asked us for; under the same reference it is one effect.

        Raises: Conflict if the charge holds no so much.
        """
        known = None if asked.reference is None else self._record.refund(asked.reference)
        if known is not None and known.charge_reference == charge.reference:
            return known
        left_minor = charge.amount_minor - charge.refunded_minor
        amount_minor = asked.amount_minor or left_minor
        if known is not None or charge.status != "completed" or not 0 < amount_minor <= left_minor:
            raise Conflict("exceeds_charge")
        number = self._record.next_number("refund")
        wanted = AskRefund(
            reference=asked.reference or f"SBXOUT{number:09d}",
            charge_reference=charge.reference,
            amount_minor=amount_minor,
            currency=charge.currency,
        )
        row = _opened(wanted, book=charge.book, method=charge.method, now=now, number=number)
        row = msgspec.structs.replace(row, effects=0)
        self._record.add_refund(row)
        return self.settle(row, now)

    def _repeat(self, row: RefundRow, asked: AskRefund, book: str) -> bytes:
        terms = (row.book, row.charge_reference, row.amount_minor, row.currency)
        if terms != (book, asked.charge_reference, asked.amount_minor, asked.currency):
            raise Conflict("reference_taken")
        self._record.write("refund_asked", row.reference)
        return row.answer

    def look_up(self, reference: str, *, book: str, now: datetime) -> RefundRow | None:
        """The refund as it stands at this time of the book, or None.

        It is known by its reference, and by the name that the provider gave it.
        """
        row = self._record.refund(self._reference_of(reference))
        if row is None or row.book != book:
            return None
        while row.step is not None and (row.step_at_ms or 0) <= milliseconds(now):
            row = self.take_step(row)
        return row

    def _reference_of(self, name: str) -> str:
        match = _NAME.fullmatch(name)
        found = None if match is None else self._record.one("refund_named", int(match[1]))
        return name if found is None else str(found[0])

    def take_step(self, row: RefundRow) -> RefundRow:
        """Do what has fallen due. Bug: nothing is scheduled."""
        assert row.step is not None, row.reference
        assert row.step_at_ms is not None, row.reference
        at = from_milliseconds(row.step_at_ms)
        match row.step:
            case "settled":
                return self.settle(row, at)
            case "returned":
                return self.return_(row, at)
            case "named":
                named = msgspec.structs.replace(row, rail_reference=identifiers.arn(row.number, at))
                return self._keep(_with_next_step(named, after="named"), at)

    def settle(self, row: RefundRow, at: datetime) -> RefundRow:
        """The money has left, also if that was once denied. Raises: Conflict above the charge."""
        if row.status == "settled":
            return row
        if not row.effects:
            self._take(row)
            self._disputes.refund_left(row, at)
        settled = msgspec.structs.replace(
            row,
            status="settled",
            settled_at_ms=milliseconds(at),
            returned_at_ms=None,
            reason=None,
            effects=1,
        )
        return self._keep(_with_next_step(settled, after="settled"), at)

    def decline(self, row: RefundRow, at: datetime) -> RefundRow:
        """Refused for good after it was accepted. Raises: Conflict once it has settled."""
        if row.status == "declined":
            return row
        if row.status != "accepted":
            raise Conflict("status_does_not_allow")
        self._give_back(row, at)
        return self._keep(_declined(row, "declined_by_bank"), at)

    def return_(self, row: RefundRow, at: datetime) -> RefundRow:
        """The payer's bank sent settled money back. Raises: Conflict unless it has settled."""
        if row.status == "returned":
            return row
        if row.status != "settled":
            raise Conflict("status_does_not_allow")
        self._give_back(row, at)
        returned = msgspec.structs.replace(
            row,
            status="returned",
            returned_at_ms=milliseconds(at),
            reason="account_closed",
            effects=0,
            bounces=0,
            step=None,
            step_at_ms=None,
        )
        return self._keep(returned, at)

    def stop(self, row: RefundRow) -> RefundRow:
        """Never change this refund by itself."""
        row = msgspec.structs.replace(row, step=None, step_at_ms=None)
        self._record.keep_refund(row)
        return row

    def bounce_later(self, row: RefundRow) -> RefundRow:
        """Let it settle, and come back three days later."""
        row = msgspec.structs.replace(row, bounces=1)
        if row.status == "settled":
            row = _with_next_step(row, after="settled")
        self._record.keep_refund(row)
        return row

    def _take(self, row: RefundRow) -> None:
        charge = self._record.charge(row.charge_reference)
        if charge is None or row.amount_minor > charge.amount_minor - charge.refunded_minor:
            raise Conflict("exceeds_charge")
        self._record.write("take_from_charge", row.charge_reference, row.amount_minor)

    def _give_back(self, row: RefundRow, at: datetime) -> None:
        self._record.write("take_from_charge", row.charge_reference, -row.amount_minor)
        self._disputes.refund_undone(row, at)

    def _keep(self, row: RefundRow, at: datetime) -> RefundRow:
        self._record.keep_refund(row)
        self._tell(notice(row, at))
        return row


def shown(row: RefundRow) -> Refund:
    """A refund as it is told."""
    return Refund(
        refund_id=f"sbx_rf_{row.number:09d}",
        reference=row.reference,
        charge_reference=row.charge_reference,
        status=row.status,
        amount_minor=row.amount_minor,
        currency=row.currency,
        settles_at=maybe_time(row.settles_at_ms),
        settled_at=maybe_time(row.settled_at_ms),
        returned_at=maybe_time(row.returned_at_ms),
        rail_reference=row.rail_reference,
        reason=row.reason,
    )


def notice(row: RefundRow, at: datetime) -> Notice:
    """What is told of a change; its id is set when it is stored."""
    return Notice(
        id="",
        type=f"refund.{row.status}",
        created_at=at,
        book=row.book,
        reference=row.reference,
        charge_reference=row.charge_reference,
        provider_reference=f"sbx_rf_{row.number:09d}",
        amount_minor=row.amount_minor,
        currency=row.currency,
        status=row.status,
        rail_reference=row.rail_reference,
        reason=row.reason,
        at=at,
    )


def _reason_against(
    asked: AskRefund, charge: ChargeRow | None, book: str, fault: str
) -> str | None:
    """Why this refund is refused for good; None: it is not."""
    if charge is None or charge.book != book:
        return "unknown_charge"
    if charge.status != "completed":
        return "charge_not_completed"
    if charge.currency != asked.currency:
        return "currency_mismatch"
    if asked.amount_minor > charge.amount_minor - charge.refunded_minor:
        return "exceeds_charge"
    return "declined_by_bank" if fault == "decline" else None


def _opened(asked: AskRefund, *, book: str, method: str, now: datetime, number: int) -> RefundRow:
    """An accepted refund, to be settled in two seconds."""
    settles_at_ms = milliseconds(now + timedelta(seconds=SETTLE_SECONDS))
    return RefundRow(
        number=number,
        reference=asked.reference,
        charge_reference=asked.charge_reference,
        book=book,
        method=method,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        status="accepted",
        reason=None,
        rail_reference=_rail_reference(method, number, now),
        settles_at_ms=settles_at_ms,
        settled_at_ms=None,
        returned_at_ms=None,
        effects=1,
        bounces=0,
        step="settled",
        step_at_ms=settles_at_ms,
        payee=None if asked.payee is None else msgspec.json.encode(asked.payee).decode(),
        answer=b"",
    )


def _twisted(row: RefundRow, fault: str) -> RefundRow:
    """The refund as a fault would have it."""
    if fault == "never_settles":
        return msgspec.structs.replace(row, step=None, step_at_ms=None)
    return msgspec.structs.replace(row, bounces=int(fault == "fails_after_3_days"))


def _declined(row: RefundRow, reason: str) -> RefundRow:
    """The refund, refused for good."""
    return msgspec.structs.replace(
        row,
        status="declined",
        reason=reason,
        rail_reference=None,
        settles_at_ms=None,
        effects=0,
        step=None,
        step_at_ms=None,
    )


def _with_next_step(row: RefundRow, *, after: RefundStatus | RefundStep) -> RefundRow:
    """What follows a settlement: an ARN for a card, a return for a refund that bounces."""
    settled_at = from_milliseconds(row.settled_at_ms or 0)
    steps: list[tuple[datetime, RefundStep]] = []
    if row.bounces:
        steps.append((settled_at + timedelta(days=_BOUNCE_DAYS), "returned"))
    if row.method == "card" and row.rail_reference is None and after == "settled":
        named_at = identifiers.after_business_days(settled_at, _ARN_BUSINESS_DAYS)
        steps.append((named_at, "named"))
    if not steps:
        return msgspec.structs.replace(row, step=None, step_at_ms=None)
    at, step = min(steps)
    return msgspec.structs.replace(row, step=step, step_at_ms=milliseconds(at))


def _rail_reference(method: str, number: int, at: datetime) -> str | None:
    """The number to quote to the payer's bank; a card's comes days later."""
    match method:
        case "spei" | "oxxo":
            return identifiers.tracking_key(2 * number, at)
        case "pix":
            return identifiers.pix_id("D", number, at)
        case "pse":
            return f"sbx_rf_{number:09d}"
        case _:
            return None

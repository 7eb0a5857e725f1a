"""Disputes at the sandbox provider: cases of inquiry, chargeback and MED, round after round.

A case waits for evidence until its due time on the book's clock; without any its network decides
for the payer a day later, and an inquiry becomes a chargeback. A submitted case waits to be told
its end. Evidence and giving in have one effect per reference, and a repeat gets the first answer.
An inquiry ends when a refund covers it, and comes back if that refund does not hold.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from clawback.clock import from_milliseconds, milliseconds
from clawback.sandbox import identifiers
from clawback.sandbox.charges import Conflict, Tell
from clawback.sandbox.protocol import (
    AskAccept,
    AskDispute,
    AskEvidence,
    Dispute,
    DisputeAnswer,
    DisputeKind,
    DisputeStatus,
    Notice,
)
from clawback.sandbox.record import ChargeRow, DisputeRow, Record, RefundRow, maybe_time

EVIDENCE_DAYS: Final[dict[DisputeKind, int]] = {"chargeback": 14, "inquiry": 7, "med": 3}
DECIDES_AFTER: Final = timedelta(days=1)
OPENS_AFTER: Final = timedelta(seconds=30)
OPEN: Final = ("opened", "reopened")
_REASONS: Final[dict[DisputeKind, tuple[str, str]]] = {
    "chargeback": ("Goods or services not received", "4853"),
    "inquiry": ("The cardholder does not recognize the payment", "6305"),
    "med": ("Reported as fraud by the payer's institution", "FRAUD"),
}
_ARNS_FROM: Final = 10**10  # apart from those of refunds
_FITS: Final[dict[str, tuple[DisputeKind, tuple[str, ...], DisputeStatus]]] = {
    "chargeback_won": ("chargeback", OPEN, "won"),
    "med_won": ("med", OPEN, "won"),
    "inquiry_won": ("inquiry", OPEN, "won"),
    "chargeback_lost": ("chargeback", OPEN, "lost"),
    "med_lost": ("med", OPEN, "lost"),
    "chargeback_withdrawn": ("chargeback", OPEN, "withdrawn"),
    "inquiry_escalated": ("inquiry", OPEN, "escalated"),
    "chargeback_reopened": ("chargeback", ("won", "withdrawn", "reversed"), "reopened"),
    "chargeback_reversed": ("chargeback", ("lost",), "reversed"),
}
"""What an action does: to cases of which kind, in which states, and what becomes of them."""

_ENCODE: Final = msgspec.json.Encoder().encode


class Disputes:
    """Opens, shows and decides cases."""

    def __init__(self, record: Record, tell: Tell) -> None:
        """`tell` is called once for each change of a case."""
        self._record = record
        self._tell = tell

    # What the network does.

    def plan(self, charge: ChargeRow, kind: DisputeKind) -> None:
        """Have a case opened half a minute after the charge completes."""
        now = from_milliseconds(0)
        self._record.add_dispute(self._new(charge, kind, charge.amount_minor, now))

    def charge_completed(self, charge: ChargeRow, at: datetime) -> None:
        """The payer has paid: what was planned has its time now."""
        for row in self._record.disputes_of(charge.reference):
            if row.status == "planned" and row.step is None:
                opens_at_ms = milliseconds(at + OPENS_AFTER)
                self._record.keep_dispute(
                    msgspec.structs.replace(row, step="opened", step_at_ms=opens_at_ms)
                )

    def simulate(self, asked: AskDispute, charge: ChargeRow, *, now: datetime) -> bytes:
        """Bring an action about, or repeat the first answer.

        Raises: Conflict if no case fits it.
        """
        operation = f"simulate:{asked.action}:{asked.amount_minor}"
        if (answer := self._repeated(asked.reference, charge.book, None, operation)) is not None:
            return answer
        amount_minor = asked.amount_minor
        if (known := _FITS.get(asked.action)) is None:
            assert asked.action in EVIDENCE_DAYS, asked.action
            kind: DisputeKind = asked.action
            row = self._open_new(charge, kind, amount_minor, now, asked.reason)
        else:
            row = self._fitting(asked, charge, known[0], known[1])
            if known[2] == "lost" and amount_minor is not None and amount_minor > row.amount_minor:
                raise Conflict("exceeds_case")
            row = self._move(row, known[2], now, granted_minor=amount_minor, reason=asked.reason)
        answer = _ENCODE(shown(row))
        if asked.reference is not None:
            self._keep_call(asked.reference, row, operation, answer)
        return answer

    def look_up(self, name: str, *, book: str, now: datetime) -> DisputeRow | None:
        """The case as it stands at this time of the book, or None."""
        row = self._record.dispute(name)
        if row is None or row.book != book:
            return None
        while row.step is not None and (row.step_at_ms or 0) <= milliseconds(now):
            row = self.take_step(row)
        return None if row.status == "planned" else row

    def take_step(self, row: DisputeRow) -> DisputeRow:
        """Do what has fallen due. Bug: nothing is scheduled."""
        assert row.step is not None, row.name
        assert row.step_at_ms is not None, row.name
        at = from_milliseconds(row.step_at_ms)
        if row.step == "opened":
            return self._open_planned(row, at)
        return self._move(row, "escalated" if row.kind == "inquiry" else "lost", at)

    def refund_left(self, refund: RefundRow, at: datetime) -> None:
        """Money goes back to the payer: an inquiry that it covers is over."""
        charge = self._record.charge(refund.charge_reference)
        assert charge is not None, refund.reference
        left_minor = charge.amount_minor - charge.refunded_minor
        for row in self._record.disputes_of(charge.reference):
            is_covered = refund.amount_minor >= row.amount_minor or left_minor == 0
            if row.kind == "inquiry" and row.status in OPEN and is_covered:
                self._move(row, "withdrawn", at, ended_by=refund.reference)

    def refund_undone(self, refund: RefundRow, at: datetime) -> None:
        """The money did not arrive, or came back: the inquiry that it had ended goes on."""
        for row in self._record.disputes_of(refund.charge_reference):
            if row.status == "withdrawn" and row.ended_by == refund.reference:
                self._move(row, "reopened", at)

    # What the merchant does.

    def submit(self, row: DisputeRow, asked: AskEvidence, *, now: datetime, refused: bool) -> bytes:
        """Take evidence in, once per round, or repeat the first answer. Raises: Conflict."""
        answer = self._repeated(asked.reference, row.book, row.name, "evidence")
        if answer is not None:
            return answer
        reason = _reason_against_evidence(row, asked, now, refused=refused)
        if reason is None:
            row = msgspec.structs.replace(
                row, submitted_at_ms=milliseconds(now), step=None, step_at_ms=None
            )
            self._record.keep_dispute(row)
        answer = _ENCODE(_answer(row, asked.reference, "evidence", reason, now))
        sizes = [len(one.data or b"") + len((one.text or "").encode()) for one in asked.documents]
        self._keep_call(asked.reference, row, "evidence", answer, *sizes)
        return answer

    def accept(self, row: DisputeRow, asked: AskAccept, *, now: datetime, refused: bool) -> bytes:
        """The merchant gives in, or repeat the first answer. Raises: Conflict.

        An inquiry takes no money: giving in to one only ends it.
        """
        answer = self._repeated(asked.reference, row.book, row.name, "accept")
        if answer is not None:
            return answer
        reason = "not_open" if row.status not in OPEN or row.kind != asked.kind else None
        if refused:
            reason = "declined_by_network"
        if reason is None:
            row = self._move(row, "withdrawn" if row.kind == "inquiry" else "lost", now)
        answer = _ENCODE(_answer(row, asked.reference, "accept", reason, now))
        self._keep_call(asked.reference, row, "accept", answer)
        return answer

    # How.

    def _open_new(
        self,
        charge: ChargeRow,
        kind: DisputeKind,
        amount_minor: int | None,
        now: datetime,
        reason: str | None,
    ) -> DisputeRow:
        if not self._can_open(charge, kind):
            raise Conflict("status_does_not_allow")
        row = self._new(charge, kind, amount_minor or charge.amount_minor, now)
        if reason is not None:
            row = msgspec.structs.replace(row, reason=reason)
        self._record.add_dispute(row)
        return self._move(row, "opened", now)

    def _open_planned(self, row: DisputeRow, at: datetime) -> DisputeRow:
        charge = self._record.charge(row.charge_reference)
        assert charge is not None, row.name
        if self._can_open(charge, row.kind):
            return self._move(row, "opened", at)
        row = msgspec.structs.replace(row, step=None, step_at_ms=None)
        self._record.keep_dispute(row)
        return row

    def _can_open(self, charge: ChargeRow, kind: DisputeKind) -> bool:
        is_open = any(
            row.kind == kind and row.status in OPEN
            for row in self._record.disputes_of(charge.reference)
        )
        return charge.status == "completed" and not is_open and _suits(charge, kind)

    def _new(
        self, charge: ChargeRow, kind: DisputeKind, amount_minor: int, now: datetime
    ) -> DisputeRow:
        number = self._record.next_number("dispute")
        reason, code = _REASONS[kind]
        has_arn = charge.method == "card"
        return DisputeRow(
            number=number,
            name=f"sbx_dp_{number:09d}",
            charge_reference=charge.reference,
            book=charge.book,
            kind=kind,
            round=1,
            changes=0,
            status="planned",
            amount_minor=amount_minor,
            granted_minor=0,
            currency=charge.currency,
            reason=reason,
            reason_code=code,
            rail_reference=identifiers.arn(_ARNS_FROM + number, now) if has_arn else None,
            evidence_due_at_ms=None,
            submitted_at_ms=None,
            changed_at_ms=milliseconds(now),
            next_case=None,
            ended_by=None,
            step=None,
            step_at_ms=None,
        )

    def _fitting(
        self, asked: AskDispute, charge: ChargeRow, kind: DisputeKind, states: tuple[str, ...]
    ) -> DisputeRow:
        """The newest case that the action fits, or the one that was named. Raises: Conflict."""
        for row in reversed(self._record.disputes_of(charge.reference)):
            if row.kind == kind and row.status in states and asked.case in {None, row.name}:
                return row
        raise Conflict("status_does_not_allow")

    def _move(
        self,
        row: DisputeRow,
        status: DisputeStatus,
        at: datetime,
        *,
        granted_minor: int | None = None,
        reason: str | None = None,
        ended_by: str | None = None,
    ) -> DisputeRow:
        """Change a case, tell of it; an escalated inquiry's chargeback is told with it."""
        next_row = self._escalation(row, at) if status == "escalated" else None
        is_lost, is_open = status == "lost", status in OPEN
        due_at = at + timedelta(days=EVIDENCE_DAYS[row.kind])
        moved = msgspec.structs.replace(
            row,
            status=status,
            round=row.round + (status == "reopened"),
            changes=row.changes + 1,
            granted_minor=(granted_minor or row.amount_minor) if is_lost else 0,
            reason=reason or row.reason,
            rail_reference=_rail_reference(row, at, is_lost=is_lost),
            evidence_due_at_ms=milliseconds(due_at) if is_open else row.evidence_due_at_ms,
            submitted_at_ms=None if is_open else row.submitted_at_ms,
            changed_at_ms=milliseconds(at),
            next_case=row.next_case if next_row is None else next_row.name,
            ended_by=ended_by,
            step="decided" if is_open else None,
            step_at_ms=milliseconds(due_at + DECIDES_AFTER) if is_open else None,
        )
        self._record.keep_dispute(moved)
        self._tell(notice(moved, at))
        return moved

    def _escalation(self, row: DisputeRow, at: datetime) -> DisputeRow:
        """The chargeback that an inquiry becomes: opened with it, told with it."""
        charge = self._record.charge(row.charge_reference)
        assert charge is not None, row.name
        due_at = at + timedelta(days=EVIDENCE_DAYS["chargeback"])
        opened = msgspec.structs.replace(
            self._new(charge, "chargeback", row.amount_minor, at),
            status="opened",
            changes=1,
            evidence_due_at_ms=milliseconds(due_at),
            step="decided",
            step_at_ms=milliseconds(due_at + DECIDES_AFTER),
        )
        self._record.add_dispute(opened)
        return opened

    def _repeated(
        self, reference: str | None, book: str, name: str | None, operation: str
    ) -> bytes | None:
        """The answer that this reference got before. Raises: Conflict for other terms."""
        found = None if reference is None else self._record.one("dispute_call", reference)
        if found is None:
            return None
        if (found[0], found[2]) != (book, operation) or name not in {None, found[1]}:
            raise Conflict("reference_taken")
        self._record.write("dispute_call_asked", reference)
        assert isinstance(found[3], bytes), reference
        return found[3]

    def _keep_call(
        self, reference: str, row: DisputeRow, operation: str, answer: bytes, *sizes: int
    ) -> None:
        self._record.write(
            "add_dispute_call",
            reference,
            row.book,
            row.name,
            operation,
            len(sizes),
            sum(sizes),
            answer,
        )


def shown(row: DisputeRow) -> Dispute:
    """A case as it is told. Bug: one that is only planned."""
    assert row.status != "planned", row.name
    return Dispute(
        id=f"{row.name}_{row.changes}",
        case=row.name,
        kind=row.kind,
        charge_reference=row.charge_reference,
        status=row.status,
        round=row.round,
        amount_minor=row.granted_minor if row.status == "lost" else row.amount_minor,
        demanded_minor=row.amount_minor,
        currency=row.currency,
        reason=row.reason,
        reason_code=row.reason_code,
        rail_reference=row.rail_reference,
        evidence_due_at=maybe_time(_due_ms(row)),
        submitted_at=maybe_time(row.submitted_at_ms),
        next_case=row.next_case,
        at=from_milliseconds(row.changed_at_ms),
    )


def notice(row: DisputeRow, at: datetime) -> Notice:
    """What is told of a change; its id is set when it is stored."""
    case = shown(row)
    return Notice(
        id="",
        type=f"dispute.{case.status}",
        created_at=at,
        book=row.book,
        reference=row.name,
        charge_reference=row.charge_reference,
        provider_reference=row.name,
        amount_minor=case.amount_minor,
        currency=row.currency,
        status=case.status,
        rail_reference=row.rail_reference,
        reason=row.reason,
        at=at,
        dispute=case,
    )


def _due_ms(row: DisputeRow) -> int | None:
    """Until when evidence is taken: of an escalated inquiry that of the chargeback it became."""
    if row.status != "escalated":
        return row.evidence_due_at_ms
    due_at = from_milliseconds(row.changed_at_ms) + timedelta(days=EVIDENCE_DAYS["chargeback"])
    return milliseconds(due_at)


def _suits(charge: ChargeRow, kind: DisputeKind) -> bool:
    """A MED is of PIX alone."""
    return kind != "med" or charge.method == "pix"


def _rail_reference(row: DisputeRow, at: datetime, *, is_lost: bool) -> str | None:
    """A lost MED is a return of its own, with a PIX id of its own."""
    if is_lost and row.kind == "med":
        return identifiers.pix_id("D", _ARNS_FROM + row.number, at)
    return row.rail_reference


def _reason_against_evidence(
    row: DisputeRow, asked: AskEvidence, now: datetime, *, refused: bool
) -> str | None:
    """Why evidence is not taken; None: it is."""
    if row.status not in OPEN or row.kind != asked.kind:
        return "not_open"
    if row.submitted_at_ms is not None:
        return "submitted_already"
    if row.evidence_due_at_ms is not None and milliseconds(now) > row.evidence_due_at_ms:
        return "evidence_closed"
    return "declined_by_network" if refused else None


def _answer(
    row: DisputeRow, reference: str, operation: str, reason: str | None, now: datetime
) -> DisputeAnswer:
    return DisputeAnswer(
        reference=reference,
        case=row.name,
        operation="evidence" if operation == "evidence" else "accept",
        status="settled" if reason is None else "declined",
        reason=reason,
        amount_minor=row.amount_minor,
        currency=row.currency,
        rail_reference=row.rail_reference,
        at=now,
    )

"""The sandbox provider's calls about disputes: look-ups, evidence, giving in, and simulations.

Each is decided inside the record's open transaction and may be struck by a fault of its
operation. A file of evidence must have the SHA-256 that is said of it; its bytes are counted and
forgotten.
"""

from collections.abc import Callable
from hashlib import sha256

from clawback.sandbox import disputes, protocol
from clawback.sandbox.calls import (
    MAX_MINOR,
    BadRequest,
    Caller,
    asked,
    check_reference,
    encode,
    problem,
    struck,
)
from clawback.sandbox.disputes import Disputes
from clawback.sandbox.record import DisputeRow, Record
from clawback.sandbox.script import Script
from clawback.sandbox.server import Answer, Request

Effect = Callable[[], bytes | None]


class DisputeCalls:
    """Answers the calls under /disputes and /charges/{reference}/disputes."""

    def __init__(self, record: Record, script: Script, cases: Disputes) -> None:
        """`script` says which call a fault strikes, and how long a time-out is held."""
        self._record = record
        self._script = script
        self._cases = cases

    def answer(
        self, method: str, path: tuple[str, ...], request: Request, caller: Caller
    ) -> Answer | None:
        """The answer; None if there is no such call. Raises: BadRequest, Conflict."""
        match method, path:
            case "POST", ("charges", reference, "disputes"):
                return self._simulate(reference, request, caller)
            case "GET", ("disputes", case):
                return self._look_up(case, caller)
            case "POST", ("disputes", case, "evidence"):
                return self._submit(case, request, caller)
            case "POST", ("disputes", case, "accept"):
                return self._accept(case, request, caller)
            case _:
                return None

    def _simulate(self, reference: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskDispute)
        if wanted.reference is not None:
            check_reference(wanted.reference)
        if wanted.amount_minor is not None and not 0 < wanted.amount_minor <= MAX_MINOR:
            raise BadRequest("amountMinor")
        charge = self._record.charge(reference)
        if charge is None or charge.book != caller.book:
            return problem(404, "not_found")
        return Answer(200, self._cases.simulate(wanted, charge, now=caller.now))

    def _look_up(self, case: str, caller: Caller) -> Answer:
        row = self._cases.look_up(case, book=caller.book, now=caller.now)
        fault = self._draw("lookup", row, caller)
        if row is None:
            return struck(fault, lambda: None, 0, "", self._script.hold_seconds)
        told = disputes.shown(row)
        body = encode(told)
        return struck(fault, lambda: body, told.amount_minor, "", self._script.hold_seconds)

    def _submit(self, case: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskEvidence)
        check_reference(wanted.reference)
        if not wanted.documents:
            raise BadRequest("documents")
        for document in wanted.documents:
            _check_document(document)
        row = self._cases.look_up(case, book=caller.book, now=caller.now)
        fault = self._draw("evidence", row, caller)

        def submit() -> bytes | None:
            is_refused = fault == "decline"
            if row is None:
                return None
            return self._cases.submit(row, wanted, now=caller.now, refused=is_refused)

        return self._struck(fault, submit, row)

    def _accept(self, case: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskAccept)
        check_reference(wanted.reference)
        row = self._cases.look_up(case, book=caller.book, now=caller.now)
        fault = self._draw("accept", row, caller)

        def accept() -> bytes | None:
            is_refused = fault == "decline"
            if row is None:
                return None
            return self._cases.accept(row, wanted, now=caller.now, refused=is_refused)

        return self._struck(fault, accept, row)

    def _draw(self, operation: str, row: DisputeRow | None, caller: Caller) -> str:
        reference = None if row is None else row.charge_reference
        return self._script.draw(operation, book=caller.book, charge_reference=reference)

    def _struck(self, fault: str, effect: Effect, row: DisputeRow | None) -> Answer:
        charge = None if row is None else self._record.charge(row.charge_reference)
        method = "" if charge is None else charge.method
        amount_minor = 0 if row is None else row.amount_minor
        return struck(fault, effect, amount_minor, method, self._script.hold_seconds)


def _check_document(document: protocol.Document) -> None:
    """A text or a file, and the file is what it says. Raises: BadRequest."""
    if (document.text is None) == (document.data is None):
        raise BadRequest("text or data")
    if document.data is not None and sha256(document.data).hexdigest() != document.sha256:
        raise BadRequest("sha256")

"""The sandbox provider's calls: who may call, what is asked, which fault strikes, what is told.

Each call is decided at once inside the record's open transaction and answered after its commit.
A fault decides what becomes of the call (no effect, effect without an answer, a broken answer)
but never makes a second effect: that rule lives in `charges` and `refunds`, below the faults.
"""

import hmac
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

import msgspec

from clawback.clock import from_milliseconds, milliseconds, real_now
from clawback.sandbox import charges, protocol, refunds
from clawback.sandbox.calls import (
    MAX_MINOR,
    BadRequest,
    Caller,
    asked,
    check_reference,
    check_terms,
    encode,
    problem,
    struck,
)
from clawback.sandbox.charges import Charges, Conflict, Tell
from clawback.sandbox.dispute_calls import DisputeCalls
from clawback.sandbox.disputes import Disputes
from clawback.sandbox.record import Record, RefundRow
from clawback.sandbox.refunds import Refunds
from clawback.sandbox.reports import Reports
from clawback.sandbox.script import Script
from clawback.sandbox.server import Answer, Request

MAX_LOOKUPS: Final = 100
_SOONEST_CHARGE_MS: Final = 5000  # the shortest wait in protocol.SIMULATIONS
_STRIKE_A_WHOLE_CALL: Final = frozenset(protocol.CALL_FAULTS) - {
    "none",
    "decline",
    "wrong_amount",
    "never_settles",
    "fails_after_3_days",
}
_BOOK: Final = re.compile(r"[\x21-\x7e]{0,64}", re.ASCII)


class Service:
    """Answers requests, and does by itself what falls due."""

    def __init__(self, record: Record, script: Script, tell: Tell, *, secret: str) -> None:
        """`secret`: what callers must bear."""
        self._record = record
        self._script = script
        self._disputes = Disputes(record, tell)
        self._charges = Charges(record, tell, self._disputes)
        self._refunds = Refunds(record, tell, self._disputes)
        self._dispute_calls = DisputeCalls(record, script, self._disputes)
        self._reports = Reports(record, script)
        self._authorization = f"Bearer {secret}".encode()
        self.wake: Callable[[int], None] = lambda _: None

    def decide(self, request: Request) -> Answer:
        """Answer one request; its writes are not committed yet."""
        if request.path == "/healthz":
            return Answer(200, b'{"ok":true}')
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization):
            return problem(401, "unauthorized")
        try:
            return self._routed(request, self._caller(request.headers))
        except (BadRequest, msgspec.DecodeError, UnicodeDecodeError) as error:
            return problem(400, f"bad_request: {error}")
        except Conflict as conflict:
            return problem(409, str(conflict))

    def take_due_steps(self) -> int | None:
        """Do what has fallen due in any book, at most 500 of a kind.

        Returns real Unix milliseconds: when to come back; None if nothing is scheduled.
        """
        now_ms = milliseconds(real_now())
        for reference, *_ in self._record.many("charges_due", now_ms):
            charge = self._record.charge(str(reference))
            assert charge is not None, reference
            self._charges.take_step(charge)
        for reference, *_ in self._record.many("refunds_due", now_ms):
            refund = self._record.refund(str(reference))
            assert refund is not None, reference
            self._refunds.take_step(refund)
        for name, *_ in self._record.many("disputes_due", now_ms):
            dispute = self._record.dispute(str(name))
            assert dispute is not None, name
            self._disputes.take_step(dispute)
        row = self._record.one("next_step")
        next_ms = None if row is None else row[0]
        return next_ms if isinstance(next_ms, int) else None

    def _wake_for_next(self) -> None:
        row = self._record.one("next_step")
        if row is not None and isinstance(row[0], int):
            self.wake(row[0])

    def _caller(self, headers: dict[str, str]) -> Caller:
        """Book and book time of a call; a clock that moved on makes things fall due."""
        book, stamp, real = headers.get("x-book", ""), headers.get("x-book-time"), real_now()
        if _BOOK.fullmatch(book) is None:
            raise BadRequest("X-Book")
        if stamp is not None:
            try:
                book_time = datetime.fromisoformat(stamp)
            except ValueError:
                raise BadRequest("X-Book-Time") from None
            if book_time.tzinfo is None:
                raise BadRequest("X-Book-Time")
            if self._record.hear_clock(book, book_time=book_time, real=real):
                self.wake(0)
        return Caller(book, from_milliseconds(milliseconds(real) + self._record.offset_ms(book)))

    def _routed(self, request: Request, caller: Caller) -> Answer:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["refunds"]:
                return self._refund(request, caller)
            case "GET", ["refunds", reference]:
                return self._look_up_refund(reference, request, caller)
            case "POST", ["refunds", "lookup"]:
                return self._look_up_refunds(request, caller)
            case "POST", ["refunds", reference, "simulate"]:
                return self._simulate_refund(reference, request, caller)
            case "POST", ["charges"]:
                return self._charge(request, caller)
            case "GET", ["charges", reference]:
                return self._look_up_charge(reference, caller)
            case "POST", ["charges", reference, "simulate"]:
                return self._simulate_charge(reference, request, caller)
            case "POST", ["charges", reference, "refunds"]:
                return self._refund_outside(reference, request, caller)
            case "POST", ["faults" | "mixes" as kind]:
                return self._add_fault(request) if kind == "faults" else self._add_mix(request)
            case "GET", ["due"]:
                return self._next_change(caller)
            case method, path:
                return self._routed_further(method, tuple(path), request, caller)
        return problem(404, "no_such_call")

    def _routed_further(
        self, method: str, path: tuple[str, ...], request: Request, caller: Caller
    ) -> Answer:
        answer = self._dispute_calls.answer(method, path, request, caller)
        if answer is not None:
            self._wake_for_next()
            return answer
        query = {key: values[-1] for key, values in parse_qs(request.query).items()}
        body = self._reports.answer(method, path, query)
        return problem(404, "no_such_call") if body is None else Answer(200, body)

    def _next_change(self, caller: Caller) -> Answer:
        """Do what has fallen due by the caller's clock, then tell what comes next."""
        now_ms = milliseconds(real_now())
        while (next_ms := self.take_due_steps()) is not None and next_ms <= now_ms:
            pass
        row = self._record.one("next_step_of_book", caller.book)
        step_ms = None if row is None else row[0]
        # Read anew: a notice of just now is due a moment after we began.
        untold = self._record.one("untold_notices", caller.book, milliseconds(real_now()))
        count = 0 if untold is None else untold[0]
        assert isinstance(count, int), count
        told = protocol.NextChange(
            next_at=from_milliseconds(step_ms) if isinstance(step_ms, int) else None,
            untold=count,
        )
        return Answer(200, encode(told))

    # Charges.

    def _charge(self, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskCharge)
        check_terms(wanted.reference, wanted.amount_minor, wanted.currency)
        if wanted.method not in charges.EXPIRES_SECONDS:
            raise BadRequest("method")
        if wanted.simulate is not None and wanted.simulate not in protocol.SIMULATIONS:
            raise BadRequest("simulate")
        fault = self._script.draw("charge", book=caller.book, charge_reference=wanted.reference)

        def open_charge() -> bytes:
            return self._charges.open(wanted, book=caller.book, now=caller.now, fault=fault)

        answer = self._with_fault(fault, open_charge, wanted.amount_minor, wanted.method)
        self.wake(milliseconds(real_now()) + _SOONEST_CHARGE_MS)
        return answer

    def _look_up_charge(self, reference: str, caller: Caller) -> Answer:
        fault = self._script.draw("lookup", book=caller.book, charge_reference=reference)
        row = self._charges.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return self._with_fault(fault, lambda: None, 0, "")
        if fault == "never_settles":
            row = self._charges.stop(row)
        body = encode(charges.shown(row))
        return self._with_fault(fault, lambda: body, row.amount_minor, row.method)

    def _simulate_charge(self, reference: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.SimulateCharge)
        row = self._charges.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return problem(404, "not_found")
        row = self._charges.simulate(row, wanted.status, caller.now)
        self._wake_for_next()
        return Answer(200, encode(charges.shown(row)))

    # Refunds.

    def _refund(self, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskRefund)
        check_terms(wanted.reference, wanted.amount_minor, wanted.currency)
        fault = self._script.draw(
            "refund", book=caller.book, charge_reference=wanted.charge_reference
        )

        def open_refund() -> bytes:
            return self._refunds.open(wanted, book=caller.book, now=caller.now, fault=fault)

        if fault == "none":
            answer = Answer(200, open_refund())
        else:
            charge = self._record.charge(wanted.charge_reference)
            method = "" if charge is None else charge.method
            answer = self._with_fault(fault, open_refund, wanted.amount_minor, method)
        self.wake(milliseconds(real_now()) + 1000 * refunds.SETTLE_SECONDS)
        return answer

    def _look_up_refund(self, reference: str, request: Request, caller: Caller) -> Answer:
        row = self._refunds.look_up(reference, book=caller.book, now=caller.now)
        named = parse_qs(request.query).get("charge", [None])[-1]
        charge_reference = named if row is None else row.charge_reference
        fault = self._script.draw("lookup", book=caller.book, charge_reference=charge_reference)
        if row is None:
            return self._with_fault(fault, lambda: None, 0, "")
        row = self._changed_by_lookup(row, fault, caller.now)
        body = encode(refunds.shown(row))
        return self._with_fault(fault, lambda: body, row.amount_minor, row.method)

    def _look_up_refunds(self, request: Request, caller: Caller) -> Answer:
        """Look many up at once.

        Each is a look-up of its own for the fault script; the first fault that strikes a whole
        call ends this one.
        """
        wanted = asked(request, protocol.AskLookups)
        if len(wanted.references) > MAX_LOOKUPS:
            raise BadRequest("references")
        found: list[protocol.Refund | None] = []
        for reference in wanted.references:
            row = self._refunds.look_up(reference, book=caller.book, now=caller.now)
            charge_reference = None if row is None else row.charge_reference
            fault = self._script.draw("lookup", book=caller.book, charge_reference=charge_reference)
            row = None if row is None else self._changed_by_lookup(row, fault, caller.now)
            if fault in _STRIKE_A_WHOLE_CALL:
                return self._with_fault(fault, lambda: b'{"refunds":[]}', 0, "")
            shown = None if row is None else refunds.shown(row)
            if shown is not None and fault == "wrong_amount":
                wrong_minor = shown.amount_minor + 1
                shown = msgspec.structs.replace(shown, amount_minor=wrong_minor)
            found.append(shown)
        return Answer(200, encode(protocol.Lookups(refunds=found)))

    def _changed_by_lookup(self, row: RefundRow, fault: str, now: datetime) -> RefundRow:
        """Faults that make a look-up find the refund changed, or changing."""
        if fault == "decline" and row.status == "accepted":
            return self._refunds.decline(row, now)
        if fault == "never_settles":
            return self._refunds.stop(row)
        if fault == "fails_after_3_days":
            return self._refunds.bounce_later(row)
        return row

    def _simulate_refund(self, reference: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.SimulateRefund)
        row = self._refunds.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return problem(404, "not_found")
        match wanted.status:
            case "settled":
                row = self._refunds.settle(row, caller.now)
            case "declined":
                row = self._refunds.decline(row, caller.now)
            case "returned":
                row = self._refunds.return_(row, caller.now)
        return Answer(200, encode(refunds.shown(row)))

    def _refund_outside(self, reference: str, request: Request, caller: Caller) -> Answer:
        wanted = asked(request, protocol.AskOutsideRefund)
        if wanted.reference is not None:
            check_reference(wanted.reference)
        if wanted.amount_minor is not None and not 0 < wanted.amount_minor <= MAX_MINOR:
            raise BadRequest("amountMinor")
        charge = self._charges.look_up(reference, book=caller.book, now=caller.now)
        if charge is None:
            return problem(404, "not_found")
        row = self._refunds.give_outside(charge, wanted, caller.now)
        return Answer(200, encode(refunds.shown(row)))

    # Faults.

    def _add_fault(self, request: Request) -> Answer:
        fault = self._script.add(asked(request, protocol.AskFault))
        if fault is None:
            raise BadRequest("sequence")
        return Answer(200, encode(fault))

    def _add_mix(self, request: Request) -> Answer:
        mix = self._script.mixes.add(asked(request, protocol.AskMix))
        if mix is None:
            raise BadRequest("percent")
        return Answer(200, encode(mix))

    def _with_fault(
        self, fault: str, effect: Callable[[], bytes | None], amount_minor: int, method: str
    ) -> Answer:
        """The answer of a call that a fault may strike; `effect` None finds nothing."""
        return struck(fault, effect, amount_minor, method, self._script.hold_seconds)

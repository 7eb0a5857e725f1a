"""The sandbox provider's calls: who may call, what is asked, which fault strikes, what is told.

Each call is decided at once inside the record's open transaction and answered after its commit.
A fault decides what becomes of the call (no effect, effect without an answer, a broken answer)
but never makes a second effect: that rule lives in `charges` and `refunds`, below the faults.
"""

import hmac
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import parse_qs

import msgspec

from clawback.clock import from_milliseconds, milliseconds, real_now
from clawback.sandbox import charges, protocol, refunds
from clawback.sandbox.charges import Charges, Conflict, Tell
from clawback.sandbox.record import Record, RefundRow
from clawback.sandbox.refunds import Refunds
from clawback.sandbox.reports import Reports
from clawback.sandbox.script import Script
from clawback.sandbox.server import Answer, Request

MAX_LOOKUPS: Final = 100
SLOW_SECONDS: Final = 1.5
_RETRY_AFTER_SECONDS: Final = 1
_SOONEST_CHARGE_MS: Final = 5000  # the shortest wait in protocol.SIMULATIONS
_STRIKE_A_WHOLE_CALL: Final = frozenset(protocol.CALL_FAULTS) - {
    "none",
    "decline",
    "wrong_amount",
    "never_settles",
    "fails_after_3_days",
}
_MAX_MINOR: Final = 10**15
_REFERENCE: Final = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
_BOOK: Final = re.compile(r"[\x21-\x7e]{0,64}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)

AskedT = TypeVar("AskedT", bound=protocol.Asked)
_encode: Final = msgspec.json.Encoder().encode


class BadRequest(Exception):
    """The request is not one of this protocol."""


class Caller(msgspec.Struct, frozen=True):
    """The book that a call is about, and its time."""

    book: str
    now: datetime


class Service:
    """Answers requests, and does by itself what falls due."""

    def __init__(
        self, record: Record, script: Script, tell: Tell, *, secret: str, hold_seconds: float
    ) -> None:
        """`secret`: what callers must bear; `hold_seconds`: how long a time-out is held."""
        self._record = record
        self._script = script
        self._charges = Charges(record, tell)
        self._refunds = Refunds(record, tell)
        self._reports = Reports(record, script)
        self._authorization = f"Bearer {secret}".encode()
        self._hold_seconds = hold_seconds
        self.wake: Callable[[int], None] = lambda _: None

    def decide(self, request: Request) -> Answer:
        """Answer one request; its writes are not committed yet."""
        if request.path == "/healthz":
            return Answer(200, b'{"ok":true}')
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization):
            return _problem(401, "unauthorized")
        try:
            return self._routed(request, self._caller(request.headers))
        except (BadRequest, msgspec.DecodeError, UnicodeDecodeError) as error:
            return _problem(400, f"bad_request: {error}")
        except Conflict as conflict:
            return _problem(409, str(conflict))

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
        row = self._record.one("next_step")
        next_ms = None if row is None else row[0]
        return next_ms if isinstance(next_ms, int) else None

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
            case "POST", ["faults"]:
                return self._add_fault(request)
            case method, [name, *rest]:
                query = {key: values[-1] for key, values in parse_qs(request.query).items()}
                body = self._reports.answer(method, (name, *rest), query, caller.book)
                return _problem(404, "no_such_call") if body is None else Answer(200, body)
            case _:
                return _problem(404, "no_such_call")

    # Charges.

    def _charge(self, request: Request, caller: Caller) -> Answer:
        asked = _asked(request, protocol.AskCharge)
        _check(asked.reference, asked.amount_minor, asked.currency)
        if asked.method not in charges.EXPIRES_SECONDS:
            raise BadRequest("method")
        if asked.simulate is not None and asked.simulate not in protocol.SIMULATIONS:
            raise BadRequest("simulate")
        fault = self._script.draw("charge", book=caller.book, charge_reference=asked.reference)

        def open_charge() -> bytes:
            return self._charges.open(asked, book=caller.book, now=caller.now, fault=fault)

        answer = self._with_fault(fault, open_charge, asked.amount_minor, asked.method)
        self.wake(milliseconds(real_now()) + _SOONEST_CHARGE_MS)
        return answer

    def _look_up_charge(self, reference: str, caller: Caller) -> Answer:
        fault = self._script.draw("lookup", book=caller.book, charge_reference=reference)
        row = self._charges.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return self._with_fault(fault, lambda: None, 0, "")
        if fault == "never_settles":
            row = self._charges.stop(row)
        body = _encode(charges.shown(row))
        return self._with_fault(fault, lambda: body, row.amount_minor, row.method)

    def _simulate_charge(self, reference: str, request: Request, caller: Caller) -> Answer:
        asked = _asked(request, protocol.SimulateCharge)
        row = self._charges.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return _problem(404, "not_found")
        row = self._charges.simulate(row, asked.status, caller.now)
        return Answer(200, _encode(charges.shown(row)))

    # Refunds.

    def _refund(self, request: Request, caller: Caller) -> Answer:
        asked = _asked(request, protocol.AskRefund)
        _check(asked.reference, asked.amount_minor, asked.currency)
        fault = self._script.draw(
            "refund", book=caller.book, charge_reference=asked.charge_reference
        )

        def open_refund() -> bytes:
            return self._refunds.open(asked, book=caller.book, now=caller.now, fault=fault)

        if fault == "none":
            answer = Answer(200, open_refund())
        else:
            charge = self._record.charge(asked.charge_reference)
            method = "" if charge is None else charge.method
            answer = self._with_fault(fault, open_refund, asked.amount_minor, method)
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
        body = _encode(refunds.shown(row))
        return self._with_fault(fault, lambda: body, row.amount_minor, row.method)

    def _look_up_refunds(self, request: Request, caller: Caller) -> Answer:
        """Look many up at once.

        Each is a look-up of its own for the fault script; the first fault that strikes a whole
        call ends this one.
        """
        asked = _asked(request, protocol.AskLookups)
        if len(asked.references) > MAX_LOOKUPS:
            raise BadRequest("references")
        found: list[protocol.Refund | None] = []
        for reference in asked.references:
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
        return Answer(200, _encode(protocol.Lookups(refunds=found)))

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
        asked = _asked(request, protocol.SimulateRefund)
        row = self._refunds.look_up(reference, book=caller.book, now=caller.now)
        if row is None:
            return _problem(404, "not_found")
        match asked.status:
            case "settled":
                row = self._refunds.settle(row, caller.now)
            case "declined":
                row = self._refunds.decline(row, caller.now)
            case "returned":
                row = self._refunds.return_(row, caller.now)
        return Answer(200, _encode(refunds.shown(row)))

    # Faults.

    def _add_fault(self, request: Request) -> Answer:
        fault = self._script.add(_asked(request, protocol.AskFault))
        if fault is None:
            raise BadRequest("sequence")
        return Answer(200, _encode(fault))

    def _with_fault(
        self, fault: str, effect: Callable[[], bytes | None], amount_minor: int, method: str
    ) -> Answer:
        """The answer of a call that a fault may strike; `effect` None or b"" finds nothing."""
        if fault == "unavailable":
            return _problem(503, "unavailable")
        if fault == "rate_limited":
            return Answer(429, _encode_problem("rate_limited"), 0.0, _RETRY_AFTER_SECONDS)
        if fault == "timeout_before_effect":
            return Answer(0, None, self._hold_seconds)
        body = effect()
        if fault == "timeout_after_effect":
            return Answer(0, None, self._hold_seconds)
        if fault == "error_after_effect":
            # A PIX refund that is under way is a 400 at one provider (rails.md, section 3).
            return _problem(400, "in_progress") if method == "pix" else _problem(500, "error")
        if fault == "bad_body":
            body = body or b"{}"
            return Answer(200, body[: len(body) // 2])
        if body is None:
            return _problem(404, "not_found")
        if fault == "wrong_amount":
            right, wrong = f'"amountMinor":{amount_minor},', f'"amountMinor":{amount_minor + 1},'
            body = body.replace(right.encode(), wrong.encode())
        return Answer(200, body, SLOW_SECONDS if fault == "slow" else 0.0)


def _asked(request: Request, kind: type[AskedT]) -> AskedT:
    return msgspec.json.decode(request.body, type=kind)


def _check(reference: str, amount_minor: int, currency: str) -> None:
    """The shapes that charges and refunds share."""
    if _REFERENCE.fullmatch(reference) is None:
        raise BadRequest("reference")
    if not 0 < amount_minor <= _MAX_MINOR:
        raise BadRequest("amountMinor")
    if _CURRENCY.fullmatch(currency) is None:
        raise BadRequest("currency")


def _encode_problem(error: str) -> bytes:
    return _encode(protocol.Problem(error=error))


def _problem(status: int, error: str) -> Answer:
    return Answer(status, _encode_problem(error))

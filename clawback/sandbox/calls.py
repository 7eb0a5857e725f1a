"""What all calls of the sandbox provider share: who calls, what is asked, what a fault makes of it.

A fault decides what becomes of a call: no effect, an effect without an answer, a broken answer.
Whether an effect happens twice is not decided here: that rule lives below, by reference.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from clawback.sandbox import protocol
from clawback.sandbox.server import Answer, Request

SLOW_SECONDS: Final = 1.5
MAX_MINOR: Final = 10**15
_RETRY_AFTER_SECONDS: Final = 1
_REFERENCE: Final = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)

AskedT = TypeVar("AskedT", bound=protocol.Asked)
encode: Final = msgspec.json.Encoder().encode


class BadRequest(Exception):
    """The request is not one of this protocol."""


class Caller(msgspec.Struct, frozen=True):
    """The book that a call is about, and its time."""

    book: str
    now: datetime


def asked(request: Request, kind: type[AskedT]) -> AskedT:
    """The body. Raises: msgspec.DecodeError if it is none of that kind."""
    return msgspec.json.decode(request.body, type=kind)


def check_reference(reference: str) -> None:
    """Raises: BadRequest for a reference out of form."""
    if _REFERENCE.fullmatch(reference) is None:
        raise BadRequest("reference")


def check_terms(reference: str, amount_minor: int, currency: str) -> None:
    """The shapes that charges and refunds share. Raises: BadRequest."""
    check_reference(reference)
    if not 0 < amount_minor <= MAX_MINOR:
        raise BadRequest("amountMinor")
    if _CURRENCY.fullmatch(currency) is None:
        raise BadRequest("currency")


def problem(status: int, error: str) -> Answer:
    """An answer that is not 200."""
    return Answer(status, _encode_problem(error))


def struck(
    fault: str,
    effect: Callable[[], bytes | None],
    amount_minor: int,
    method: str,
    hold_seconds: float,
) -> Answer:
    """The answer of a call that a fault may strike; `effect` None or b"" finds nothing."""
    if fault == "unavailable":
        return problem(503, "unavailable")
    if fault == "rate_limited":
        return Answer(429, _encode_problem("rate_limited"), 0.0, _RETRY_AFTER_SECONDS)
    if fault == "timeout_before_effect":
        return Answer(0, None, hold_seconds)
    body = effect()
    if fault == "timeout_after_effect":
        return Answer(0, None, hold_seconds)
    if fault == "error_after_effect":
        # A PIX refund that is under way is a 400 at one provider (rails.md, section 3).
        return problem(400, "in_progress") if method == "pix" else problem(500, "error")
    if fault == "bad_body":
        body = body or b"{}"
        return Answer(200, body[: len(body) // 2])
    if body is None:
        return problem(404, "not_found")
    if fault == "wrong_amount":
        right, wrong = f'"amountMinor":{amount_minor},', f'"amountMinor":{amount_minor + 1},'
        body = body.replace(right.encode(), wrong.encode())
    return Answer(200, body, SLOW_SECONDS if fault == "slow" else 0.0)


def _encode_problem(error: str) -> bytes:
    return encode(protocol.Problem(error=error))

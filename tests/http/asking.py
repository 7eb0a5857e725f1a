"""The rows of the table of refusals: what is asked, and what must be answered.

Names in braces in a path stand for objects of the scene: `{spei}` is a captured SPEI payment.
Codes, statuses and details are written out here from the contract, section 3, not taken from the
product.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.support.wire import API, bearer, request

JSON: Final = ("Content-Type", "application/json")
NONE: Final = "(none)"
"""The value of a header that is not sent at all."""

STATUS: Final = {
    "headers_too_large": 431, "uri_too_long": 414, "invalid_header": 400, "request_timeout": 408,
    "body_too_large": 413, "route_not_found": 404, "method_not_allowed": 405, "key_in_url": 400,
    "missing_api_key": 401, "invalid_api_key": 401, "invalid_signature": 401,
    "stale_timestamp": 401, "rate_limited": 429, "key_kind_not_allowed": 403, "scope_missing": 403,
    "sandbox_only": 403, "invalid_version": 400, "unsupported_media_type": 415,
    "invalid_idempotency_key": 400, "idempotency_key_required": 400, "invalid_json": 400,
    "duplicate_key": 400, "unknown_field": 400, "missing_field": 400, "invalid_field": 400,
    "invalid_amount": 400, "invalid_parameter": 400, "overloaded": 503, "unavailable": 503,
    "idempotency_conflict": 409, "idempotency_in_progress": 409, "not_found": 404,
    "payment_not_refundable": 409, "remaining_changed": 409, "claim_transition_invalid": 409,
    "claim_in_flight": 409, "simulate_not_possible": 409, "refund_exceeds_remaining": 422,
    "refund_window_closed": 422, "partial_refund_not_supported": 422,
    "multiple_refunds_not_supported": 422, "payment_method_unavailable": 422,
    "key_limit_exceeded": 403, "webhook_url_refused": 422, "webhook_limit_reached": 422,
    "self_approval": 403, "invalid_csv": 400, "batch_refused": 422,
    "commit_token_invalid": 422, "payer_details_invalid": 422,
}  # fmt: skip
"""Every code that the calls built so far can answer on purpose, and its status."""

ELSEWHERE: Final = {
    "internal_error": "a fault of ours: no request asks for it",
    "preview_stale": "needs a change between two requests: tests/claims/test_batches.py",
    "payment_disputed": "disputes are not built yet",
    "evidence_closed": "disputes are not built yet",
    "evidence_invalid": "disputes are not built yet",
    "refund_not_supported": "every sandbox method can pay back",
    "missing_required_fields": "no sandbox method asks for a buyer's field",
    "amount_out_of_range": "the sandbox methods take what every payment takes",
}
"""Codes that no request reaches yet, and why."""

TYPE: Final = {401: "authentication_error", 403: "permission_error", 409: "conflict_error",
               429: "rate_limit_error", 500: "api_error", 503: "api_error"}  # fmt: skip

_REMAINING: Final = {"remaining", "captured", "claimed", "currency"}
DETAILS: Final[Mapping[str, set[str]]] = {
    "unknown_field": {"errors"},
    "missing_field": {"errors"},
    "invalid_field": {"rule", "errors"},
    "invalid_amount": {"rule"},
    "invalid_version": {"supported"},
    "scope_missing": {"scope"},
    "key_limit_exceeded": {"limit", "limitUsd", "usedUsd", "amountUsd"},
    "payment_not_refundable": {"status"},
    "remaining_changed": {"expected", "remaining", "currency"},
    "claim_transition_invalid": {"kind", "status", "pendingReason", "allowed"},
    "claim_in_flight": {"attemptId"},
    "invalid_csv": {"line"},
    "batch_refused": {"rows"},
    "payer_details_invalid": {"fields"},
    "simulate_not_possible": {"action", "status", "allowed"},
    "body_too_large": {"limit"},
    "uri_too_long": {"limit"},
    "headers_too_large": {"limit"},
    "refund_exceeds_remaining": _REMAINING,
    "refund_window_closed": {"deadlineAt"},
    "partial_refund_not_supported": {"maxRefunds"},
    "multiple_refunds_not_supported": {"maxRefunds"},
    "payment_method_unavailable": {"reason"},
    "webhook_url_refused": {"rule"},
    "webhook_limit_reached": {"limit"},
}
"""Keys of `details` that must be there; codes that are not named have no details."""

OPTIONAL: Final = {"errors", "maximum", "decimals"}
"""Keys that an `invalid_amount` may have besides."""


class Ask(NamedTuple):
    """A request. `raw`: these bytes instead, with `{…}` filled in like in `path`."""

    method: str
    path: str
    body: bytes | None = None
    key: str = "secret"
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None


class Row(NamedTuple):
    """What is asked, the code that must be answered, and what else the answer says."""

    name: str
    ask: Ask
    code: str
    param: str | None = None
    says: Mapping[str, object] = {}
    """Details with these values."""


def refund(body: bytes | str, payment: str = "spei", **more: str) -> Ask:
    """POST /payments/{id}/refund. `more`: headers, with _ for -, and `key`."""
    return post(f"/payments/{{{payment}}}/refund", body, **more)


def pay(body: bytes | str, **more: str) -> Ask:
    """POST /payments."""
    return post("/payments", body, **more)


def post(path: str, body: bytes | str | None, key: str = "secret", **headers: str) -> Ask:
    """Any POST with a JSON body, unless a header says otherwise."""
    data = body.encode() if isinstance(body, str) else body
    return Ask("POST", path, data, key, _headers(headers))


def get(path: str, key: str = "secret", method: str = "GET", **headers: str) -> Ask:
    """Any call without a body."""
    return Ask(method, path, None, key, _headers(headers))


def raw(text: str, path: str = "/payments/{spei}/refund", rest: bytes = b"") -> Ask:
    """A refund's request line, host and key, then these header lines and bytes."""
    head = f"POST {API}{path} HTTP/1.1\r\nHost: clawback.test\r\nAuthorization: Bearer {{secret}}"
    return Ask("POST", path, raw=f"{head}\r\n{text}\r\n\r\n".encode("latin-1") + rest)


def _headers(named: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in named.items())


def rendered(ask: Ask, scene: Mapping[str, str]) -> bytes:
    """The request's bytes in a scene; the scene also names the keys."""
    if ask.raw is not None:
        head, end, body = ask.raw.partition(b"\r\n\r\n")
        return _filled(head.decode("latin-1"), scene).encode("latin-1") + end + body
    path = _filled(ask.path, scene)
    own = {name.lower() for name, _ in ask.headers}
    usual = [*bearer(scene[ask.key])] if ask.key else [JSON]
    headers = [one for one in usual if one[0].lower() not in own]
    if ask.body is None:
        headers = [one for one in headers if one != JSON]
    headers += [(name, _filled(value, scene)) for name, value in ask.headers if value != NONE]
    return request(ask.method, API + path, headers, ask.body)


def _filled(text: str, scene: Mapping[str, str]) -> str:
    for name, value in scene.items():
        text = text.replace(f"{{{name}}}", value)
    return text

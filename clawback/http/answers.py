"""One request while it is served, and what becomes of its outcome: the only place that renders.

Every answer carries its request's id, the version, and the headers that keep it out of caches and
from being taken for a page; every refusal has the form of the contract, section 3.
"""

import itertools
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from clawback import API_VERSION, logs
from clawback.errors import (
    STATUS,
    IdempotencyInProgress,
    Overloaded,
    Refused,
    Unavailable,
)
from clawback.http import faults
from clawback.http.limits import Verdict
from clawback.ids import base36
from clawback.route import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CONNECTION: Final = "clawback.connection"
REQUEST_ID: Final = "clawback.request_id"
"""Names in a request's scope: the connection it came over, and how it is called."""
ONCE: Final = frozenset(
    {
        b"authorization",
        b"idempotency-key",
        b"host",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"clawback-version",
        b"sandbox-simulate",
        b"webhook-id",
        b"webhook-timestamp",
        b"webhook-signature",
    }
)
JSON: Final = b"application/json"
TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    409: "conflict_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}
"""Types of errors by status; all others are `invalid_request_error`."""

_EXPOSED: Final = (
    "request-id, clawback-version, ratelimit-limit, ratelimit-remaining, ratelimit-reset, "
    "retry-after"
)
_CORS: Final[Headers] = [
    (b"access-control-expose-headers", _EXPOSED.encode()),
    (b"access-control-allow-origin", b"*"),
]
_PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-methods", b"GET"),
    (b"access-control-allow-headers", b"authorization, clawback-version"),
    (b"access-control-max-age", b"86400"),
    (b"access-control-allow-origin", b"*"),
]
_ENCODER: Final = msgspec.json.Encoder()
_RUN: Final = secrets.token_hex(3)
_COUNT: Final = itertools.count()

log = logs.get_logger()


def next_request_id() -> str:
    """A name for the next request that this process answers."""
    return f"req_{_RUN}{base36(next(_COUNT), 8).lower()}"


class Request:
    """What is known of a request while it is served."""

    __slots__ = (
        "allow",
        "doubled",
        "headers",
        "id",
        "is_open",
        "is_preflight",
        "parts",
        "query",
        "route_name",
        "scope",
        "verdict",
        "version",
    )

    def __init__(self, scope: Scope) -> None:
        """Copy the headers before the body is read: a trailer must not change them."""
        self.scope = scope
        raw: Headers = scope["headers"]
        self.headers = dict(raw)
        self.doubled = len(self.headers) != len(raw) and _has_doubled(raw)
        self.id = next_request_id()
        self.query: bytes = scope["query_string"]
        self.parts: list[str] = []
        self.route_name = ""
        self.allow: tuple[str, ...] = ()
        self.version = API_VERSION
        self.verdict: Verdict | None = None
        self.is_open = self.is_preflight = False


def _has_doubled(raw: Headers) -> bool:
    names = [name for name, _ in raw if name in ONCE]
    return len(set(names)) != len(names)


class _Error(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    code: str
    type: str
    message: str
    param: str | None = None
    details: dict[str, object] | None = None
    request_id: str = ""
    doc_url: str = ""


def render_refusal(refused: Refused, request_id: str) -> tuple[int, bytes]:
    """Status and body of a refusal (contract, section 3)."""
    status = STATUS[refused.code]
    error = _Error(
        code=refused.code,
        type=TYPES.get(status, "invalid_request_error"),
        message=refused.message,
        param=refused.param,
        details=refused.details(),
        request_id=request_id,
        doc_url=f"/docs/errors#{refused.code}",
    )
    return status, _ENCODER.encode({"error": error})


_FIXED: Final[Headers] = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
]


async def respond(send: Send, request: Request, outcome: Answer | Refused) -> None:
    """Send the outcome of a request under /api/v1, with every header that belongs to it."""
    headers: Headers = [
        (b"request-id", request.id.encode()),
        (b"clawback-version", request.version.encode()),
        *_FIXED,
    ]
    if isinstance(outcome, Refused):
        status, body = render_refusal(outcome, request.id)
        headers += _refusal_headers(request, outcome)
        media = JSON
    else:
        status, body, media = outcome.status, outcome.body, outcome.media_type.encode()
        if outcome.location is not None:
            headers.append((b"location", outcome.location.encode()))
        if outcome.replayed:
            headers.append((b"idempotent-replayed", b"true"))
    verdict = request.verdict
    if verdict is not None:
        headers += (
            (b"ratelimit-limit", b"%d" % verdict.limit),
            (b"ratelimit-remaining", b"%d" % verdict.remaining),
            (b"ratelimit-reset", b"%d" % verdict.reset_seconds),
        )
    if request.is_open:
        headers += _PREFLIGHT if request.is_preflight else _CORS
    if status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-type", media))
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal_headers(request: Request, refused: Refused) -> Headers:
    headers: Headers = []
    match refused:
        case faults.RateLimited():
            headers.append((b"retry-after", b"%d" % refused.retry_after))
        case Overloaded() | Unavailable() | IdempotencyInProgress():
            headers.append((b"retry-after", b"1"))
        case faults.MethodNotAllowed():
            headers.append((b"allow", ", ".join(request.allow).encode()))
        case faults.MissingApiKey() | faults.InvalidApiKey():
            headers.append((b"www-authenticate", b"Bearer"))
        case _:
            pass
    return headers


def log_access(request: Request, outcome: Answer | Refused) -> None:
    """One line for a request: its template, never its address, which may hold a secret."""
    code = outcome.code if isinstance(outcome, Refused) else None
    status = STATUS[outcome.code] if isinstance(outcome, Refused) else outcome.status
    method = request.scope["method"]
    log.info(
        "request",
        request_id=request.id,
        method=method,
        route=request.route_name,
        status=status,
        code=code,
    )


async def serve_page(pages: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve what lies outside /api/v1, with the headers that every answer carries."""
    scope[REQUEST_ID] = next_request_id()
    usual = {
        b"request-id": scope[REQUEST_ID].encode(),
        b"clawback-version": API_VERSION.encode(),
        b"cache-control": b"no-store",
        b"x-content-type-options": b"nosniff",
    }

    async def send_stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            added = [(name, value) for name, value in usual.items() if name not in own]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    await pages(scope, receive, send_stamped)

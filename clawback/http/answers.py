"""One request while it is served, and what becomes of its outcome: the only place that renders.

Every answer carries its request's id, the version, and the headers that keep it out of caches and
from being taken for a page; every refusal has the form of the contract, section 3.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol, TypeVar

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
from clawback.route import Answer, Outcome, Streamed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]
ResultT = TypeVar("ResultT")

REQUEST_ID: Final = "clawback.request_id"
"""The name of a request in the scope of a page."""
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
JSON_TYPE: Final = JSON.decode()
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
_CORS: Final = (
    f"access-control-expose-headers: {_EXPOSED}",
    "access-control-allow-origin: *",
)
_PREFLIGHT: Final = (
    "access-control-allow-methods: GET",
    "access-control-allow-headers: authorization, clawback-version",
    "access-control-max-age: 86400",
    "access-control-allow-origin: *",
)
_FIXED: Final = (
    "cache-control: no-store",
    "x-content-type-options: nosniff",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox",
)
_STATUS_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}" for one in HTTPStatus}
_ENCODER: Final = msgspec.json.Encoder()
_RUN: Final = secrets.token_hex(3)
_COUNT: Final = itertools.count()

log = logs.get_logger()


def next_request_id() -> str:
    """A name for the next request that this process answers."""
    return f"req_{_RUN}{next(_COUNT):08x}"


class ClientGone(Exception):
    """The client went away while its answer was being made: nobody waits for the rest."""


class Connection(Protocol):
    """What the application asks of the connection that a request came over."""

    client: tuple[str, int] | None
    is_anonymous: bool

    def know(self) -> None:
        """Count it no longer against its address."""

    def spawn(self, work: Coroutine[object, object, ResultT]) -> "asyncio.Task[ResultT]":
        """Do this on a task, which a drain of the server cancels at its end."""

    def answer(self, request: "Request", outcome: Outcome) -> None:
        """Send a request's answer, if its client is still there."""


class Request:
    """A request under /api/: how much of it has come, what is known of it, if it was answered."""

    __slots__ = (
        "allow",
        "body",
        "connection",
        "disconnected",
        "doubled",
        "fields",
        "headers",
        "id",
        "is_due",
        "is_old",
        "is_open",
        "is_preflight",
        "is_running",
        "keep_alive",
        "limit",
        "method",
        "more_body",
        "parts",
        "query",
        "raw_path",
        "received",
        "refused",
        "response_complete",
        "response_started",
        "route_name",
        "verdict",
        "version",
    )

    message_event: ClassVar = asyncio.Event()
    """The server's base class tells it that the client has gone; nobody waits for that."""

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        fields: Fields,
        headers: dict[bytes, bytes],
        connection: Connection,
    ) -> None:
        """A request whose headers are whole; `headers`: its fields by name."""
        self.method = method
        self.raw_path = raw_path
        self.query = query
        self.fields = fields
        self.headers = headers
        self.doubled = len(self.headers) != len(fields) and _has_doubled(fields)
        self.connection = connection
        self.received = bytearray()
        self.body = b""
        self.limit = 0
        self.refused: Refused | None = None
        self.more_body = self.keep_alive = True
        self.is_old = False
        self.is_due = self.disconnected = self.response_started = self.response_complete = False
        self.id = next_request_id()
        self.parts: list[str] = []
        self.route_name = ""
        self.allow: tuple[str, ...] = ()
        self.version = API_VERSION
        self.verdict: Verdict | None = None
        self.is_running = self.is_open = self.is_preflight = False


class Application(Protocol):
    """What the connections ask of the API."""

    def look(self, request: Request) -> None:
        """Note how large the request's body may be, or why it is refused before that is read."""

    def serve(self, request: Request) -> None:
        """Serve a request that is whole, or refused, and answer it over its connection."""


def _has_doubled(fields: Fields) -> bool:
    names = [name for name, _ in fields if name in ONCE]
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


def render(request: Request, outcome: Answer | Refused, usual: Fields) -> bytes:
    """The whole answer of a request under /api/, with every header that belongs to it.

    `usual`: those that the server sends with everything, as the date.
    Bug: a header would break out of its line.
    """
    if isinstance(outcome, Refused):
        status, body = render_refusal(outcome, request.id)
        media, more = JSON_TYPE, _refusal_lines(request, outcome)
    else:
        status, body, media = outcome.status, outcome.body, outcome.media_type
        more = [] if outcome.location is None else [f"location: {outcome.location}"]
        if outcome.replayed:
            more.append("idempotent-replayed: true")
    if status != HTTPStatus.NO_CONTENT:
        more.append(f"content-type: {media}")
    more.append(f"content-length: {len(body)}")
    head = _head(request, status, more, usual)
    return head + (body if request.method != "HEAD" else b"")


def render_start(request: Request, outcome: Streamed, usual: Fields) -> bytes:
    """The head of an answer whose length is not known: HTTP/1.0 ends it with its connection."""
    more = [f"content-type: {outcome.media_type}"]
    if not request.is_old:
        more.append("transfer-encoding: chunked")
    return _head(request, outcome.status, more, usual)


def _head(request: Request, status: int, more: list[str], usual: Fields) -> bytes:
    lines = [
        _STATUS_LINES[status],
        *[f"{name.decode()}: {value.decode()}" for name, value in usual],
        f"request-id: {request.id}",
        f"clawback-version: {request.version}",
        *_FIXED,
        *more,
    ]
    verdict = request.verdict
    if verdict is not None:
        lines += (
            f"ratelimit-limit: {verdict.limit}",
            f"ratelimit-remaining: {verdict.remaining}",
            f"ratelimit-reset: {verdict.reset_seconds}",
        )
    if request.is_open:
        lines += _PREFLIGHT if request.is_preflight else _CORS
    if not request.keep_alive:
        lines.append("connection: close")
    lines += ("", "")
    head = "\r\n".join(lines)
    assert head.count("\n") == head.count("\r") == len(lines) - 1, "a header holds a line end"
    return head.encode("latin-1")


def _refusal_lines(request: Request, refused: Refused) -> list[str]:
    match refused:
        case faults.RateLimited():
            return [f"retry-after: {refused.retry_after}"]
        case Overloaded() | Unavailable() | IdempotencyInProgress():
            return ["retry-after: 1"]
        case faults.MethodNotAllowed():
            return [f"allow: {', '.join(request.allow)}"]
        case faults.MissingApiKey() | faults.InvalidApiKey():
            return ["www-authenticate: Bearer"]
        case _:
            return []


def log_access(request: Request, outcome: Outcome) -> None:
    """One line for a request: its template, never its address, which may hold a secret."""
    code = outcome.code if isinstance(outcome, Refused) else None
    status = STATUS[outcome.code] if isinstance(outcome, Refused) else outcome.status
    log.info(
        "request",
        request_id=request.id,
        method=request.method,
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

    with suppress(ClientGone):
        await pages(scope, receive, send_stamped)

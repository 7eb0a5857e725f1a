"""The API as one plain ASGI application: limits, route, key, headers, shape, handler, answer.

The order of the checks is the contract's (section 3): the first that fails answers, and a refused
request has changed nothing. All errors are rendered here, in one form.
"""

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import msgspec

from clawback import API_VERSION, clock, logs
from clawback.db import pool
from clawback.errors import (
    STATUS,
    IdempotencyInProgress,
    InternalError,
    Overloaded,
    Refused,
    Unavailable,
)
from clawback.http import faults, idempotency
from clawback.http.auth import Keyring, Opened, permits
from clawback.http.decode import BodyDecoder, QueryDecoder
from clawback.http.limits import Buckets, Verdict, WrongKeys
from clawback.ids import base36
from clawback.route import PROVIDER, Answer, Call, ProviderCall, Route, Services
from clawback.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PREFIX: Final = "/api/v1"
VERSIONS: Final = (API_VERSION,)
MAX_BODY: Final = 65_536
MAX_NOTICE: Final = 262_144
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
    }
)
JSON: Final = b"application/json"
TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    409: "conflict_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}

_KEY_LIKE: Final = re.compile(rb"[sp]k_(test|live)_[0-9A-Za-z]{8}")
_ENCODER: Final = msgspec.json.Encoder()
_RUN: Final = secrets.token_hex(3)
_COUNT: Final = itertools.count()

log = logs.get_logger()


class Served(msgspec.Struct, frozen=True):
    """A route with its decoders."""

    route: Route
    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    body: BodyDecoder[Any]
    query: QueryDecoder[Any]


class Table:
    """Finds routes by method and path segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Path parameters are written `{name}`; a path's first segment is always fixed."""
        self._served: dict[tuple[int, str, str | None], list[Served]] = {}
        for route in routes:
            parts = route.path.strip("/").split("/")
            segments = tuple(None if part.startswith("{") else part for part in parts)
            served = Served(
                route=route,
                segments=segments,
                names=tuple(part[1:-1] for part in parts if part.startswith("{")),
                body=BodyDecoder(route.body, empty_body=route.empty_body),
                query=QueryDecoder(route.query),
            )
            self._served.setdefault((len(parts), parts[0], segments[-1]), []).append(served)

    def find(self, method: str, parts: list[str]) -> tuple[Served | None, tuple[str, ...]]:
        """The route, and all methods that the path takes."""
        places = ((len(parts), parts[0], parts[-1]), (len(parts), parts[0], None))
        found = [one for place in places for one in self._served.get(place, ())]
        found = [one for one in found if _fits(one.segments, parts)]
        for served in found:
            if served.route.method == method:
                return served, ()
        return None, tuple(sorted({one.route.method for one in found}))


def _fits(segments: tuple[str | None, ...], parts: list[str]) -> bool:
    """Whether the path has the route's fixed segments and something for each parameter."""
    for want, part in zip(segments, parts, strict=True):
        if part != want and (want is not None or not part):
            return False
    return True


class Api:
    """The application under /api/v1; every other path goes to `pages`."""

    def __init__(
        self,
        routes: Iterable[Route],
        services: Services,
        settings: Settings,
        pages: App,
        *,
        processes: int = 1,
    ) -> None:
        """`processes` share the keys' rates."""
        self._table = Table(routes)
        self._services = services
        self._settings = settings
        self._pages = pages
        self._keyring = Keyring(services.reader)
        self._buckets = Buckets(processes)
        self._wrong_keys = WrongKeys(settings.failed_keys_per_minute)
        self._running = 0
        self.is_draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if not path.startswith("/api/"):
            await self._pages(scope, receive, send)
            return
        request = _Request(scope)
        if self._running >= self._settings.max_running:
            await _respond(send, request, Overloaded())
            return
        self._running += 1
        try:
            outcome = await self._serve(request, receive)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request_failed", request_id=request.id, route=request.route_name)
            outcome = InternalError()
        finally:
            self._running -= 1
        await _respond(send, request, outcome)

    async def _serve(self, request: "_Request", receive: Receive) -> Answer | Refused:
        body = await self._read_body(request, receive)
        if isinstance(body, Refused):
            return body
        served, allowed = self._route(request)
        if served is None:
            request.allow = allowed
            return faults.MethodNotAllowed() if allowed else faults.RouteNotFound()
        request.route_name = served.route.path
        if _KEY_LIKE.search(request.scope["raw_path"]) or _KEY_LIKE.search(request.query):
            return self._wrong_key(request, faults.KeyInUrl())
        if served.route.scope == PROVIDER:
            return await self._serve_provider(served, request, body)
        opened = self._keyring.remembered(request.headers.get(b"authorization"))
        if opened is None:
            try:
                found = await self._keyring.open(request.headers.get(b"authorization"))
            except pool.AWAY:
                return Unavailable()
            if isinstance(found, Refused):
                return self._wrong_key(request, found)
            opened = found
        return await self._serve_key(served, request, body, opened)

    def _route(self, request: "_Request") -> tuple[Served | None, tuple[str, ...]]:
        raw: bytes = request.scope["raw_path"]
        if not raw.startswith(b"/api/v1/") or b"%" in raw or not raw.isascii():
            return None, ()
        request.parts = raw[8:].decode().split("/")
        return self._table.find(request.scope["method"], request.parts)

    def _wrong_key(self, request: "_Request", refused: Refused) -> Refused:
        """Count it; an address that keeps trying is told to wait."""
        client = request.scope.get("client")
        address = client[0] if client else ""
        return faults.RateLimited(retry_after=60) if self._wrong_keys.note(address) else refused

    async def _serve_key(
        self, served: Served, request: "_Request", body: bytes, opened: Opened
    ) -> Answer | Refused:
        route, caller, headers = served.route, opened.caller, request.headers
        request.version = opened.api_version
        request.verdict = self._buckets.take(caller.key_id, caller.rate_per_second, caller.burst)
        if not request.verdict.passes:
            return faults.RateLimited(retry_after=request.verdict.retry_after)
        simulate = headers.get(b"sandbox-simulate")
        refused = permits(opened, route, simulate) or _header_refusal(request, route, body)
        if refused is not None:
            return refused
        key_header = headers.get(b"idempotency-key") if route.method == "POST" else None
        if key_header is None and opened.requires_idempotency_key and route.method == "POST":
            return faults.IdempotencyKeyRequired()
        if key_header is not None and not _is_key(key_header):
            return faults.InvalidIdempotencyKey()
        decoded = served.body.decode(body if route.method != "GET" else b"{}")
        if isinstance(decoded, Refused):
            return decoded
        query = served.query.decode(request.query)
        if isinstance(query, Refused):
            return query
        said = None if simulate is None else simulate.decode("latin-1")
        if said is not None and said not in route.simulate:
            return faults.InvalidParameter(param="Sandbox-Simulate")
        path = dict(zip(served.names, _values(served, request.parts), strict=True))
        key = None
        if key_header is not None:
            found = idempotency.read_key(
                key_header, route, path, request.query, request.version, said, decoded
            )
            if isinstance(found, Refused):
                return found
            key = found
        call: Call[Any, Any] = Call(
            opened.book, caller, path, query, decoded, key, said, clock.real_now(), self._services
        )
        try:
            return await route.handler(call)
        except pool.AWAY:
            log.warning("request_unavailable", request_id=request.id, exc_info=True)
            return Unavailable()

    async def _serve_provider(
        self, served: Served, request: "_Request", body: bytes
    ) -> Answer | Refused:
        path = dict(zip(served.names, _values(served, request.parts), strict=True))
        query = served.query.decode(request.query)
        if isinstance(query, Refused):
            return query
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.headers.items()
        }
        account = getattr(query, "account", "default")
        call = ProviderCall(
            path["provider"], account, headers, body, clock.real_now(), self._services
        )
        return await served.route.handler(call)

    async def _read_body(self, request: "_Request", receive: Receive) -> bytes | Refused:
        """The whole body, counted while it comes; copies of once-only headers are refused first."""
        if request.doubled:
            return faults.InvalidHeader()
        limit = MAX_NOTICE if b"/providers/" in request.scope["raw_path"] else MAX_BODY
        announced = request.headers.get(b"content-length")
        if announced is not None and int(announced) > limit:
            return faults.BodyTooLarge(limit=limit)
        if announced is None and b"transfer-encoding" not in request.headers:
            return b""
        return await _gather(receive, limit)


async def _gather(receive: Receive, limit: int) -> bytes | Refused:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > limit:
            return faults.BodyTooLarge(limit=limit)
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ConnectionError
    return faults.BodyTooLarge(limit=limit) if len(body) > limit else body


def _is_key(header: bytes) -> bool:
    """1 to 255 printable ASCII characters."""
    text = header.decode("latin-1")
    return 1 <= len(header) <= idempotency.MAX_LENGTH and text.isascii() and text.isprintable()


def _values(served: Served, parts: list[str]) -> list[str]:
    return [part for part, want in zip(parts, served.segments, strict=True) if want is None]


def _header_refusal(request: "_Request", route: Route, body: bytes) -> Refused | None:
    """Step 4 of the contract's order: version, then content type."""
    version = request.headers.get(b"clawback-version")
    if version is not None:
        if version.decode("latin-1") not in VERSIONS:
            return faults.InvalidVersion(supported=VERSIONS)
        request.version = version.decode("latin-1")
    if request.headers.get(b"content-encoding") is not None:
        return faults.UnsupportedMediaType()
    if body and route.method != "GET":
        kind = request.headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
        if kind != JSON:
            return faults.UnsupportedMediaType()
    return None


def next_request_id() -> str:
    """A name for the next request that this process answers."""
    return f"req_{_RUN}{base36(next(_COUNT), 8).lower()}"


class _Request:
    """What is known of a request while it is served."""

    __slots__ = (
        "allow",
        "closes",
        "doubled",
        "headers",
        "id",
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
        self.closes = False


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


async def _respond(send: Send, request: _Request, outcome: Answer | Refused) -> None:
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
    headers.append((b"content-type", media))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal_headers(request: _Request, refused: Refused) -> Headers:
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
    if request.closes:
        headers.append((b"connection", b"close"))
    return headers

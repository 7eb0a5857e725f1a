"""The API as one plain ASGI application: limits, route, key, headers, shape, handler, answer.

The order of the checks is the contract's (section 3): the first that fails answers, and a refused
request has changed nothing. All errors are rendered here, in one form.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from clawback import API_VERSION, clock, logs
from clawback.db import pool
from clawback.errors import InternalError, Overloaded, Refused, Unavailable
from clawback.http import faults, idempotency
from clawback.http.addresses import Peers
from clawback.http.answers import (
    CONNECTION,
    JSON,
    App,
    ClientGone,
    Outcome,
    Receive,
    Request,
    Scope,
    Send,
    log_access,
    respond,
    serve_page,
)
from clawback.http.auth import Keyring, Opened, permits
from clawback.http.decode import BodyDecoder, QueryDecoder
from clawback.http.limits import Buckets, WrongKeys
from clawback.http.multipart import MULTIPART, read_upload
from clawback.route import (
    MAX_BODY,
    NOTHING,
    PROVIDER,
    Call,
    FileBody,
    ProviderCall,
    Route,
    Services,
)
from clawback.settings import Settings

PREFIX: Final = "/api/v1"
VERSIONS: Final = (API_VERSION,)
MAX_NOTICE: Final = 262_144
NOTICES: Final = 1_000
"""Webhooks a second of a provider's account (contract, section 13)."""

CSV: Final = b"text/csv"
UNQUOTED: Final = 3
"""How often an address is unquoted when a key is looked for in it."""

_KEY_LIKE: Final = re.compile(rb"[sp]k_(test|live)_[0-9A-Za-z]{8}")
log = logs.get_logger()


class Served(msgspec.Struct, frozen=True):
    """A route with its decoders."""

    route: Route
    segments: tuple[str | None, ...]
    names: tuple[str, ...]
    body: BodyDecoder[Any]
    query: QueryDecoder[Any]
    upload: BodyDecoder[Any] | None


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
                upload=_upload_decoder(route),
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


def _upload_decoder(route: Route) -> BodyDecoder[Any] | None:
    return None if route.upload is None else BodyDecoder(route.upload, empty_body=True)


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
        listed = tuple(routes)
        self._table = Table(listed)
        self._services = services
        self._settings = settings
        self._pages = pages
        self._keyring = Keyring(services.reader)
        self._buckets = Buckets(processes)
        self._wrong_keys = WrongKeys(settings.failed_keys_per_minute)
        self._peers = Peers(settings.trusted_proxies)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if not scope["path"].startswith("/api/"):
            with suppress(ClientGone):
                await serve_page(self._pages, scope, receive, send)
            return
        request = Request(scope)
        try:
            outcome = await self._serve(request, receive)
        except _Gone:
            return
        except asyncio.CancelledError:
            outcome = InternalError()
        except Exception:
            log.exception("request_failed", request_id=request.id, route=request.route_name)
            outcome = InternalError()
        if self._settings.access_log:
            log_access(request, outcome)
        with suppress(ClientGone):
            await respond(send, request, outcome)

    async def _serve(self, request: Request, receive: Receive) -> Outcome:
        body = await self._read_body(request, receive)
        if isinstance(body, Refused):
            return body
        served, allowed = self._route(request)
        if served is None:
            request.allow = allowed
            if request.scope["method"] == "OPTIONS" and self._is_preflight(request):
                return NOTHING
            return faults.MethodNotAllowed() if allowed else faults.RouteNotFound()
        request.route_name = served.route.path
        request.is_open = served.route.open_cors
        if _shows_key(request.scope["raw_path"]) or (request.query and _shows_key(request.query)):
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

    def _route(self, request: Request) -> tuple[Served | None, tuple[str, ...]]:
        raw: bytes = request.scope["raw_path"]
        if not raw.startswith(b"/api/v1/"):
            return None, ()
        # Never unquoted: no name of ours needs it, and so `%2f` is part of a name that is absent.
        request.parts = raw[8:].decode("latin-1").split("/")
        return self._table.find(request.scope["method"], request.parts)

    def _is_preflight(self, request: Request) -> bool:
        """Whether a browser asks before it calls what is open to every origin."""
        served, _ = self._table.find("GET", request.parts)
        request.is_open = served is not None and served.route.open_cors
        request.is_preflight = request.is_open and (
            request.headers.get(b"access-control-request-method") == b"GET"
        )
        return request.is_preflight

    def _wrong_key(self, request: Request, refused: Refused) -> Refused:
        """Count it; an address that keeps trying is told to wait."""
        client = request.scope.get("client")
        forwarded = (
            value.decode("latin-1")
            for name, value in request.scope["headers"]
            if name == b"x-forwarded-for"
        )
        address = self._peers.caller(client[0] if client else "", forwarded)
        return faults.RateLimited(retry_after=60) if self._wrong_keys.note(address) else refused

    async def _serve_key(
        self, served: Served, request: Request, body: bytes, opened: Opened
    ) -> Outcome:
        route, caller, headers = served.route, opened.caller, request.headers
        connection: Connection | None = request.scope.get(CONNECTION)
        if connection is not None and connection.is_anonymous:
            connection.know()
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
        if len(body) <= MAX_BODY:
            decoded = _decode(served, body, headers)
        else:  # others are served while a large one is read
            decoded = await asyncio.to_thread(_decode, served, body, headers)
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
        return await self._run(route, call, request)

    async def _run(self, route: Route, call: object, request: Request) -> Outcome:
        """Step 6 and later of the contract's order: the handler, unless too many are running."""
        if self._running >= self._settings.max_running:
            return Overloaded()
        self._running += 1
        try:
            return await route.handler(call)
        except pool.AWAY:
            log.warning("request_unavailable", request_id=request.id, exc_info=True)
            return Unavailable()
        finally:
            self._running -= 1

    async def _serve_provider(self, served: Served, request: Request, body: bytes) -> Outcome:
        path = dict(zip(served.names, _values(served, request.parts), strict=True))
        query = served.query.decode(request.query)
        if isinstance(query, Refused):
            return query
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.headers.items()
        }
        account = getattr(query, "account", "default")
        provider = path["provider"]

        def take_token() -> Refused | None:
            verdict = self._buckets.take(f"{provider}:{account}", NOTICES, 2 * NOTICES)
            return None if verdict.passes else faults.RateLimited(retry_after=verdict.retry_after)

        call = ProviderCall(
            provider, account, headers, body, clock.real_now(), self._services, take_token
        )
        return await self._run(served.route, call, request)

    async def _read_body(self, request: Request, receive: Receive) -> bytes | Refused:
        """The whole body, counted while it comes; copies of once-only headers are refused first."""
        if request.doubled:
            return faults.InvalidHeader()
        announced = request.headers.get(b"content-length")
        if announced is None and b"transfer-encoding" not in request.headers:
            return b""
        limit = MAX_BODY
        if announced is None or int(announced) > limit:
            limit = self._limit(request)
        if announced is not None and int(announced) > limit:
            return faults.BodyTooLarge(limit=limit)
        return await _gather(receive, limit)

    def _limit(self, request: Request) -> int:
        """How large a body of this call may be: a file more than what is written by hand."""
        if b"/providers/" in request.scope["raw_path"]:
            return MAX_NOTICE
        served, _ = self._route(request)
        if served is None:
            return MAX_BODY
        is_file = served.upload is None or _kind(request.headers) == MULTIPART
        return served.route.max_body if is_file else MAX_BODY


class _Gone(Exception):
    """The client went away before its request was whole: nobody waits for an answer."""


class Connection(Protocol):
    """What the application asks of the connection that a request came over."""

    is_anonymous: bool

    def know(self) -> None:
        """Count it no longer against its address."""


def _shows_key(text: bytes) -> bool:
    """Whether something like a key stands in an address, also percent-encoded."""
    for _ in range(UNQUOTED):
        if _KEY_LIKE.search(text):
            return True
        if b"%" not in text:
            return False
        text = unquote_to_bytes(text)
    return _KEY_LIKE.search(text) is not None


async def _gather(receive: Receive, limit: int) -> bytes | Refused:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > limit:
            return faults.BodyTooLarge(limit=limit)
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise _Gone
    return faults.BodyTooLarge(limit=limit) if len(body) > limit else body


def _kind(headers: Mapping[bytes, bytes]) -> bytes:
    """The content type, without its parameters."""
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()


def _decode(served: Served, body: bytes, headers: Mapping[bytes, bytes]) -> object:
    """The body as its call takes it, or a refusal."""
    if served.route.method == "GET":
        return served.body.decode(b"{}")
    if served.upload is not None and body and _kind(headers) == MULTIPART:
        return read_upload(body, headers, served.upload)
    read = served.route.csv
    if read is None or _kind(headers) != CSV:
        return served.body.decode(body)
    content = read(body)
    return content if isinstance(content, Refused) else FileBody(sha256(body).hexdigest(), content)


def _is_key(header: bytes) -> bool:
    """1 to 255 printable ASCII characters."""
    text = header.decode("latin-1")
    return 1 <= len(header) <= idempotency.MAX_LENGTH and text.isascii() and text.isprintable()


def _values(served: Served, parts: list[str]) -> list[str]:
    return [part for part, want in zip(parts, served.segments, strict=True) if want is None]


def _header_refusal(request: Request, route: Route, body: bytes) -> Refused | None:
    """Step 4 of the contract's order: version, then content type."""
    version = request.headers.get(b"clawback-version")
    if version is not None:
        if version.decode("latin-1") not in VERSIONS:
            return faults.InvalidVersion(supported=VERSIONS)
        request.version = version.decode("latin-1")
    if request.headers.get(b"content-encoding") is not None:
        return faults.UnsupportedMediaType()
    if body and route.method != "GET":
        kind = _kind(request.headers)
        is_file = (kind == CSV and route.csv is not None) or (
            kind == MULTIPART and route.upload is not None
        )
        if kind != JSON and not is_file:
            return faults.UnsupportedMediaType()
    return None

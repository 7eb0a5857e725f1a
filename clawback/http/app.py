"""The API, one whole request at a time: route, key, headers, shape, handler, answer.

The order of the checks is the contract's (section 3): the first that fails answers, and a refused
request has changed nothing. What needs to wait for nothing is done at once, without a task; a
command on its lane is waited for without one too.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from clawback import API_VERSION, clock, logs
from clawback.db import pool
from clawback.errors import InternalError, Overloaded, Refused, Unavailable
from clawback.http import faults, idempotency
from clawback.http.addresses import Peers
from clawback.http.answers import JSON, Request, log_access
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
    Outcome,
    ProviderCall,
    Route,
    Services,
    Started,
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
        others = []
        for place in places:
            for served in self._served.get(place, ()):
                if _fits(served.segments, parts):
                    if served.route.method == method:
                        return served, ()
                    others.append(served.route.method)
        return None, tuple(sorted(set(others)))


def _upload_decoder(route: Route) -> BodyDecoder[Any] | None:
    return None if route.upload is None else BodyDecoder(route.upload, empty_body=True)


def _fits(segments: tuple[str | None, ...], parts: list[str]) -> bool:
    """Whether the path has the route's fixed segments and something for each parameter."""
    for want, part in zip(segments, parts, strict=True):
        if part != want and (want is not None or not part):
            return False
    return True


class Api:
    """The application under /api/."""

    def __init__(
        self,
        routes: Iterable[Route],
        services: Services,
        settings: Settings,
        *,
        processes: int = 1,
    ) -> None:
        """`processes` share the keys' rates."""
        self._table = Table(routes)
        self._services = services
        self._settings = settings
        self._keyring = Keyring(services.reader)
        self._buckets = Buckets(processes)
        self._wrong_keys = WrongKeys(settings.failed_keys_per_minute)
        self._peers = Peers(settings.trusted_proxies)
        self._running = 0

    async def keep_keys(self) -> None:
        """Keep what is known of the keys in use new, until cancelled."""
        await self._keyring.keep()

    def look(self, request: Request) -> None:
        """Note how large its body may be, or why it is refused before any of that is read."""
        announced = request.headers.get(b"content-length")
        request.limit = MAX_BODY
        if request.doubled:
            request.refused = faults.InvalidHeader()
        elif announced is not None and int(announced) <= MAX_BODY:
            return
        elif announced is not None or b"transfer-encoding" in request.headers:
            request.limit = self._limit(request)
            if announced is not None and int(announced) > request.limit:
                request.refused = faults.BodyTooLarge(limit=request.limit)

    def serve(self, request: Request) -> None:
        """Serve a request that is whole, or refused; its connection gets the answer, now or later.

        A command waits on its lane's own future. Whatever else waits does so on a task.
        """
        try:
            started = request.refused or self._start(request)
        except Exception as error:  # noqa: BLE001 - every request is answered
            started = _failed(request, error)
        if isinstance(started, Outcome):
            self._end(request, started)
            return
        later = (
            started if isinstance(started, asyncio.Future) else request.connection.spawn(started)
        )
        later.add_done_callback(partial(self._end_later, request))

    def _end_later(self, request: Request, done: "asyncio.Future[Outcome]") -> None:
        failed = asyncio.CancelledError() if done.cancelled() else done.exception()
        self._end(request, done.result() if failed is None else _failed(request, failed))

    def _end(self, request: Request, outcome: Outcome) -> None:
        if request.is_running:
            self._running -= 1
        if self._settings.access_log:
            log_access(request, outcome)
        request.connection.answer(request, outcome)

    def _start(self, request: Request) -> Started:
        """All that can be done without waiting."""
        served, allowed = self._route(request)
        if served is None:
            request.allow = allowed
            if request.method == "OPTIONS" and self._is_preflight(request):
                return NOTHING
            return faults.MethodNotAllowed() if allowed else faults.RouteNotFound()
        request.route_name = served.route.path
        request.is_open = served.route.open_cors
        if _shows_key(request.raw_path) or (request.query and _shows_key(request.query)):
            return self._wrong_key(request, faults.KeyInUrl())
        if served.route.scope == PROVIDER:
            return self._serve_provider(served, request)
        opened = self._keyring.remembered(request.headers.get(b"authorization"))
        if opened is None:
            return self._ask(served, request)
        return self._admit(served, request, opened)

    async def _ask(self, served: Served, request: Request) -> Outcome:
        """Go on once the database has said what the key opens."""
        try:
            found = await self._keyring.open(request.headers.get(b"authorization"))
        except pool.AWAY:
            return Unavailable()
        if isinstance(found, Refused):
            return self._wrong_key(request, found)
        return await settled(self._admit(served, request, found))

    def _route(self, request: Request) -> tuple[Served | None, tuple[str, ...]]:
        raw = request.raw_path
        if not raw.startswith(b"/api/v1/"):
            return None, ()
        # Never unquoted: no name of ours needs it, and so `%2f` is part of a name that is absent.
        request.parts = raw[8:].decode("latin-1").split("/")
        return self._table.find(request.method, request.parts)

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
        client = request.connection.client
        forwarded = (
            value.decode("latin-1") for name, value in request.fields if name == b"x-forwarded-for"
        )
        address = self._peers.caller(client[0] if client else "", forwarded)
        return faults.RateLimited(retry_after=60) if self._wrong_keys.note(address) else refused

    def _admit(self, served: Served, request: Request, opened: Opened) -> Started:
        """Steps 3 to 5 of the contract's order: rate, permission, headers, shape."""
        route, caller, headers = served.route, opened.caller, request.headers
        if request.connection.is_anonymous:
            request.connection.know()
        request.version = opened.api_version
        request.verdict = self._buckets.take(caller.key_id, caller.rate_per_second, caller.burst)
        if not request.verdict.passes:
            return faults.RateLimited(retry_after=request.verdict.retry_after)
        refused = permits(opened, route, headers.get(b"sandbox-simulate"))
        refused = refused or _header_refusal(request, route, opened)
        if refused is not None:
            return refused
        if len(request.body) > MAX_BODY:
            return self._admit_large(served, request, opened)
        return self._call(served, request, opened, _decode(served, request))

    async def _admit_large(self, served: Served, request: Request, opened: Opened) -> Outcome:
        """Others are served while a large body is read."""
        decoded = await asyncio.to_thread(_decode, served, request)
        return await settled(self._call(served, request, opened, decoded))

    def _call(self, served: Served, request: Request, opened: Opened, decoded: object) -> Started:
        if isinstance(decoded, Refused):
            return decoded
        route = served.route
        query = served.query.decode(request.query)
        if isinstance(query, Refused):
            return query
        simulate = request.headers.get(b"sandbox-simulate")
        said = None if simulate is None else simulate.decode("latin-1")
        if said is not None and said not in route.simulate:
            return faults.InvalidParameter(param="Sandbox-Simulate")
        path = _path(served, request)
        header, key = _key_header(request, route), None
        if header is not None:
            key = idempotency.read_key(
                header, route, path, request.query, request.version, said, decoded
            )
        call: Call[Any, Any] = Call(
            opened.book, opened.caller, path, query, decoded, key, said, clock.real_now(),
            self._services,
        )  # fmt: skip
        return self._run(route, call, request)

    def _run(self, route: Route, call: object, request: Request) -> Started:
        """Step 6 and later of the contract's order: the handler, unless too many are running."""
        if self._running >= self._settings.max_running:
            return Overloaded()
        self._running += 1
        request.is_running = True
        return route.handler(call)

    def _serve_provider(self, served: Served, request: Request) -> Started:
        path = _path(served, request)
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
            provider, account, headers, request.body, clock.real_now(), self._services, take_token
        )
        return self._run(served.route, call, request)

    def _limit(self, request: Request) -> int:
        """How large a body of this call may be: a file more than what is written by hand."""
        if b"/providers/" in request.raw_path:
            return MAX_NOTICE
        served, _ = self._route(request)
        if served is None:
            return MAX_BODY
        is_file = served.upload is None or _kind(request.headers) == MULTIPART
        return served.route.max_body if is_file else MAX_BODY


async def settled(started: Started) -> Outcome:
    """The outcome of what was started, now or later."""
    return started if isinstance(started, Outcome) else await started


def _failed(request: Request, error: BaseException) -> Refused:
    """What a request is answered that could not be served."""
    if isinstance(error, pool.UNAVAILABLE):
        log.warning("request_unavailable", request_id=request.id, exc_info=error)
        return Unavailable()
    if not isinstance(error, asyncio.CancelledError):
        log.error("request_failed", request_id=request.id, route=request.route_name, exc_info=error)
    return InternalError()


def _shows_key(text: bytes) -> bool:
    """Whether something like a key stands in an address, also percent-encoded."""
    for _ in range(UNQUOTED):
        if _KEY_LIKE.search(text):
            return True
        if b"%" not in text:
            return False
        text = unquote_to_bytes(text)
    return _KEY_LIKE.search(text) is not None


def _kind(headers: Mapping[bytes, bytes]) -> bytes:
    """The content type, without its parameters."""
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()


def _decode(served: Served, request: Request) -> object:
    """The body as its call takes it, or a refusal."""
    body, headers = request.body, request.headers
    if served.route.method == "GET":
        return served.body.decode(b"{}")
    if served.upload is not None and body and _kind(headers) == MULTIPART:
        return read_upload(body, headers, served.upload)
    read = served.route.csv
    if read is None or _kind(headers) != CSV:
        return served.body.decode(body)
    content = read(body)
    return content if isinstance(content, Refused) else FileBody(sha256(body).hexdigest(), content)


def _key_header(request: Request, route: Route) -> bytes | None:
    """The idempotency key, where the call takes one."""
    return request.headers.get(b"idempotency-key") if route.method == "POST" else None


def _path(served: Served, request: Request) -> dict[str, str]:
    """The path's parameters by name."""
    pairs = zip(request.parts, served.segments, strict=True)
    values = [part for part, want in pairs if want is None]
    return dict(zip(served.names, values, strict=True))


def _header_refusal(request: Request, route: Route, opened: Opened) -> Refused | None:
    """Step 4 of the contract's order: version, content type, idempotency key."""
    headers = request.headers
    version = headers.get(b"clawback-version")
    if version is not None:
        if version.decode("latin-1") not in VERSIONS:
            return faults.InvalidVersion(supported=VERSIONS)
        request.version = version.decode("latin-1")
    if headers.get(b"content-encoding") is not None:
        return faults.UnsupportedMediaType()
    if request.body and route.method != "GET" and not _is_taken(route, _kind(headers)):
        return faults.UnsupportedMediaType()
    key = _key_header(request, route)
    if key is None:
        is_needed = opened.requires_idempotency_key and route.method == "POST"
        return faults.IdempotencyKeyRequired() if is_needed else None
    return None if idempotency.is_key(key) else faults.InvalidIdempotencyKey()


def _is_taken(route: Route, kind: bytes) -> bool:
    """Whether the call takes bodies of this type."""
    is_file = (kind == CSV and route.csv is not None) or (
        kind == MULTIPART and route.upload is not None
    )
    return kind == JSON or is_file

"""uvicorn, with the limits and the manners that it lacks, and a way to the API without ASGI.

Its parser is strict about framing; this protocol class bounds what the parser lets through: the
size of addresses and headers, how long a request may take, how long a connection may be silent,
how long an answer may lie unread. A refusal never overtakes the answer to an earlier request of
the connection, and what is refused here has not reached a handler. A request under /api/ is handed
over once it is whole, and its answer is one write. Several processes listen on one port with
SO_REUSEPORT; the kernel spreads connections over them.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from urllib.parse import unquote_to_bytes

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clawback import API_VERSION, clock
from clawback.errors import Refused
from clawback.http import faults
from clawback.http.addresses import Peers, group
from clawback.http.answers import (
    App,
    Application,
    Request,
    ResultT,
    next_request_id,
    render,
    render_refusal,
)
from clawback.http.exchange import open_exchange, send_pieces
from clawback.route import Answer, Outcome, Streamed
from clawback.settings import Settings

BACKLOG: Final = 1024
LINGER_SECONDS: Final = 2.0
"""How long a refused client is still read, so that it finds the answer and not a reset."""
MAX_SURPLUS: Final = 1_048_576
"""Bytes of a body that are read and thrown away after its request was answered."""
LOOKS_PER_LIMIT: Final = 4

VERSIONS: Final = ("1.1", "1.0")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

IDLE, HEAD, BODY = 0, 1, 2
"""Where in a request a connection is: before it, within its headers, within its body."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    api: ClassVar[Application]
    limits: ClassVar[Settings]
    peers: ClassVar[Peers]
    open_by_address: ClassVar[Counter[str]]
    open_connections: ClassVar[int] = 0

    # The connection

    def connection_made(  # type: ignore[override]  # TCP only
        self, transport: asyncio.Transport
    ) -> None:
        """Close connections beyond the caps at once; start the clock of silence."""
        super().connection_made(transport)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        cls = type(self)
        self._stage = IDLE
        self._owed = 0
        self._answers = 0
        self._refused: Refused | None = None
        self._discarded = self._chunk = self._came = 0
        self._stuck: tuple[float, int] | None = None
        self._unsent: tuple[Request, Answer | Refused] | None = None
        self._idle_at = self._heard_at = self._began_at = clock.monotonic()
        limits = self.limits
        shortest = min(limits.silent_seconds, limits.request_seconds, limits.answer_seconds)
        self._period = shortest / LOOKS_PER_LIMIT
        self._watch = self.loop.call_later(self._period, self._look)
        cls.open_connections += 1
        address = self.client[0] if self.client else ""
        self._address = group(address)
        self.is_anonymous = not self.peers.is_exempt(address)
        if self.is_anonymous:
            cls.open_by_address[self._address] += 1
        if self._is_one_too_many():
            transport.abort()

    def _is_one_too_many(self) -> bool:
        if type(self).open_connections > self.limits.max_connections:
            return True
        most = self.limits.max_connections_per_address
        return self.is_anonymous and self.open_by_address[self._address] > most

    def know(self) -> None:
        """A valid key came over this connection: it counts no longer against its address."""
        if self.is_anonymous:
            self.is_anonymous = False
            self.open_by_address[self._address] -= 1
            if self.open_by_address[self._address] <= 0:
                del self.open_by_address[self._address]

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        type(self).open_connections -= 1
        self.know()
        self._watch.cancel()
        super().connection_lost(exc)

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse, unless the connection was refused already; bound headers that never end."""
        if self._refused is not None:
            self._throw_away(len(data))
            return
        if self.transport.is_closing():
            return
        self._heard_at = clock.monotonic()
        self._has_begun = False
        self._chunk = len(data)
        self._came += self._chunk
        super().data_received(data)
        if self._stage == HEAD and not self._has_begun:
            self._unfinished += self._chunk
            if self._unfinished > self.limits.max_header_bytes + self.limits.max_url_bytes:
                self._refuse(self._too_large() or self._headers_too_large())

    def on_message_begin(self) -> None:
        """A new request: count anew."""
        if self._refused is not None:
            return
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = HEAD
        self._has_begun = True
        self._began_at = self._heard_at
        self._came, self._unfinished = self._chunk, 0

    def on_url(self, url: bytes) -> None:
        """Keep the address; far beyond the limit the connection is refused."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the field; trailers are refused."""
        if self._stage == HEAD:
            self.headers.append((name.lower(), value))
        else:
            self._refuse(faults.InvalidHeader())

    def on_headers_complete(self) -> None:
        """The request goes to the application, unless it is too large or is none of ours."""
        if self._refused is not None:
            return
        version = self.parser.get_http_version()
        fields = dict(self.headers)
        refused = self._too_large() or self._malformed(version, fields)
        if refused is not None:
            self._refuse(refused)
            return
        self._stage = BODY
        self._owed += 1
        self.expect_100_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        raw_path, _, query = self.url.partition(b"?")
        path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
        method = self.parser.get_method().decode("ascii")
        if path.startswith(b"/api/"):
            request = Request(method, raw_path, query, self.headers, fields, self)
            request.keep_alive, request.is_old = keep_alive, version == "1.0"
            self.api.look(request)
            self.cycle = cast("Any", request)
        else:
            target = (version, method, path.decode(errors="replace"), raw_path, query)
            self.cycle = open_exchange(self, target, keep_alive=keep_alive)
            self.cycle.on_piece = self.on_piece
        if self._owed == 1:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _headers_too_large(self) -> Refused:
        return faults.HeadersTooLarge(limit=self.limits.max_header_bytes)

    def _too_large(self) -> Refused | None:
        limits = self.limits
        if len(self.headers) > limits.max_headers or (
            self._came > limits.max_header_bytes  # with whatever else came with them
            and sum(len(name) + len(value) + 4 for name, value in self.headers)
            > limits.max_header_bytes
        ):
            return self._headers_too_large()
        if len(self.url) > limits.max_url_bytes:
            return faults.UriTooLong(limit=limits.max_url_bytes)
        return None

    def _malformed(self, version: str, fields: dict[bytes, bytes]) -> Refused | None:
        """What the parser takes and we do not: no or a foreign host, other targets, upgrades."""
        host, coding = fields.get(b"host"), fields.get(b"transfer-encoding")
        is_doubled = len(fields) != len(self.headers) and (
            sum(name == b"host" for name, _ in self.headers) > 1
        )
        is_fit = (
            version in VERSIONS
            and self.url.startswith(b"/")
            and b"#" not in self.url
            and not is_doubled
            and (host is not None or version == "1.0")
            and (not coding or (coding.lower() == b"chunked" and version == "1.1"))
            and not self.parser.should_upgrade()
            and self._is_our_host(host or b"")
        )
        return None if is_fit else faults.InvalidHeader()

    def _is_our_host(self, host: bytes) -> bool:
        hosts = self.limits.hosts
        if not hosts:
            return True
        name = host.decode("latin-1").lower()
        return name in hosts or name.rpartition(":")[0] in hosts

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - as the base class
        """It is the turn of this request: one of the API goes there as soon as it is whole."""
        if not isinstance(cycle, Request):
            super()._start_asgi_task(cycle, app)
            return
        cycle.is_due = True
        if self.expect_100_continue and cycle.more_body and cycle.refused is None:
            self.transport.write(CONTINUE)
        self._hand_over(cycle)

    def _hand_over(self, request: Request) -> None:
        if request.is_due and (request.refused is not None or not request.more_body):
            request.is_due = False
            self.api.serve(request)

    def on_body(self, body: bytes) -> None:
        """Keep it for the application; after the answer it is thrown away."""
        if self._refused is not None:
            return
        cycle: Any = self.cycle
        if cycle.response_complete:
            self._throw_away(len(body))
            return
        if isinstance(cycle, Request):
            cycle.received += body
            if len(cycle.received) > cycle.limit and cycle.refused is None:
                cycle.refused = faults.BodyTooLarge(limit=cycle.limit)
                self._hand_over(cycle)
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole; one that was refused never is."""
        if self._refused is not None:
            return
        self._stage = IDLE
        cycle: Any = self.cycle
        if cycle.response_complete:
            self._idle_at = self._heard_at
            return
        cycle.more_body = False
        if isinstance(cycle, Request):
            cycle.body = bytes(cycle.received)
            self._hand_over(cycle)
        else:
            cycle.message_event.set()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio's own contract
        """The client says no more: it still gets the answers to what it asked whole."""
        if self._owed == 0 or self._stage != IDLE or self._refused is not None:
            return None
        self.cycle.keep_alive = False
        return True

    # What goes out

    def on_piece(self) -> None:
        """The client has read what came before: it is not stuck."""
        self._answers += 1

    def spawn(self, work: Coroutine[object, object, ResultT]) -> "asyncio.Task[ResultT]":
        """Do this on a task, which a drain of the server cancels at its end."""
        task = self.loop.create_task(work)
        self.tasks.add(cast("Any", task))
        task.add_done_callback(self.tasks.discard)
        return task

    def answer(self, request: Request, outcome: Outcome) -> None:
        """Send a request's answer, after those that the client has not taken yet."""
        if request.disconnected or self.transport.is_closing():
            return
        if isinstance(outcome, Streamed):
            _ = self.spawn(send_pieces(self, request, outcome))
            return
        if self.flow.write_paused:
            self._unsent = (request, outcome)
            return
        whole = b""
        try:
            whole = render(request, outcome, self.server_state.default_headers)
        finally:
            if not whole:  # a bug of ours: the client is not left to wait for ever
                self.transport.abort()
        request.response_started = True
        self.complete(request, whole)

    def complete(self, request: Request, last: bytes) -> None:
        """Send the last of an answer, and go on to what comes next on this connection."""
        request.response_complete = True
        self.transport.write(last)
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def resume_writing(self) -> None:
        """The client takes its answers again."""
        super().resume_writing()
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            self.answer(*unsent)

    def on_response_complete(self) -> None:
        """Go on to the next request, or to the refusal that had to wait for this answer."""
        self._owed -= 1
        self._answers += 1
        self._idle_at = clock.monotonic()
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self.loop.call_soon(self._start_asgi_task, *self.pipeline.pop())
        if self._refused is not None and self._owed == 0:
            self._answer_refusal()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words stay here
        """Malformed HTTP gets our error form too."""
        self._refuse(faults.InvalidHeader())

    def _unsupported_upgrade_warning(self) -> None:
        """Refused already, and nothing to write into the log for a stranger."""

    def _refuse(self, refused: Refused) -> None:
        """Read no more of this connection; answer once all earlier requests are answered."""
        if self._refused is not None or self.transport.is_closing():
            return
        self._refused = refused
        if self._stage == BODY:
            if self.cycle.response_started:
                self._end()
                return
            self._disown()
        if self._owed == 0:
            self._answer_refusal()

    def _disown(self) -> None:
        """Tell the application of a request that came in part: nobody waits for it."""
        cycle = self.cycle
        self._owed -= 1
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()

    def _answer_refusal(self) -> None:
        if self._refused is None or self.transport.is_closing():
            return
        request_id = next_request_id()
        status, body = render_refusal(self._refused, request_id)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"request-id: {request_id}\r\nclawback-version: {API_VERSION}\r\nconnection: close\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._end()

    def _end(self) -> None:
        """Say that no more comes, and read on for a moment: closing at once could reset it."""
        self._watch.cancel()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
            self._watch = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        else:
            self.transport.close()

    def _throw_away(self, count: int) -> None:
        self._discarded += count
        if self._discarded > MAX_SURPLUS:
            self._refused = self._refused or faults.BodyTooLarge(limit=MAX_SURPLUS)
            self.transport.abort()

    # Time

    def _look(self) -> None:
        """End what takes too long: a request, a silence, an answer that nobody reads."""
        now = clock.monotonic()
        if self._is_stuck(now):
            self.transport.abort()
            return
        due = self._due()
        self._watch = self.loop.call_later(
            self._period if due is None else min(max(due - now, 0.001), self._period), self._look
        )
        if due is not None and due <= now:
            if self._stage == IDLE:
                self.transport.close()
            else:
                self._refuse(faults.RequestTimeout())

    def _due(self) -> float | None:
        """When the client must have said more; None while it waits for us."""
        limits = self.limits
        if self.transport.is_closing() or self.flow.read_paused or self._refused is not None:
            return None
        if self._stage == BODY:
            return self._began_at + limits.request_seconds
        if self._stage == HEAD:
            silent_at = self._heard_at + limits.silent_seconds
            return min(silent_at, self._began_at + limits.request_seconds)
        return None if self._owed else self._idle_at + limits.silent_seconds

    def _is_stuck(self, now: float) -> bool:
        """Whether one answer has been lying unread in our buffer for too long."""
        if self.transport.get_write_buffer_size() == 0:
            self._stuck = None
        elif self._stuck is None or self._stuck[1] != self._answers:
            self._stuck = (now, self._answers)
        return self._stuck is not None and now - self._stuck[0] > self.limits.answer_seconds


def make_protocol(api: Application, settings: Settings) -> type[LimitedProtocol]:
    """The protocol class of one server, with its own limits and counts."""
    members = {
        "api": api,
        "limits": settings,
        "peers": Peers(settings.trusted_proxies),
        "open_by_address": Counter(),
        "open_connections": 0,
    }
    return type("ServedProtocol", (LimitedProtocol,), members)


def listen(host: str, port: int) -> socket.socket:
    """A socket that shares its port with the other processes. Raises: OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    made.listen(BACKLOG)
    made.settimeout(0)
    return made


def make_server(api: Application, app: App, settings: Settings) -> uvicorn.Server:
    """The server of one process; it ends by itself on SIGTERM, after a bounded drain.

    `app` serves what lies outside /api/.
    """
    config = uvicorn.Config(
        app=app,
        http=make_protocol(api, settings),
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        backlog=BACKLOG,
    )
    return uvicorn.Server(config)

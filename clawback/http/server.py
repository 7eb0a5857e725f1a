"""uvicorn, with the limits that it lacks: header size and count, address size, silent connections.

The parser is strict about framing; what it does not bound is bounded here, in the protocol class,
before a byte reaches the application. Several processes listen on one port with SO_REUSEPORT; the
kernel spreads connections over them.
"""

import asyncio
import socket
from collections import Counter
from http import HTTPStatus
from typing import ClassVar, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clawback import API_VERSION
from clawback.errors import Refused
from clawback.http import faults
from clawback.http.app import App, next_request_id, render_refusal
from clawback.settings import Settings

BACKLOG: Final = 1024
VERSIONS: Final = ("1.0", "1.1")
LOOPBACK: Final = frozenset({"", "127.0.0.1", "::1"})


class LimitedProtocol(HttpToolsProtocol):
    """Counts what a connection sends until its headers are complete, and how long it is silent."""

    limits: ClassVar[Settings]
    open_by_address: ClassVar[Counter[str]]
    open_connections: ClassVar[int] = 0

    def connection_made(  # type: ignore[override]  # TCP only
        self, transport: asyncio.Transport
    ) -> None:
        """Close connections beyond the caps at once; start the clock of silence."""
        super().connection_made(transport)
        cls = type(self)
        self._header_bytes = 0
        self._header_count = 0
        self._url_bytes = 0
        self._body_clock: asyncio.TimerHandle | None = None
        self._address = self.client[0] if self.client else ""
        self._silence = self.loop.call_later(self.limits.silent_seconds, self._end_silent)
        cls.open_connections += 1
        cls.open_by_address[self._address] += 1
        if self._is_one_too_many():
            transport.close()

    def _is_one_too_many(self) -> bool:
        if type(self).open_connections > self.limits.max_connections:
            return True
        if self._address in LOOPBACK or self._address in self.limits.trusted_proxies:
            return False
        return self.open_by_address[self._address] > self.limits.max_connections_per_address

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        type(self).open_connections -= 1
        self.open_by_address[self._address] -= 1
        if self.open_by_address[self._address] <= 0:
            del self.open_by_address[self._address]
        self._silence.cancel()
        if self._body_clock is not None:
            self._body_clock.cancel()
        super().connection_lost(exc)

    def _end_silent(self) -> None:
        """Close a connection whose next request did not come, or did not come whole, in time."""
        if self._url_bytes and not self.transport.is_closing():
            self._refuse(faults.RequestTimeout())
        self.transport.close()

    def on_message_begin(self) -> None:
        """A new request: count anew."""
        super().on_message_begin()
        self._header_bytes = 0
        self._header_count = 0
        self._url_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the address; what is beyond the limit is not kept."""
        self._url_bytes += len(url)
        if self._url_bytes <= self.limits.max_url_bytes:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the header fields; what is beyond the limit is not kept."""
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + 4
        if self._header_count <= self.limits.max_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request goes to the application, unless it is too large."""
        self._silence.cancel()
        refused = self._too_large()
        if self.parser.get_http_version() not in VERSIONS:
            refused = faults.InvalidHeader()
        self._url_bytes = 0
        if refused is not None:
            self._refuse(refused)
        elif not self.transport.is_closing():
            super().on_headers_complete()

    def _too_large(self) -> Refused | None:
        if self._url_bytes > self.limits.max_url_bytes:
            return faults.UriTooLong(limit=self.limits.max_url_bytes)
        if (
            self._header_count > self.limits.max_headers
            or self._header_bytes > self.limits.max_header_bytes
        ):
            return faults.HeadersTooLarge(limit=self.limits.max_header_bytes)
        return None

    def data_received(self, data: bytes) -> None:
        """Parse, unless the connection was refused already; bound headers that never end."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch_body()
        if self._url_bytes and not self.transport.is_closing():
            self._unfinished = getattr(self, "_unfinished", 0) + len(data)
            if self._unfinished > self.limits.max_header_bytes + self.limits.max_url_bytes:
                self._refuse(
                    self._too_large() or faults.HeadersTooLarge(limit=self.limits.max_header_bytes)
                )
        else:
            self._unfinished = 0

    def _watch_body(self) -> None:
        """Bound the time of a body that did not come whole with its headers."""
        is_partial = bool(self.cycle) and self.cycle.more_body
        if is_partial and self._body_clock is None:
            seconds = self.limits.request_seconds
            self._body_clock = self.loop.call_later(seconds, self._end_partial)
        elif not is_partial and self._body_clock is not None:
            self._body_clock.cancel()
            self._body_clock = None

    def _end_partial(self) -> None:
        """Answer a request whose body did not come whole in time."""
        self._refuse(faults.RequestTimeout())

    def on_response_complete(self) -> None:
        """Wait for the next request, but not for ever."""
        super().on_response_complete()
        self._silence.cancel()
        self._silence = self.loop.call_later(self.limits.silent_seconds, self._end_silent)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words stay here
        """Malformed HTTP gets our error form too."""
        self._refuse(faults.InvalidHeader())

    def _refuse(self, refused: Refused) -> None:
        if self.transport.is_closing():
            return
        request_id = next_request_id()
        status, body = render_refusal(refused, request_id)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"request-id: {request_id}\r\nclawback-version: {API_VERSION}\r\n"
            "connection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def make_protocol(settings: Settings) -> type[LimitedProtocol]:
    """The protocol class of one server, with its own limits and counts."""
    members = {"limits": settings, "open_by_address": Counter(), "open_connections": 0}
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


def make_server(app: App, settings: Settings) -> uvicorn.Server:
    """The server of one process; it ends by itself on SIGTERM, after a bounded drain."""
    config = uvicorn.Config(
        app=app,
        http=make_protocol(settings),
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=settings.access_log,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(settings.silent_seconds),
        timeout_graceful_shutdown=int(settings.drain_seconds),
        backlog=BACKLOG,
    )
    return uvicorn.Server(config)

"""uvicorn, with the limits that it lacks: header size and count, address size, silent connections.

The parser is strict about framing; what it does not bound is bounded here, in the protocol class,
before a byte reaches the application. Several processes listen on one port with SO_REUSEPORT; the
kernel spreads connections over them.
"""

import asyncio
import socket
from collections import Counter
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clawback.errors import Refused
from clawback.http import faults
from clawback.http.app import App, render_refusal
from clawback.settings import Settings

BACKLOG: Final = 1024
_REASONS: Final = {400: "Bad Request", 408: "Request Timeout", 414: "URI Too Long"}
_REASONS_LONG: Final = {431: "Request Header Fields Too Large", 413: "Content Too Large"}


def make_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """A protocol class with these limits."""

    class LimitedProtocol(HttpToolsProtocol):
        """Counts what a connection sends until its headers are complete, and how long it is silent."""

        open_by_address: Counter[str] = Counter()
        open_connections = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower
            """Refuse connections beyond the caps by closing them at once."""
            super().connection_made(transport)
            cls = type(self)
            self._header_bytes = 0
            self._header_count = 0
            self._url_bytes = 0
            self._address = self.client[0] if self.client else ""
            cls.open_connections += 1
            cls.open_by_address[self._address] += 1
            is_ours = self._address in {"", "127.0.0.1", "::1", *settings.trusted_proxies}
            too_many = cls.open_by_address[self._address] > settings.max_connections_per_address
            if cls.open_connections > settings.max_connections or (too_many and not is_ours):
                transport.close()
                return
            self._silence = self.loop.call_later(settings.silent_seconds, self._end_silent)

        def connection_lost(self, exc: Exception | None) -> None:
            """Count it out."""
            cls = type(self)
            cls.open_connections -= 1
            cls.open_by_address[self._address] -= 1
            if cls.open_by_address[self._address] <= 0:
                del cls.open_by_address[self._address]
            if silence := getattr(self, "_silence", None):
                silence.cancel()
            super().connection_lost(exc)

        def _end_silent(self) -> None:
            """Close a connection whose request's headers did not come in time."""
            if self._header_bytes and not self.transport.is_closing():
                self._refuse(faults.RequestTimeout())
            self.transport.close()

        def on_message_begin(self) -> None:
            """A new request: count anew."""
            super().on_message_begin()
            self._header_count = 0
            self._url_bytes = 0

        def on_url(self, url: bytes) -> None:
            """Count the address."""
            self._url_bytes += len(url)
            if self._url_bytes <= settings.max_url_bytes:
                super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            """Count the header fields."""
            self._header_count += 1
            self._header_bytes += len(name) + len(value) + 4
            if self._header_count <= settings.max_headers:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            """The request goes to the application, unless it is too large."""
            self._silence.cancel()
            if self._url_bytes > settings.max_url_bytes:
                self._refuse(faults.UriTooLong(limit=settings.max_url_bytes))
            elif (
                self._header_count > settings.max_headers
                or self._header_bytes > settings.max_header_bytes
            ):
                self._refuse(faults.HeadersTooLarge(limit=settings.max_header_bytes))
            else:
                super().on_headers_complete()
            self._header_bytes = 0

        def data_received(self, data: bytes) -> None:
            """Bound headers that never end; the parser would take them for ever."""
            if self.transport.is_closing():
                return
            super().data_received(data)
            in_headers = self.cycle is None or self.cycle.response_complete
            if in_headers and len(data) > settings.max_header_bytes + settings.max_url_bytes:
                self._refuse(faults.HeadersTooLarge(limit=settings.max_header_bytes))

        def on_response_complete(self) -> None:
            """Wait for the next request, but not for ever."""
            super().on_response_complete()
            self._silence.cancel()
            self._silence = self.loop.call_later(settings.silent_seconds, self._end_silent)

        def send_400_response(self, msg: str) -> None:
            """Malformed HTTP gets our error form too."""
            del msg
            self._refuse(faults.InvalidHeader())

        def _refuse(self, refused: Refused) -> None:
            if self.transport.is_closing():
                return
            status, body = render_refusal(refused, "req_unread")
            reason = (_REASONS | _REASONS_LONG).get(status, "Error")
            head = (
                f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
                f"request-id: req_unread\r\nconnection: close\r\ncache-control: no-store\r\n"
                f"x-content-type-options: nosniff\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return LimitedProtocol


def listen(host: str, port: int) -> socket.socket:
    """A socket that shares its port with the other processes. Raises: OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def make_server(app: App, settings: Settings) -> uvicorn.Server:
    """The server of one process; it ends by itself on SIGTERM, after a bounded drain."""
    config = uvicorn.Config(
        app=app,  # type: ignore[arg-type]  # ASGI as plain mappings
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


async def serve(app: Any, settings: Settings, sockets: list[socket.socket]) -> None:  # noqa: ANN401 - ASGI
    """Serve until a signal says stop."""
    await make_server(app, settings).serve(sockets=sockets)

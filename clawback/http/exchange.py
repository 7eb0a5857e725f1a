"""Answers that are more than one write: pages over ASGI, and what is made while it is sent.

What lies outside /api/ is served by Starlette, over uvicorn's cycle with better manners: an answer
in one piece leaves in one write, and no header can break out of its line. An answer in pieces
leaves as fast as its client reads; if nobody is there any more, whoever makes the pieces is told
and stops.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from clawback import logs
from clawback.db import pool
from clawback.http.answers import ClientGone, Request, render_start
from clawback.route import Streamed

if TYPE_CHECKING:
    from clawback.http.server import LimitedProtocol

log = logs.get_logger()


class Exchange(RequestResponseCycle):
    """A request and its answer, which leaves in one write: one packet instead of two.

    An answer in pieces leaves as fast as it is read. `on_piece` is told of each: the client reads.
    """

    on_piece: Callable[[], None]
    _start: Mapping[str, Any] | None = None
    _ends_with_connection = False

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as the base class
        """Take the answer's parts; an answer in one piece is written at once.

        Raises: ClientGone if nobody is there for the next piece.
        """
        if self._start is None and not self.response_started:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None and not message.get("more_body"):
            await self._send_whole(start, message.get("body", b""))
            return
        if start is not None:
            self._delimit(start)
            await super().send(cast("Any", start))
        elif self._ends_with_connection and not message.get("more_body"):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
        if self.disconnected:
            raise ClientGone
        self.on_piece()

    def _delimit(self, start: Mapping[str, Any]) -> None:
        """HTTP/1.0 knows no chunks: an answer of unknown length ends with its connection."""
        is_known = any(name == b"content-length" for name, _ in start["headers"])
        if self.scope["http_version"] == "1.0" and not is_known:
            self._ends_with_connection = True
            self.chunked_encoding = False
            self.expected_content_length = sys.maxsize

    async def _send_whole(self, start: Mapping[str, Any], body: bytes) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        self.transport.write(self._head(start, len(body)) + (body if self._has_body else b""))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    @property
    def _has_body(self) -> bool:
        return self.scope["method"] != "HEAD"

    def _head(self, start: Mapping[str, Any], length: int) -> bytes:
        """The head of the answer. Bug: a header that would break out of its line."""
        parts = [STATUS_LINE[start["status"]]]
        lines = 3
        for name, value in (*self.default_headers, *start["headers"]):
            if name == b"content-length":
                continue
            if name == b"connection" and value == b"close":
                self.keep_alive = False
                continue
            parts += (name, b": ", value, b"\r\n")
            lines += 1
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
            lines += 1
        parts.append(b"content-length: %d\r\n\r\n" % length)
        head = b"".join(parts)
        assert head.count(b"\n") == head.count(b"\r") == lines, "a header holds a line end"
        return head


def open_exchange(
    connection: HttpToolsProtocol, request: tuple[str, str, str, bytes, bytes], *, keep_alive: bool
) -> Exchange:
    """An exchange for this request: version, method, path, its bytes, and the query."""
    version, method, path, raw_path, query = request
    return Exchange(
        scope={
            "type": "http",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": connection.server,
            "client": connection.client,
            "scheme": connection.scheme or "http",
            "method": method,
            "root_path": connection.root_path,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": connection.headers,
            "state": connection.app_state.copy(),
        },
        transport=connection.transport,
        flow=connection.flow,
        logger=connection.logger,
        access_logger=connection.access_logger,
        access_log=False,
        default_headers=connection.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=connection.expect_100_continue,
        keep_alive=keep_alive,
        on_response=connection.on_response_complete,
    )


async def send_pieces(connection: "LimitedProtocol", request: Request, outcome: Streamed) -> None:
    """Send an answer of the API while it is made, as fast as its client reads.

    If a piece cannot be made the connection is cut, so that nobody takes a part for the whole.
    """
    transport = connection.transport
    try:
        await connection.flow.drain()
        usual = connection.server_state.default_headers
        transport.write(render_start(request, outcome, usual))
        request.response_started = True
        async with aclosing(outcome.pieces()) as pieces:
            async for piece in pieces:
                if request.disconnected or transport.is_closing():
                    return
                size = b"" if request.is_old else b"%x\r\n" % len(piece)
                transport.write(size + piece + (b"" if request.is_old else b"\r\n"))
                await connection.flow.drain()
                connection.on_piece()
        connection.complete(request, b"" if request.is_old else b"0\r\n\r\n")
    except pool.AWAY as error:
        log.warning("answer_cut", request_id=request.id, error=repr(error))
    finally:
        if not request.response_complete:
            transport.abort()

"""A request and its answer on a connection, as uvicorn's cycle with better manners.

An answer in one piece leaves in one write. An answer in pieces leaves as fast as its client reads;
if nobody is there any more, whoever makes the pieces is told and stops.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from clawback.http.answers import ClientGone


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

"""A page's request and its answer, over ASGI.

What lies outside /api/ is served so, by Starlette. The answer leaves in one write, and no header
can break out of its line.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)


class Exchange(RequestResponseCycle):
    """A request and its answer, which leaves in one write: one packet instead of two."""

    _start: Mapping[str, Any] | None = None

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as the base class
        """Take the answer's parts; an answer in one piece is written at once."""
        if self._start is None and not self.response_started:
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            await super().send(message)
        elif message.get("more_body"):
            await super().send(cast("Any", start))
            await super().send(message)
        else:
            await self._send_whole(start, message.get("body", b""))

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

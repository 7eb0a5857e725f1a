"""One HTTP/1.1 connection to another server: one request out, one bounded answer back.

It guarantees that an answer is read under a byte cap and a deadline, that nothing is ever
decompressed, followed or sent twice, and that an answer whose end is not marked (no length, no
last chunk, a cut) is never taken for a whole one. `exchange` is the only place where a byte of a
request leaves, so whoever did not get that far knows that nothing was sent. Where only the status
counts (`only_status`), a body that ends with the connection is whole, and its coding is nobody's
business: it is counted and thrown away.
"""

import asyncio
from typing import Final, cast

import httptools
import msgspec

from clawback.clock import monotonic

MAX_HEADER_BYTES: Final = 16_384


class Reply(msgspec.Struct, frozen=True):
    """A whole answer. Header names are in lower case; of a repeated header the last one counts."""

    status: int
    headers: dict[str, str]
    body: bytes


class NotSent(msgspec.Struct, frozen=True):
    """Proven: no byte of the request has left this process."""

    reason: str


class Lost(msgspec.Struct, frozen=True):
    """The request may have arrived; what became of it is not known."""

    reason: str


Ending = Reply | NotSent | Lost


class Connection(asyncio.Protocol):
    """A connection that carries one exchange after another, never two at once."""

    def __init__(self, body_cap: int, *, only_status: bool = False) -> None:
        """`body_cap`: bytes of an answer's body above which it is dropped."""
        self._body_cap = body_cap
        self._only_status = only_status
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Ending] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_seconds = 0.0
        self._read_seconds = 0.0
        self._deadline = 0.0
        self._heard_at = 0.0
        self.idle_since = 0.0
        self.address = ""
        """Where it leads, as dialled."""
        self._forget_answer()

    @property
    def is_usable(self) -> bool:
        """Whether another request can be written."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Drop the connection; an exchange under way ends as lost."""
        if self._transport is not None:
            self._transport.abort()
        self._finish(Lost("closed"))

    async def exchange(
        self, request: bytes, *, write_seconds: float, read_seconds: float, deadline: float
    ) -> Ending:
        """Write the request and wait for the answer; never raises but when cancelled.

        `write_seconds` and `read_seconds` bound silence, `deadline` (monotonic) bounds it all.
        """
        assert self._transport is not None, "not connected"
        assert self._waiter is None, "one exchange at a time"
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Ending] = loop.create_future()
        self._waiter = waiter
        self._forget_answer()
        self._deadline, self._heard_at = deadline, monotonic()
        self._write_seconds, self._read_seconds = write_seconds, read_seconds
        self._transport.write(request)
        self._watch()
        try:
            return await waiter
        finally:
            self._waiter = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not waiter.done() or waiter.cancelled():
                self._transport.abort()

    def _watch(self) -> None:
        """Sleep until the exchange could be overdue; end it if it is, else sleep on."""
        assert self._transport is not None, "watched only while connected"
        now = monotonic()
        is_writing = self._transport.get_write_buffer_size() > 0
        quiet_at = self._heard_at + (self._write_seconds if is_writing else self._read_seconds)
        if now >= self._deadline:
            self._abandon("total_timeout")
        elif now >= quiet_at:
            self._abandon("write_timeout" if is_writing else "read_timeout")
        else:
            wait = min(quiet_at, self._deadline) - now
            self._timer = asyncio.get_running_loop().call_later(wait + 0.001, self._watch)

    def _forget_answer(self) -> None:
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._is_whole = False
        self._ends_with_connection = False

    def _finish(self, ending: Ending) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(ending)

    def _abandon(self, reason: str) -> None:
        """End the exchange without an answer; the connection cannot be used again."""
        if self._transport is not None:
            self._transport.abort()
        self._finish(Lost(reason))

    @property
    def _is_encoded(self) -> bool:
        return self._headers.get("content-encoding", "identity") != "identity"

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange under way: the answer will not come."""
        self._transport = None
        if exc is None and self._ends_with_connection:
            self._finish(Reply(self._parser.get_status_code(), self._headers, b""))
        self._finish(Lost("reset" if exc is not None else "cut"))

    def data_received(self, data: bytes) -> None:
        """Parse what came; whatever is no answer to our request ends the connection."""
        if self._waiter is None or self._waiter.done():
            self.close()
            return
        self._heard_at = monotonic()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._abandon("unreadable")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A second answer to one request: nothing that comes here can be trusted any more."""
        if self._is_whole:
            self._abandon("unreadable")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within the cap."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._abandon("too_large")
        else:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Note whether the answer says where it ends."""
        self._ends_with_connection = self._only_status and not (
            {"content-length", "transfer-encoding"} & self._headers.keys()
        )

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, within the cap."""
        self._body_bytes += len(body)
        if self._body_bytes > self._body_cap:
            self._abandon("too_large")
        elif not self._only_status:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand over the answer; an interim one (1xx) is passed over."""
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 - the first final status
            self._forget_answer()
        elif self._is_encoded and not self._only_status:
            self._abandon("encoded")
        else:
            self._is_whole = True
            if not self._parser.should_keep_alive() and self._transport is not None:
                self._transport.close()
            self._finish(Reply(status, self._headers, b"".join(self._body)))

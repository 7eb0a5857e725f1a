"""The sandbox provider's side of HTTP/1.1: requests in, answers and real accidents out.

Requests that arrive together are answered together: each is decided at once, all of their writes
are committed as one, and only then are the answers sent, so what was answered is on record. An
accident is real: the connection is held and then cut, which no server framework would do for us.
Loopback only; bodies above 64 KiB end the connection, but for evidence, which may hold files.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import httptools
import msgspec

MAX_BODY_BYTES: Final = 65_536
MAX_EVIDENCE_BYTES: Final = 64 * 1024 * 1024
"""Files of 40 MiB in all, in base64."""

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request(msgspec.Struct, frozen=True):
    """One request, whole. Header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What becomes of a request. `body` None: the connection is cut without an answer."""

    status: int
    body: bytes | None
    delay_seconds: float = 0.0
    retry_after: int | None = None


class Ticks:
    """Commits the writes of one turn of the event loop at once, then sends its answers."""

    def __init__(self, commit: Callable[[], None]) -> None:
        """`commit` makes durable what has been written since it was last called."""
        self._commit = commit
        self._answers: list[tuple[Connection, Answer]] = []
        self._is_due = False

    def touch(self) -> None:
        """Have a commit at the end of this turn, also without an answer."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._end)

    def add(self, connection: "Connection", answer: Answer) -> None:
        """Send this answer after the commit."""
        self._answers.append((connection, answer))
        self.touch()

    def _end(self) -> None:
        self._is_due = False
        answers, self._answers = self._answers, []
        self._commit()
        for connection, answer in answers:
            connection.send(answer)


class Connection(asyncio.Protocol):
    """One caller's connection; its requests are answered one after the other."""

    def __init__(self, decide: Callable[[Request], Answer], ticks: Ticks) -> None:
        """`decide` answers a request at once; its writes are committed by `ticks`."""
        self._decide = decide
        self._ticks = ticks
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Request] = deque()
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what has not begun; what has begun takes effect."""
        assert exc is None or isinstance(exc, OSError), exc
        self._transport = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Parse; what is no HTTP is cut."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._cut()
        self._begin_next()

    def on_message_begin(self) -> None:
        """Start a request."""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, within the cap."""
        self._body += body
        is_evidence = self._url.startswith(b"/disputes/")
        if len(self._body) > (MAX_EVIDENCE_BYTES if is_evidence else MAX_BODY_BYTES):
            self._cut()

    def on_message_complete(self) -> None:
        """Queue the request behind the one under way."""
        path, _, query = self._url.decode("latin-1").partition("?")
        method = self._parser.get_method().decode("latin-1")
        self._waiting.append(Request(method, path, query, self._headers, bytes(self._body)))

    def send(self, answer: Answer) -> None:
        """Send it, later if it says so; cut the connection if there is nothing to send."""
        if answer.delay_seconds > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(answer.delay_seconds, self._send_now, answer)
        else:
            self._send_now(answer)

    def _begin_next(self) -> None:
        if self._waiting and not self._is_busy:
            self._is_busy = True
            self._ticks.add(self, self._decide(self._waiting.popleft()))

    def _send_now(self, answer: Answer) -> None:
        if answer.body is None:
            self._cut()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(_rendered(answer, answer.body))
        self._is_busy = False
        self._begin_next()

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._waiting.clear()


def _rendered(answer: Answer, body: bytes) -> bytes:
    """Status line, headers and body."""
    retry = "" if answer.retry_after is None else f"retry-after: {answer.retry_after}\r\n"
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\ncontent-type: application/json\r\n"
        f"{retry}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body

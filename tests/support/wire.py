"""HTTP/1.1 as bytes on a socket: requests exactly as a test wants them, answers as they came.

Nothing is repaired, retried or hidden: a test may send half a request, a doubled header or a line
that is no HTTP, and sees status, headers in their order, and body.
"""

import json
import socket
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple

from tests.support.closing import Closing

Address = tuple[str, int]
Headers = Sequence[tuple[str, str]]

API: Final = "/api/v1"
BROKEN: Final = (OSError, HTTPException)
"""What may come instead of an answer."""


class Reply(NamedTuple):
    """An answer. Header names in lower case, in their order."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only header of this name, or None."""
        found = [value for one, value in self.headers if one == name]
        assert len(found) <= 1, f"{name} comes {len(found)} times"
        return found[0] if found else None

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def code(self) -> str | None:
        """The error's code, None if it is no error."""
        return None if self.status < 400 else str(self.json["error"]["code"])


def request(method: str, path: str, headers: Headers, body: bytes | None) -> bytes:
    """A request's bytes; a length is added where there is a body and no header speaks of one."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.insert(1, "Host: clawback.test")
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")


def bearer(key: str, *, idempotency: str | None = None) -> list[tuple[str, str]]:
    """The headers of a usual call with a body."""
    found = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json")]
    return found if idempotency is None else [*found, ("Idempotency-Key", idempotency)]


class Line(Closing):
    """One connection."""

    def __init__(self, address: Address, *, source: str = "", seconds: float = 30.0) -> None:
        """Connect, from `source` if given; nothing is awaited longer than `seconds`."""
        self.socket = socket.create_connection(
            address, seconds, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(data)

    def read(self, method: str = "POST") -> Reply:
        """The next answer."""
        answer = HTTPResponse(self.socket, method=method)
        answer.begin()
        headers = tuple((name.lower(), value) for name, value in answer.getheaders())
        return Reply(answer.status, headers, answer.read())

    def call(self, method: str, path: str, headers: Headers, body: bytes | None) -> Reply:
        """Ask and read."""
        self.send(request(method, path, headers, body))
        return self.read(method)

    def reset(self) -> None:
        """End it as a crash would: what was not read is thrown away, the other side gets a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        """End it in order."""
        self.socket.close()

"""Raw HTTP over a socket: what a test sends is exactly what goes out."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit


class Reply:
    """One answer, as it came."""

    def __init__(self, raw: bytes) -> None:
        """Cut it into its parts."""
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if lines[0] else 0
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the body says
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code, or nothing."""
        return str(self.json["error"]["code"]) if self.status >= 400 else ""


class Wire:
    """Where the API listens."""

    def __init__(self, url: str) -> None:
        """`url` as in dev.json."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.address = (parts.hostname, parts.port or 80)

    def connect(self, seconds: float = 20) -> socket.socket:
        """A connection of the test's own."""
        return socket.create_connection(self.address, timeout=seconds)

    def send(self, raw: bytes, seconds: float = 20) -> Reply:
        """Send these bytes and read one answer, or nothing if the peer closes."""
        with self.connect(seconds) as connection:
            connection.sendall(raw)
            return Reply(read_answer(connection))

    def call(
        self,
        method: str,
        path: str,
        key: str = "",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """A well-formed request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: clawback.test"]
        given = {} if not key else {"Authorization": f"Bearer {key}"}
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines += [f"{name}: {value}" for name, value in (given | (headers or {})).items()]
        return self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))


def read_answer(connection: socket.socket) -> bytes:
    """Everything up to the end of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body

"""A caller of the HTTP API, as any other: one request at a time, with a key.

Amounts come as exact decimals. A refusal ends the command with the API's own words, its code and
request id, and what to do about it. A key is sent over TLS or to this machine only, and no proxy
setting of the environment is read.
"""

import base64
import hmac
import http.client
import secrets
import ssl
from collections.abc import Mapping
from decimal import Decimal
from typing import BinaryIO, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from clawback import clock
from clawback.cli.output import Stop, clean

PREFIX: Final = "/api/v1"
TRIES_AT_RATE: Final = 5
RATE_SECONDS: Final = 1.0
PIECE: Final = 65_536
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ADVICE: Final = {
    "missing_api_key": "Set CLAWBACK_KEY to a secret key.",
    "invalid_api_key": "Check CLAWBACK_KEY; `clawback keys create` makes a new key.",
    "key_kind_not_allowed": "Use a secret key: a publishable one only lists payment methods.",
    "scope_missing": "Use a key with this scope: `clawback keys create --scopes`.",
    "not_found": "Check the id and whether the key belongs to the book that has it.",
    "rate_limited": "Wait a moment, or raise the key's rate.",
    "overloaded": "Nothing was done; try again.",
    "unavailable": "Nothing was done; look at /readyz and at the database, then try again.",
    "internal_error": "Look for the request id in the server's log.",
}

Json = dict[str, object]


class ApiRefusal(Stop):
    """The API refused; `code` is its word for it."""

    def __init__(self, text: str, advice: str, code: str) -> None:
        """Keep the code beside what is told."""
        super().__init__(text, advice)
        self.code = code


class Lost(Stop):
    """No whole answer came: what was asked for may have been done."""


class Reply(msgspec.Struct, frozen=True):
    """A 2xx answer: its bytes, and what they say."""

    status: int
    body: bytes
    location: str | None

    @property
    def data(self) -> Json:
        """The object that was answered."""
        found = _DECODER.decode(self.body)
        if not isinstance(found, dict):
            raise Stop("the answer is no JSON object", "Check the address: is it a Clawback?")
        return found

    @property
    def rows(self) -> list[Json]:
        """The rows of a list."""
        found = self.data.get("data")
        return found if isinstance(found, list) else []


class Client:
    """Calls one server with one key."""

    def __init__(self, url: str, key: str | None, *, timeout: float = 35.0) -> None:
        """Raises: Stop for an address that is none, or one a key must not be sent to."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Stop(f"{clean(url)} is no address", "Give one such as http://127.0.0.1:8080.")
        is_here = parts.hostname in {"127.0.0.1", "::1", "localhost"}
        if parts.scheme == "http" and key is not None and not is_here:
            raise Stop(f"a key is not sent unencrypted to {parts.hostname}", "Use https://.")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._key = key
        self._timeout = timeout

    def get(self, path: str, **query: object) -> Reply:
        """Read something. Raises: Stop if it is refused or nobody answers."""
        return self._call("GET", path, query=query)

    def save(self, path: str, out: BinaryIO, **query: object) -> None:
        """Copy an answer that may be large. Raises: Stop like `get`; the copy is then not whole."""
        target, headers = self._asked(path, query)
        connection = self._connect()
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise _refusal(answer.status, answer.read())
            while piece := answer.read(PIECE):
                out.write(piece)
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"no whole answer from {self.url}: {clean(error)}", "Try again.") from error
        finally:
            connection.close()

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> Reply:
        """Ask for something; `key`: the idempotency key. Raises: Stop like `get`."""
        return self._call("POST", path, body=msgspec.json.encode(body), key=key)

    def patch(self, path: str, body: Mapping[str, object]) -> Reply:
        """Change something. Raises: Stop like `get`."""
        return self._call("PATCH", path, body=msgspec.json.encode(body))

    def delete(self, path: str) -> Reply:
        """Take something away. Raises: Stop like `get`."""
        return self._call("DELETE", path)

    def derived(self, purpose: str) -> str:
        """32 bytes in base64 that only who has the key can make; the same each time."""
        key = (self._key or "").encode()
        made = hmac.digest(key, f"clawback:{purpose}".encode(), "sha256")
        return base64.b64encode(made).decode()

    def post_csv(
        self, path: str, body: bytes, *, key: str | None, query: Mapping[str, object]
    ) -> Reply:
        """Send a CSV file. Raises: Stop like `get`."""
        return self._call("POST", path, query=query, body=body, key=key, media="text/csv")

    def post_file(
        self, path: str, name: str, data: bytes, fields: Mapping[str, str], *, key: str | None
    ) -> Reply:
        """Send a file with text fields beside it, as a form. Raises: Stop like `get`."""
        boundary = secrets.token_hex(16)
        parts = [(f'name="{field}"', text.encode()) for field, text in fields.items()]
        quoted = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)
        parts.append((f'name="file"; filename="{quoted}"', data))
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode()
            + value
            + b"\r\n"
            for head, value in parts
        )
        body += f"--{boundary}--\r\n".encode()
        media = f"multipart/form-data; boundary={boundary}"
        return self._call("POST", path, body=body, key=key, media=media)

    def is_ready(self) -> bool:
        """Whether the server takes requests now."""
        try:
            status, _, _ = self._exchange("GET", "/readyz", b"", {})
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes = b"",
        key: str | None = None,
        media: str = "application/json",
    ) -> Reply:
        target, headers = self._asked(path, query or {})
        if body:
            headers["content-type"] = media
        if key is not None:
            headers["idempotency-key"] = key
        try:
            status, answer, location = self._exchange_at_rate(method, target, body, headers)
        except ConnectionRefusedError as error:
            advice = "Start it with `make demo`, or name another with --url."
            raise Lost(f"nothing answers at {self.url}", advice) from error
        except (OSError, http.client.HTTPException) as error:
            text = f"no whole answer from {self.url}: {clean(error)}"
            raise Lost(text, _after_loss(method, key)) from error
        if not 200 <= status < 300:  # noqa: PLR2004 - the range of success
            raise _refusal(status, answer)
        return Reply(status, answer, location)

    def _asked(self, path: str, query: Mapping[str, object]) -> tuple[str, dict[str, str]]:
        """The request's target, and the headers that every request has."""
        given = {name: _text(value) for name, value in query.items() if value is not None}
        target = PREFIX + path + (f"?{urlencode(given)}" if given else "")
        headers = {"accept": "application/json, text/csv"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        return target, headers

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _exchange_at_rate(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str | None]:
        """Exchange, and again when the key's rate allows it: a 429 has done nothing."""
        for _ in range(TRIES_AT_RATE - 1):
            found = self._exchange(method, target, body, headers)
            if found[0] != http.client.TOO_MANY_REQUESTS:
                return found
            clock.sleep_seconds(RATE_SECONDS)
        return self._exchange(method, target, body, headers)

    def _exchange(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str | None]:
        connection = self._connect()
        try:
            connection.request(method, target, body=body or None, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("location")
        finally:
            connection.close()


def part(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _after_loss(method: str, key: str | None) -> str:
    if method == "GET":
        return "Try again."
    if key is not None:
        return f"Send it again with --idempotency-key {key}: it has one effect."
    return "It may have been done: look before you send it again."


def _refusal(status: int, answer: bytes) -> Stop:
    """What a refusal says, as the end of a command."""
    try:
        found = _DECODER.decode(answer)
        error = found["error"]
        code, text = str(error["code"]), clean(error["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return Stop(f"the server answered {status}", "Check the address: is it a Clawback?")
    shown = [f"{text} ({code}"]
    if error.get("param"):
        shown.append(f", {clean(error['param'])}")
    shown.append(f", request {clean(error.get('requestId'))})")
    if error.get("details"):
        shown.append(f" {clean(error['details'])}")
    return ApiRefusal("".join(shown), _ADVICE.get(code, ""), code)

"""The one way out: every request that Clawback sends to another server goes through `Outbound`.

It guarantees: no proxy or other setting of the environment is read, no redirect is followed, no
compression is asked for, certificates are always checked, connections and answers are bounded,
and each phase (waiting for a connection, connecting, writing, reading) has its time-out under a
total one. A call never raises: it ends in `Reply`, `NotSent` (proven) or `Lost` (doubtful).
Addresses come from a `Resolver`, so that a caller with hostile names can check each of them; the
checked address is the one that is dialled.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from clawback.clock import monotonic
from clawback.connection import Connection, Ending, Lost, NotSent

BODY_CAP: Final = 65_536
_KEEP_IDLE_SECONDS: Final = 30.0
_KEEP_STRANGERS_SECONDS: Final = 1.0
_TOKEN: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_VALUE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)

Resolver = Callable[[str, int], Awaitable[str]]


class AddressRefused(OSError):
    """A resolver found an address that must not be dialled."""


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds that each phase of a call may take, and all of it."""

    pool: float = 5.0
    connect: float = 2.0
    write: float = 5.0
    read: float = 8.0
    total: float = 10.0


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port of a server."""

    scheme: str
    host: str
    port: int

    @property
    def host_header(self) -> str:
        """Host as it stands in a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == (443 if self.scheme == "https" else 80)
        return host if is_default else f"{host}:{self.port}"


def split_url(url: str) -> tuple[Origin, str]:
    """Origin and request target of an http or https address.

    Raises: ValueError for another scheme, user info, a fragment, or no host.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an address must be http:// or https:// with a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("an address must not carry user info or a fragment")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port), target


async def resolve_any(host: str, port: int) -> str:
    """The first address of a name, unchecked: for providers, whose names an operator sets."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    return str(found[0][4][0])


class Outbound:
    """A pool of connections to one origin."""

    def __init__(
        self,
        origin: Origin,
        *,
        connections: int = 32,
        timeouts: Timeouts | None = None,
        body_cap: int = BODY_CAP,
        resolver: Resolver = resolve_any,
        tls: ssl.SSLContext | None = None,
        to_strangers: bool = False,
    ) -> None:
        """`connections`: at most so many at once; `tls`: other trusted roots, never fewer checks.

        `to_strangers`: each call resolves its address anew and uses an open connection only if it
        leads there; of an answer only the status counts.

        Bug: a TLS context that does not check certificates or names.
        """
        self._origin = origin
        self._timeouts = timeouts or Timeouts()
        self._body_cap = body_cap
        self._resolver = resolver
        self._to_strangers = to_strangers
        self._keep_seconds = _KEEP_STRANGERS_SECONDS if to_strangers else _KEEP_IDLE_SECONDS
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._tls = (tls or ssl.create_default_context()) if origin.scheme == "https" else None
        if self._tls is not None:
            assert self._tls.check_hostname, "names are always checked"
            assert self._tls.verify_mode == ssl.CERT_REQUIRED, "certificates are always checked"
        self._common = f" HTTP/1.1\r\nhost: {origin.host_header}\r\n"

    async def call(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Ending:
        """Send one request and wait for its ending; never raises but when cancelled.

        Bug: a method, target or header that could break out of its line.
        """
        request = self._written(method, target, headers, body)
        deadline = monotonic() + self._timeouts.total
        if self._slots.locked():
            try:
                await asyncio.wait_for(self._slots.acquire(), self._timeouts.pool)
            except TimeoutError:
                return NotSent("pool_timeout")
        else:
            await self._slots.acquire()
        try:
            return await self._exchange(request, deadline)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Drop the idle connections."""
        self.drop_idle()

    def drop_idle(self) -> None:
        """The same, at once."""
        while self._idle:
            self._idle.pop().close()

    async def _exchange(self, request: bytes, deadline: float) -> Ending:
        connection = await self._open(deadline)
        if isinstance(connection, NotSent):
            return connection
        ending = await connection.exchange(
            request,
            write_seconds=self._timeouts.write,
            read_seconds=self._timeouts.read,
            deadline=deadline,
        )
        if not isinstance(ending, Lost) and connection.is_usable:
            connection.idle_since = monotonic()
            self._idle.append(connection)
        return ending

    def _take_idle(self, address: str | None = None) -> Connection | None:
        """An open connection, the latest used first: a stale one is a doubtful call.

        `address`: only one that leads there.
        """
        while self._idle:
            connection = self._idle.pop()
            is_fresh = monotonic() - connection.idle_since < self._keep_seconds
            if connection.is_usable and is_fresh and address in {None, connection.address}:
                return connection
            connection.close()
        return None

    async def _open(self, deadline: float) -> Connection | NotSent:
        connection = None if self._to_strangers else self._take_idle()
        if connection is not None:
            return connection
        seconds = min(self._timeouts.connect, deadline - monotonic())
        try:
            async with asyncio.timeout(seconds):
                return await self._dial()
        except AddressRefused:
            return NotSent("address_refused")
        except TimeoutError:
            return NotSent("connect_timeout")
        except ssl.SSLCertVerificationError:
            return NotSent("certificate_refused")
        except OSError as error:
            return NotSent(f"connect_failed:{type(error).__name__}")

    async def _dial(self) -> Connection:
        address = await self._resolver(self._origin.host, self._origin.port)
        known = self._take_idle(address) if self._to_strangers else None
        if known is not None:
            return known
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._body_cap, only_status=self._to_strangers),
            address,
            self._origin.port,
            ssl=self._tls,
            server_hostname=self._origin.host if self._tls is not None else None,
        )
        connection.address = address
        return connection

    def _written(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """The request's bytes."""
        assert _TOKEN.fullmatch(method), method
        assert _TOKEN.fullmatch(target), "a target is ASCII without spaces"
        lines = [method, " ", target, self._common]
        for name, value in headers.items():
            assert _TOKEN.fullmatch(name), name
            assert _VALUE.fullmatch(value), f"header {name} holds a control character"
            lines.append(f"{name}: {value}\r\n")
        lines.append(f"content-length: {len(body)}\r\n\r\n")
        return "".join(lines).encode("ascii") + body

"""The way out to addresses that strangers chose: webhook endpoints, and nothing else yet.

It guarantees (contract, section 10.3, URL rules): a request goes to https on port 443 or 8443,
every address of the name is public, and the connection goes to an address that was checked for
this very attempt, with the name verified by TLS. Names are resolved here, in threads of their own,
so that a slow name server holds up its own name only. Plain http is for test books, to loopback
and nothing else, and only if the operator allows it. Nothing else leads inside.
"""

import asyncio
import errno
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import msgspec

from clawback.clock import monotonic
from clawback.connection import Ending
from clawback.outbound import AddressRefused, Origin, Outbound, Timeouts

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[tuple[str, ...]]]

MAX_URL: Final = 2_048
MAX_NAME: Final = 253
PORTS: Final = frozenset({443, 8443})
LOOKUPS: Final = 64
"""Names that are looked up at once."""
FRESH_SECONDS: Final = 1.0
"""How long checked addresses serve further attempts; they are dialled as checked."""
UNUSED_SECONDS: Final = 60.0
TIMEOUTS: Final = Timeouts(pool=10.0, connect=10.0, write=10.0, read=10.0, total=10.0)

_TARGET: Final = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

# Everything that the registries of special-purpose addresses (IANA, RFC 6890 and its successors)
# do not hold to be globally reachable, and every form that carries an IPv4 address inside.
_NOT_PUBLIC_4: Final = tuple(map(ipaddress.IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
)))  # fmt: skip
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, (
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)))  # fmt: skip
_LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


class Refusal(msgspec.Struct, frozen=True):
    """An address breaks a rule: scheme, port, user_info, fragment, length, form or address."""

    rule: str


class Place(msgspec.Struct, frozen=True):
    """A well-formed address that may be looked up; what its name leads to is not known yet."""

    origin: Origin
    target: str


def is_public(address: Address) -> bool:
    """Whether an address is reachable for everybody and belongs to none of the special ranges."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def is_own(address: Address) -> bool:
    """Whether this machine has the address: whoever can bind it has it. Nothing is sent."""
    is_old = isinstance(address, ipaddress.IPv4Address)
    family = socket.AF_INET if is_old else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
    return True


def read_place(url: str, *, allow_loopback: bool) -> Place | Refusal:
    """What a URL says, or the rule that its text breaks; nothing is looked up.

    `allow_loopback`: http is taken, on any port; its name must then lead to loopback.
    """
    if len(url) > MAX_URL:
        return Refusal("length")
    if not url.isascii() or any(letter <= " " or letter == "\x7f" for letter in url):
        return Refusal("form")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return Refusal("form")
    is_plain = allow_loopback and parts.scheme == "http"
    if parts.scheme != "https" and not is_plain:
        return Refusal("scheme")
    if "@" in parts.netloc or "\\" in url:
        return Refusal("user_info" if "@" in parts.netloc else "form")
    if "#" in url:
        return Refusal("fragment")
    host = _host(parts.netloc)
    if host is None or port == 0 or parts.netloc.endswith(":"):
        return Refusal("form")
    if port is None:
        port = 80 if is_plain else 443
    if not is_plain and port not in PORTS:
        return Refusal("port")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.startswith("/") or not _TARGET.fullmatch(target):
        return Refusal("form")
    return Place(Origin(parts.scheme, host, port), target)


def _host(netloc: str) -> str | None:
    """A name or address in its plain form; None for anything that could be read in two ways."""
    host = netloc.rpartition(":")[0] if re.search(r":[0-9]*\Z", netloc, re.ASCII) else netloc
    if netloc.startswith("["):
        inner, bracket, _ = netloc[1:].partition("]")
        try:
            return str(ipaddress.IPv6Address(inner)) if bracket and "%" not in inner else None
        except ValueError:
            return None
    host = host.lower()
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        labels = host.split(".")
    is_name = all(_LABEL.fullmatch(label) for label in labels) and len(host) <= MAX_NAME
    return host if is_name and not _NUMBER.fullmatch(labels[-1]) else None


class Resolver:
    """Looks names up in threads of its own, each name once at a time."""

    def __init__(self) -> None:
        """No thread is started yet."""
        self._threads = ThreadPoolExecutor(LOOKUPS, "clawback-names")
        self._running: dict[tuple[str, int], asyncio.Future[tuple[str, ...]]] = {}

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """All addresses of a name. Raises: OSError if there is none."""
        name = (host, port)
        found = self._running.get(name)
        if found is None:
            loop = asyncio.get_running_loop()
            found = loop.run_in_executor(self._threads, _look_up, host, port)
            self._running[name] = found
            found.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(found)

    def close(self) -> None:
        """Start no more look-ups; those that run end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "no name") from error
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


class _Known(msgspec.Struct, frozen=True):
    until: float
    addresses: tuple[str, ...]


class Egress:
    """Checks addresses, and posts to those that pass."""

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        lookup: Lookup | None = None,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        """`allow_loopback`: the operator lets test books use http on loopback."""
        self._allow_loopback = allow_loopback
        self._resolver = Resolver()
        self._lookup: Lookup = lookup or self._resolver
        self._tls = tls
        self._timeouts = timeouts
        self._known: dict[tuple[str, str, int], _Known] = {}
        self._ways: dict[Origin, tuple[Outbound, float]] = {}

    def read(self, url: str, mode: str) -> Place | Refusal:
        """What the text of a URL says, for a book of this mode."""
        return read_place(url, allow_loopback=self._allow_loopback and mode == "test")

    async def check(self, url: str, mode: str) -> str | None:
        """The rule that a URL breaks, or None: it may be saved. Never raises."""
        place = self.read(url, mode)
        if isinstance(place, Refusal):
            return place.rule
        try:
            async with asyncio.timeout(self._timeouts.total):
                await self._addresses(place.origin)
        except (OSError, TimeoutError):
            return "address"
        return None

    async def post(
        self, url: str, mode: str, headers: Mapping[str, str], body: bytes
    ) -> Ending | Refusal:
        """Send one request, once; never raises but when cancelled."""
        place = self.read(url, mode)
        if isinstance(place, Refusal):
            return place
        return await self._way(place.origin).call("POST", place.target, headers=headers, body=body)

    async def close(self) -> None:
        """Drop all connections."""
        for way, _ in self._ways.values():
            await way.close()
        self._ways = {}
        self._resolver.close()

    def _way(self, origin: Origin) -> Outbound:
        """The connections to an origin; those that were not used for long are forgotten."""
        now = monotonic()
        found = self._ways.pop(origin, None)
        if found is None:
            self._forget_unused(now)
            if origin.scheme == "https" and self._tls is None:
                self._tls = ssl.create_default_context()

            async def checked(_: str, __: int) -> str:
                return (await self._addresses(origin))[0]

            way = Outbound(
                origin,
                timeouts=self._timeouts,
                resolver=checked,
                tls=self._tls,
                to_strangers=True,
            )
        else:
            way = found[0]
        self._ways[origin] = (way, now)
        return way

    def _forget_unused(self, now: float) -> None:
        for origin, (way, used_at) in list(self._ways.items()):
            if now - used_at < UNUSED_SECONDS:
                break  # in the order of their last use
            way.drop_idle()
            del self._ways[origin]
        self._known = {name: known for name, known in self._known.items() if known.until > now}

    async def _addresses(self, origin: Origin) -> tuple[str, ...]:
        """The addresses of an origin, all of them checked. Raises: OSError if one is forbidden."""
        name = (origin.scheme, origin.host, origin.port)
        known = self._known.get(name)
        if known is not None and known.until > monotonic():
            return known.addresses
        found = await self._lookup(origin.host, origin.port)
        if not found or not all(self._is_allowed(origin, one) for one in found):
            raise AddressRefused(origin.host)
        self._known[name] = _Known(monotonic() + FRESH_SECONDS, found)
        return found

    def _is_allowed(self, origin: Origin, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if origin.scheme == "http":
            return self._allow_loopback and any(address in network for network in _LOOPBACK)
        return is_public(address) and not is_own(address)

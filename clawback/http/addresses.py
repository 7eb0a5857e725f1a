"""Who is at the other end: networks that are trusted, and what counts as one address.

Forwarding headers are believed only from a peer listed in `trusted_proxies`; everybody else may
write into them what they like. An IPv6 customer holds a whole /64, so that is one address here.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IPV6_PREFIX: Final = 64
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def networks(names: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of these addresses or CIDR blocks. Raises: ValueError naming the wrong one."""
    return tuple(ip_network(name.strip()) for name in names)


@lru_cache(maxsize=10_000)
def group(address: str) -> str:
    """The name under which an address is counted: IPv4 by itself, IPv6 by its /64."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found.packed, IPV6_PREFIX), strict=False))
    return str(found)


class Peers:
    """Tells proxies of ours from everybody else."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """Addresses or CIDR blocks. Raises: ValueError."""
        self._trusted = networks(trusted_proxies)

    def is_trusted(self, address: str) -> bool:
        """Whether a forwarding header from there is believed."""
        return _lies_in(address, self._trusted)

    def is_exempt(self, address: str) -> bool:
        """Whether connections from there are not capped: this machine, and our proxies."""
        return not address or _lies_in(address, (*LOOPBACK, *self._trusted))

    def caller(self, peer: str, forwarded: Iterable[str]) -> str:
        """The address that a request is counted for.

        `forwarded`: the values of X-Forwarded-For, in their order. The nearest hop that is not a
        proxy of ours; the peer itself, if it is not one or the header says nothing usable.
        """
        found = peer
        if self.is_trusted(peer):
            hops = [hop.strip() for value in forwarded for hop in value.split(",")]
            for hop in reversed(hops):
                if not _is_address(hop):
                    break
                found = hop
                if not self.is_trusted(hop):
                    break
        return group(found)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=10_000)
def _lies_in(address: str, blocks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((mapped or found) in block for block in blocks)

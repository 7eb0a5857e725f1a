"""Names of things: prefix, time of minting, four random characters.

Payments, claims and shops are named in the form of the refund page, `TXN-MP331BTF-R308`: eight
upper-case base-36 characters of Unix milliseconds and four random ones. Such a name is unique
within a shard only, so every look-up carries the shard and the book, and it is never an
authority: a clash with another process is minted anew when the batch is tried again.
"""

import random
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Final, NewType

PaymentId = NewType("PaymentId", str)
ClaimId = NewType("ClaimId", str)
ShopId = NewType("ShopId", str)
MerchantId = NewType("MerchantId", str)
BookId = NewType("BookId", str)
KeyId = NewType("KeyId", str)

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS: Final = tuple("".join(pair) for pair in product(_DIGITS, repeat=2))
_PAIR_COUNT: Final = len(_PAIRS)
_KEPT: Final = 256
_TAILS: Final = _PAIR_COUNT * _PAIR_COUNT
_FORM: Final = re.compile(r"(TXN|CLM|SHP)-[0-9A-Z]{8}-[0-9A-Z]{4}", re.ASCII)


def base36(number: int, width: int) -> str:
    """A number in upper-case base 36, padded to `width`, at least two. Bug: it does not fit."""
    high, low = divmod(number, _PAIR_COUNT)
    return _leading(high, width - 2) + _PAIRS[low]


@lru_cache(_KEPT)
def _leading(number: int, width: int) -> str:
    """All but the last two characters, which names made one after the other share."""
    assert number >= 0, number
    text = ""
    while number:
        number, rest = divmod(number, _PAIR_COUNT)
        text = _PAIRS[rest] + text
    text = text.lstrip("0").rjust(width, "0")
    assert len(text) == width, text
    return text


class Mint:
    """Mints names that are distinct within one process, also within one millisecond."""

    def __init__(self) -> None:
        """Start with nothing minted."""
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - names are no secrets
        self._at_ms = 0
        self._stamp = ""
        self._used: set[int] = set()

    def _next(self, unix_ms: int) -> str:
        if unix_ms != self._at_ms:
            self._at_ms, self._stamp, self._used = unix_ms, base36(unix_ms, 8), set()
        tail = int(self._random.random() * _TAILS)
        while tail in self._used:
            tail = int(self._random.random() * _TAILS)
        self._used.add(tail)
        high, low = divmod(tail, _PAIR_COUNT)
        return f"{self._stamp}-{_PAIRS[high]}{_PAIRS[low]}"

    def payment(self, unix_ms: int) -> PaymentId:
        """A new payment's name."""
        return PaymentId("TXN-" + self._next(unix_ms))

    def claim(self, unix_ms: int) -> ClaimId:
        """A new claim's name."""
        return ClaimId("CLM-" + self._next(unix_ms))

    def shop(self, unix_ms: int) -> ShopId:
        """A new shop's name."""
        return ShopId("SHP-" + self._next(unix_ms))


def home_shard(name: str, shard: int, former_shards: Sequence[str]) -> int:
    """The shard that our references of a payment or claim carry: its book's when it was named.

    `former_shards` are those that the book has left, oldest first: the stamp of the last name given
    there, then the shard as two base-36 digits. So a reference stays what it was when a book moves.
    """
    stamp = name[4:12]
    for left in former_shards:
        if stamp <= left[:8]:
            return int(left[8:], 36)
    return shard


def is_well_formed(name: str, prefix: str) -> bool:
    """Whether this could be a name of that kind; a malformed one is answered like an absent one."""
    return name.startswith(prefix) and _FORM.fullmatch(name) is not None


def opaque(prefix: str, *, size: int = 8) -> str:
    """A random name such as `key_4k7q…`, with `size` bytes from the system's generator."""
    return prefix + secrets.token_hex(size)

"""API keys: their form, how they are made, and how a presented one is found.

`sk_test_`, `sk_live_` are secret, `pk_test_`, `pk_live_` publishable; then 30 random base-62
characters and a checksum of 6, which refuses typos without asking the database. Only the SHA-256
of a key is stored: it is random and long, so nothing slower is needed.
"""

import re
import secrets
import string
import zlib
from hashlib import sha256
from typing import Final

import msgspec

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(r"(sk|pk)_(test|live)_[0-9A-Za-z]{36}", re.ASCII)
_CHECKSUM: Final = 6
KINDS: Final = {"secret": "sk", "publishable": "pk"}


class MintedKey(msgspec.Struct, frozen=True):
    """A new key. `key` is shown once; `digest` is what is stored."""

    key_id: str
    key: str
    digest: bytes


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    found = ""
    for _ in range(_CHECKSUM):
        number, rest = divmod(number, 62)
        found += _BASE62[rest]
    return found


def mint(kind: str, mode: str) -> MintedKey:
    """A key of this kind (secret, publishable) and mode, with 178 random bits."""
    body = "".join(secrets.choice(_BASE62) for _ in range(30))
    start = f"{KINDS[kind]}_{mode}_{body}"
    key = start + _checksum(start)
    return MintedKey(f"key_{secrets.token_hex(6)}", key, digest(key))


def digest(key: str) -> bytes:
    """What is stored of a key."""
    return sha256(key.encode()).digest()


def is_well_formed(key: str) -> bool:
    """Whether this can be a key at all: form and checksum."""
    return _FORM.fullmatch(key) is not None and key[-_CHECKSUM:] == _checksum(key[:-_CHECKSUM])

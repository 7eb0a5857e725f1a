"""Who is calling: the key alone decides the book, and so the tenant and the mode.

Keys are found by digest and kept for at most two seconds, so that a revoked key is dead in two.
Unknown, malformed, expired and revoked keys are not told apart.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.db import queries
from clawback.errors import Refused
from clawback.http import keys
from clawback.http.faults import (
    InvalidApiKey,
    KeyKindNotAllowed,
    MissingApiKey,
    SandboxOnly,
    ScopeMissing,
)
from clawback.ids import BookId, KeyId, ShopId
from clawback.route import ANY_KEY, ANY_SECRET_KEY, BookRef, Caller, Limits, Route

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load("clawback.merchants", "queries.sql")
CACHE_SECONDS: Final = 1.5
CACHE_SIZE: Final = 10_000

Reader = Callable[[], "AbstractAsyncContextManager[PoolConnectionProxy]"]


class Opened(msgspec.Struct, frozen=True):
    """What a key opens."""

    book: BookRef
    caller: Caller
    api_version: str
    requires_idempotency_key: bool


class Keyring:
    """Finds keys, with a short memory."""

    def __init__(self, reader: Reader) -> None:
        """Reads keys over `reader`."""
        self._reader = reader
        self._known: OrderedDict[str, tuple[float, Opened | None, datetime | None]] = OrderedDict()

    def remembered(self, header: bytes | None) -> Opened | None:
        """What a recently used key opens, without asking the database."""
        if header is None or not header.startswith(b"Bearer "):
            return None
        found = self._known.get(header[7:].decode("latin-1"))
        if found is None or found[0] < clock.monotonic():
            return None
        return found[1]

    async def open(self, header: bytes | None) -> Opened | Refused:
        """What the bearer key opens. Refuses: MissingApiKey, InvalidApiKey."""
        if header is None:
            return MissingApiKey()
        scheme, _, key = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return MissingApiKey()
        key = key.strip()
        if not keys.is_well_formed(key):
            return InvalidApiKey()
        known = self._known.get(key)
        now = clock.monotonic()
        if known is None or known[0] < now:
            async with self._reader() as connection:
                row = await SQL.find_key(connection, digest=keys.digest(key))
            known = (now + CACHE_SECONDS, *_opened(row))
            self._known[key] = known
            if len(self._known) > CACHE_SIZE:
                self._known.popitem(last=False)
        _, opened, expires_at = known
        if opened is None or (expires_at is not None and expires_at <= clock.real_now()):
            return InvalidApiKey()
        return opened


def _opened(row: "Record | None") -> tuple[Opened | None, datetime | None]:
    if row is None or row["revoked_at"] is not None:
        return None, None
    limits = None
    if row["max_claim_usd_e4"] is not None or row["max_day_usd_e4"] is not None:
        limits = Limits(row["max_claim_usd_e4"], row["max_day_usd_e4"])
    caller = Caller(
        key_id=KeyId(row["key_id"]),
        kind=row["kind"],
        scopes=tuple(row["scopes"]),
        limits=limits,
        shop_id=ShopId(row["shop_id"]),
        owner=row["owner"],
        expires_at=row["expires_at"],
        rate_per_second=row["rate_per_second"],
        burst=row["burst"],
    )
    book = BookRef(
        shard=row["shard"],
        book_id=BookId(row["book_id"]),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
    )
    opened = Opened(book, caller, row["api_version"], row["require_idempotency_key"])
    return opened, row["expires_at"]


def permits(opened: Opened, route: Route, simulate: bytes | None) -> Refused | None:
    """Whether the key may make this call; default deny."""
    caller = opened.caller
    if route.scope != ANY_KEY:
        if caller.kind != "secret":
            return KeyKindNotAllowed()
        if route.scope != ANY_SECRET_KEY and not has_scope(caller, route.scope):
            return ScopeMissing(scope=route.scope)
    if opened.book.mode != "test" and (route.sandbox_only or simulate is not None):
        return SandboxOnly()
    return None


def has_scope(caller: Caller, scope: str) -> bool:
    """Whether the key's scopes include this one; `*` includes all."""
    return "*" in caller.scopes or scope in caller.scopes

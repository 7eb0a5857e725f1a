"""Who is calling: the key alone decides the book, and so the tenant and the mode.

Keys are found by digest and believed for at most two seconds, so that a revoked key is dead in two.
Those that were used lately are asked for again before that, many in one question, so that their
callers do not wait for it.
Unknown, malformed, expired and revoked keys are not told apart.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hmac import compare_digest
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.db import queries
from clawback.db.failures import DATABASE_ERRORS
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
RENEW_SECONDS: Final = 0.6
RENEW_MOST: Final = 256
RENEW_ROUNDS: Final = 100
"""Keys that were used within so many rounds are asked for anew in each, at most so many."""
NOBODY: Final = bytes(32)
"""Compared with where no key was found, so that both ways do the same work."""

Reader = Callable[[], "AbstractAsyncContextManager[PoolConnectionProxy]"]


class Opened(msgspec.Struct, frozen=True):
    """What a key opens."""

    book: BookRef
    caller: Caller
    api_version: str
    requires_idempotency_key: bool


class Known(msgspec.Struct, frozen=True):
    """What is remembered of a key, until when on the monotonic clock."""

    digest: bytes
    until: float
    opened: Opened | None


class Keyring:
    """Finds keys, with a short memory; requests with the same key share one question."""

    def __init__(self, reader: Reader) -> None:
        """Reads keys over `reader`."""
        self._reader = reader
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, Known] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Known]] = {}
        self._used: set[bytes] = set()
        self._lately: dict[bytes, int] = {}

    def remembered(self, header: bytes | None) -> Opened | None:
        """What a recently used key opens, without asking the database."""
        found = self._known.get(header) if header is not None else None
        if header is None or found is None or found.until < clock.monotonic():
            return None
        self._used.add(header)
        return found.opened

    async def open(self, header: bytes | None) -> Opened | Refused:
        """What the bearer key opens. Refuses: MissingApiKey, InvalidApiKey.

        Raises: the driver's errors if the database is away.
        """
        if header is None:
            return MissingApiKey()
        scheme, _, key = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return MissingApiKey()
        key = key.strip()
        if not keys.is_well_formed(key):
            return InvalidApiKey()
        known = self._known.get(header) or self._unknown.get(header)
        if known is None or known.until < clock.monotonic():
            known = await self._ask(header, keys.digest(key))
        return InvalidApiKey() if known.opened is None else known.opened

    async def _ask(self, header: bytes, digest: bytes) -> Known:
        """Ask the database, once for all who wait; a caller that goes away ends nobody's wait."""
        asked = self._asked.get(header)
        if asked is None:
            asked = self._asked[header] = asyncio.create_task(self._find(header, digest))
            asked.add_done_callback(lambda _: self._asked.pop(header, None))
        return await asyncio.shield(asked)

    async def _find(self, header: bytes, digest: bytes) -> Known:
        now = clock.monotonic()
        async with self._reader() as connection:
            rows = await SQL.find_keys(connection, digests=[digest])
        row = rows[0] if rows else None
        is_it = compare_digest(digest, NOBODY if row is None else row["digest"])
        left = _seconds_left(row)
        opened = _opened(row) if row is not None and is_it and left > 0 else None
        until = now + (min(CACHE_SECONDS, left) if opened else CACHE_SECONDS)
        known = Known(digest, until, opened)
        if opened is not None:
            self._used.add(header)
        kept = self._unknown if opened is None else self._known
        kept[header] = known
        kept.move_to_end(header)
        if len(kept) > CACHE_SIZE:
            kept.popitem(last=False)
        return known

    async def keep(self) -> None:
        """Renew what is remembered of the keys that were used lately, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(*DATABASE_ERRORS):  # what is not renewed is asked for in need
                await self._renew()

    async def _renew(self) -> None:
        self._lately = dict.fromkeys(self._used, RENEW_ROUNDS) | {
            name: left - 1
            for name, left in self._lately.items()
            if left > 1 and name not in self._used
        }
        self._used.clear()
        wanted = [
            (header, self._known[header])
            for header in islice(self._lately, RENEW_MOST)
            if header in self._known
        ]
        if not wanted:
            return
        now = clock.monotonic()
        async with self._reader() as connection:
            digests = [known.digest for _, known in wanted]
            rows = await SQL.find_keys(connection, digests=digests)
        found = {row["digest"]: row for row in rows}
        for header, known in wanted:
            if self._known.get(header) is not known:
                continue
            row = found.get(known.digest)
            if row is None:
                del self._known[header]
                continue
            until = now + min(CACHE_SECONDS, _seconds_left(row))
            self._known[header] = Known(known.digest, until, _opened(row))


def _seconds_left(row: "Record | None") -> float:
    """How long the key still opens anything; a key without an end counts for long."""
    if row is None or (row["expires_at"] is None and row["revoked_at"] is None):
        return CACHE_SECONDS
    if row["revoked_at"] is not None:
        return 0.0
    left: float = (row["expires_at"] - clock.real_now()).total_seconds()
    return left


def _opened(row: "Record") -> Opened:
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
        former_shards=tuple(row["former_shards"]),
    )
    return Opened(book, caller, row["api_version"], row["require_idempotency_key"])


SANDBOX: Final = "sandbox:use"
"""What header Sandbox-Simulate needs, beside the scope of its call."""


def permits(opened: Opened, route: Route, simulate: bytes | None) -> Refused | None:
    """Whether the key may make this call; default deny."""
    caller = opened.caller
    if route.scope != ANY_KEY:
        if caller.kind != "secret":
            return KeyKindNotAllowed()
        if route.scope != ANY_SECRET_KEY and not has_scope(caller, route.scope):
            return ScopeMissing(scope=route.scope)
    if simulate is not None and not has_scope(caller, SANDBOX):
        return ScopeMissing(scope=SANDBOX)
    if opened.book.mode != "test" and (route.sandbox_only or simulate is not None):
        return SandboxOnly()
    return None


def has_scope(caller: Caller, scope: str) -> bool:
    """Whether the key's scopes include this one; `*` includes all."""
    return "*" in caller.scopes or scope in caller.scopes

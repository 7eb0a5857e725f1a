"""Takes away what has had its time; the books, claims, facts and events are never touched.

Idempotency keys go when their life is over (contract, section 4), batches' markers after an hour.
Deliveries and attempts that have ended go after as many days as the operator sets; by default they
stay. Everything is taken in small steps with pauses, once round an hour, so that refunds do not
notice; a worker that dies leaves nothing half done, and several may do the same.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from clawback import clock, ids, logs
from clawback.db import queries
from clawback.db.failures import DATABASE_ERRORS
from clawback.work.pace import pause

if TYPE_CHECKING:
    from asyncpg import Pool, Record

SQL: Final = queries.load(__package__, "retention.sql")
MARKERS_KEPT: Final = timedelta(hours=1)
ROUND_SECONDS: Final = 3600.0
STEP: Final = 1000
PAUSE_SECONDS: Final = 0.2

log = logs.get_logger()


class Retention:
    """Goes round every hour until it is stopped."""

    def __init__(self, pool: "Pool", *, delivery_days: int, attempt_days: int) -> None:
        """`delivery_days`, `attempt_days`: how long what has ended is kept; 0: for ever."""
        self._pool = pool
        self._deliveries_kept = timedelta(days=delivery_days)
        self._attempts_kept = timedelta(days=attempt_days)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further step."""
        self._stopping.set()

    async def run(self) -> None:
        """Go round, rest, go round again; returns once stopped."""
        while not self._stopping.is_set():
            try:
                gone = await self.go_round(clock.real_now())
                log.info("retention_went_round", **gone)
            except DATABASE_ERRORS as error:
                log.warning("retention_interrupted", error=repr(error))
            await pause(ROUND_SECONDS, self._stopping)

    async def go_round(self, real_now: datetime) -> dict[str, int]:
        """Look at everything once; how many rows went, by kind. Raises: the driver's errors."""
        async with self._pool.acquire() as session:
            shards = [row["shard"] for row in await SQL.shards(session)]
        gone = dict.fromkeys(("keys", "markers", "deliveries", "attempts"), 0)
        for shard in shards:
            gone["keys"] += await self._keys(shard, real_now)
            gone["markers"] += await self._all(
                "prune_markers", shard=shard, before=real_now - MARKERS_KEPT
            )
            if self._deliveries_kept:
                gone["deliveries"] += await self._all(
                    "prune_deliveries", shard=shard, real_now=real_now, kept=self._deliveries_kept
                )
            if self._attempts_kept:
                gone["attempts"] += await self._attempts(shard, real_now)
        return gone

    async def _keys(self, shard: int, real_now: datetime) -> int:
        gone = 0
        async for rows in self._walk("walk_keys", shard, ("book_id", "route", "key")):
            over = [row for row in rows if row["expires_at"] <= real_now]
            if over:
                gone += await self._one(
                    "prune_keys",
                    shard=shard,
                    books=[row["book_id"] for row in over],
                    routes=[row["route"] for row in over],
                    keys=[row["key"] for row in over],
                    real_now=real_now,
                )
        return gone

    async def _attempts(self, shard: int, real_now: datetime) -> int:
        gone = 0
        oldest = clock.milliseconds(real_now - self._attempts_kept)
        before = f"CLM-{ids.base36(oldest, 8)}"
        async for rows in self._walk("walk_attempts", shard, ("claim_id",), before=before):
            gone += await self._one(
                "prune_attempts",
                shard=shard,
                books=sorted({row["book_id"] for row in rows}),
                claims=sorted({row["claim_id"] for row in rows}),
                real_now=real_now,
                kept=self._attempts_kept,
            )
        return gone

    async def _walk(
        self, name: str, shard: int, places: Sequence[str], **more: object
    ) -> "AsyncIterator[list[Record]]":
        """The rows of a table in the order of their key, a step at a time."""
        last = dict.fromkeys(places, "")
        rows: list[Record] = []
        while not self._stopping.is_set():
            async with self._pool.acquire() as session:
                query = getattr(SQL, name)
                rows = await query(session, shard=shard, **last, **more, limit=STEP)
            if rows:
                yield rows
                last = {place: rows[-1][place] for place in places}
            if len(rows) < STEP:
                break
            await pause(PAUSE_SECONDS, self._stopping)

    async def _all(self, name: str, **values: object) -> int:
        """Take a step again and again until there is nothing left to take."""
        gone, step = 0, STEP
        while step >= STEP and not self._stopping.is_set():
            step = await self._one(name, **values, limit=STEP)
            gone += step
            if step >= STEP:
                await pause(PAUSE_SECONDS, self._stopping)
        return gone

    async def _one(self, name: str, **values: object) -> int:
        async with self._pool.acquire() as session:
            return int((await getattr(SQL, name)(session, **values))["gone"])

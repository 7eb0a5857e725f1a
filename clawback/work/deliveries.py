"""Fans events out to webhook endpoints and delivers them, beside the lanes and never inside one.

A book's events are fanned out from a stored position, each once to each endpoint that matches. A
delivery is leased, tried, and noted; a worker that is killed loses nothing, for its leases run out
and the tries are made again by another, with the same bytes. An endpoint that is slow or dead has
its own small room (`rooms.py`) and delays nobody. How often the database is asked, `pace.py` says.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from clawback import clock, logs
from clawback.db import queries
from clawback.db.failures import DATABASE_ERRORS
from clawback.egress import Egress
from clawback.errors import Overloaded, Unavailable
from clawback.ids import BookId
from clawback.lanes.lanes import Lanes
from clawback.route import BookRef, Kept
from clawback.seal import Seal
from clawback.webhooks.jobs import GONE, Leased, Result, deliver
from clawback.webhooks.model import JITTER, PATIENCE, Changed, DisableEndpoint
from clawback.work.pace import Pace, pause
from clawback.work.rooms import Due, Rooms

if TYPE_CHECKING:
    from asyncpg import Pool, Record
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "deliveries.sql")
LEASE: Final = timedelta(seconds=20)
"""Twice what a try may take."""
INBOX_KEPT: Final = timedelta(days=30)
EVENTS_AT_ONCE: Final = 100
ROWS_AT_ONCE: Final = 1000
NOTED_AT_ONCE: Final = 500
NOTE_TRIES: Final = 20
SWEEP_SECONDS: Final = 60.0
SHARDS_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 0.5
CONNECTIONS: Final = 4

_ENCODER: Final = msgspec.json.Encoder()

ResultT = TypeVar("ResultT")

log = logs.get_logger()


class Deliveries:
    """Runs until it is stopped; then what is under way ends and is noted."""

    def __init__(
        self,
        lanes: Lanes,
        pool: "Pool",
        egress: Egress,
        seal: Callable[[], Seal | None],
        *,
        concurrency: int,
    ) -> None:
        """`pool`: CONNECTIONS of its own; `concurrency`: deliveries at once."""
        self._lanes = lanes
        self._pool = pool
        self._egress = egress
        self._seal = seal
        self._rooms = Rooms(concurrency)
        self._running: set[asyncio.Task[None]] = set()
        self._disabling: dict[str, asyncio.Task[None]] = {}
        self._results: list[tuple[Leased, Result]] = []
        self._wake = asyncio.Event()
        self._noted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._shards: list[int] = []
        self._shards_until = 0.0

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Fan out, deliver, note, sweep; returns once stopped and all that was started has ended.

        A fault of ours is logged and passed over: refunds, which share the process, go on.
        """
        noting = asyncio.create_task(self._note_results())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._fan_out))
            group.create_task(self._repeat(self._send, self._wake))
            group.create_task(self._sweep_now_and_then())
        if self._running:
            await asyncio.wait(self._running)
        self._noted.set()
        await noting
        if self._disabling:
            await asyncio.wait(self._disabling.values())

    async def _repeat(
        self, work: Callable[[Pace], Awaitable[int]], wake: asyncio.Event | None = None
    ) -> None:
        """Work as long as there is work; then look again less and less often, or when woken."""
        pace = Pace()
        while not self._stopping.is_set():
            if wake is not None:
                wake.clear()
            done = await _survived(work(pace))
            if done is None:
                await pause(AWAY_SECONDS, self._stopping)
            else:
                await pace.wait(done, stop=self._stopping, wake=wake)

    async def _known_shards(self, session: "PoolConnectionProxy") -> list[int]:
        """The shards that books lie in, looked up now and then: books are not opened often."""
        if clock.monotonic() >= self._shards_until:
            self._shards = [row["shard"] for row in await SQL.shards(session)]
            self._shards_until = clock.monotonic() + SHARDS_SECONDS
        return self._shards

    # Fanning out.

    async def _fan_out(self, pace: Pace) -> int:
        """Take each book that is behind a step further; returns how many there were."""
        async with self._pool.acquire() as session:
            shards = await self._known_shards(session)
            with pace.looking():
                behind = await SQL.list_behind(session, shards=shards)
                replays = await SQL.list_replays(session, shards=shards)
            now = clock.real_now()
            for row in behind:
                await SQL.fan_out(session, **row, real_now=now, limit=EVENTS_AT_ONCE)
            for row in replays:
                await SQL.go_on_replaying(session, **row, real_now=now, limit=ROWS_AT_ONCE)
        if behind or replays:
            self._wake.set()
        return len(behind) + len(replays)

    # Delivering.

    async def _send(self, pace: Pace) -> int:
        """Lease what is due and there is room for, and start it; returns how many were started."""
        now = clock.real_now()
        async with self._pool.acquire() as session:
            shards = await self._known_shards(session)
            with pace.looking():
                rows = await SQL.list_due(session, shards=shards, real_now=now)
            due = [Due(row["shard"], row["endpoint_id"], row["url"]) for row in rows]
            random.shuffle(due)
            shares = defaultdict(list)
            for one, room in self._rooms.share_out(due, clock.monotonic()):
                shares[one.shard].append((one.endpoint_id, room))
            leased = [
                _leased(shard, row)
                for shard, share in shares.items()
                for row in await SQL.lease_deliveries(
                    session,
                    shard=shard,
                    endpoints=[endpoint_id for endpoint_id, _ in share],
                    rooms=[room for _, room in share],
                    real_now=now,
                    lease_until=now + LEASE,
                )
            ]
        for taken in leased:
            self._rooms.take(taken.endpoint_id, taken.event_number)
            task = asyncio.create_task(self._deliver(taken))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(leased)

    async def _deliver(self, leased: Leased) -> None:
        is_well = await _survived(self._try(leased)) or False
        place = (leased.endpoint_id, leased.event_number)
        self._rooms.give_back(*place, clock.monotonic(), is_well=is_well)
        self._wake.set()

    async def _try(self, leased: Leased) -> bool:
        """Make the try and leave its result to be noted; returns whether it went well."""
        draw = random.randint(0, 2 * JITTER)  # noqa: S311 - spreads retries, nothing secret
        seal = self._seal()
        assert seal is not None, "the worker delivers with a seal only"
        result = await deliver(self._egress, seal, leased, draw)
        self._results.append((leased, result))
        self._noted.set()
        if result.status_code == GONE:
            self._disable(leased.book, leased.endpoint_id, "gone")
        return result.succeeded

    # Noting.

    async def _note_results(self) -> None:
        """Write down how tries ended, many at once; ends when all has ended and is written."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            if not self._results:
                if self._stopping.is_set() and not self._running:
                    return
                continue
            results = self._results[:NOTED_AT_ONCE]
            del self._results[:NOTED_AT_ONCE]
            for _ in range(NOTE_TRIES):
                if await _survived(self._note(results)) or self._stopping.is_set():
                    break
                await asyncio.sleep(AWAY_SECONDS)
            else:  # their leases run out, and the tries are made again
                log.error("results_given_up", count=len(results))
            self._noted.set()

    async def _note(self, results: list[tuple[Leased, Result]]) -> bool:
        books = {leased.endpoint_id: leased.book for leased, _ in results}
        by_shard = defaultdict(list)
        for leased, result in results:
            by_shard[leased.book.shard].append(result)
        for shard, noted in by_shard.items():
            noted.sort(key=lambda one: (one.endpoint_id, one.event_number))
            async with self._pool.acquire() as session:
                failing = await SQL.note_deliveries(
                    session,
                    shard=shard,
                    real_now=clock.real_now(),
                    patience=PATIENCE,
                    results=_ENCODER.encode(noted).decode(),
                )
            for row in failing:
                self._disable(books[row["endpoint_id"]], row["endpoint_id"], "failing")
        return True

    def _disable(self, book: BookRef, endpoint_id: str, reason: str) -> None:
        """Have the book's lane switch the endpoint off, once at a time."""
        if endpoint_id not in self._disabling:
            work = self._switch_off(book, endpoint_id, reason)
            self._disabling[endpoint_id] = asyncio.create_task(work)

    async def _switch_off(self, book: BookRef, endpoint_id: str, reason: str) -> None:
        command = DisableEndpoint(endpoint_id=endpoint_id, reason=reason)
        try:
            while True:
                outcome = await self._lanes.submit(book, command, Kept[Changed]())
                if not isinstance(outcome, Overloaded | Unavailable) or self._stopping.is_set():
                    break
                await asyncio.sleep(AWAY_SECONDS)
            log.info("endpoint_switched_off", endpoint=endpoint_id, reason=reason)
        finally:
            del self._disabling[endpoint_id]

    # Sweeping.

    async def _sweep_now_and_then(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._sweep()
            except DATABASE_ERRORS as error:
                log.warning("sweep_failed", error=repr(error))
            await pause(SWEEP_SECONDS, self._stopping)

    async def _sweep(self) -> None:
        async with self._pool.acquire() as session:
            for shard in await self._known_shards(session):
                gone = ROWS_AT_ONCE
                while gone >= ROWS_AT_ONCE and not self._stopping.is_set():
                    swept = await SQL.sweep(
                        session,
                        shard=shard,
                        real_now=clock.real_now(),
                        kept=INBOX_KEPT,
                        limit=ROWS_AT_ONCE,
                    )
                    gone = swept["gone"]


async def _survived(work: Awaitable[ResultT]) -> ResultT | None:
    """What the work returned; None if it failed, whatever the reason: refunds go on beside it."""
    try:
        return await work
    except DATABASE_ERRORS as error:
        log.warning("deliveries_interrupted", error=repr(error))
    except Exception:
        log.exception("deliveries_failed")
    return None


def _leased(shard: int, row: "Record") -> Leased:
    return Leased(
        book=BookRef(
            shard=shard,
            book_id=BookId(row["book_id"]),
            merchant_id=row["merchant_id"],
            merchant_name=row["merchant_name"],
            mode=row["mode"],
        ),
        endpoint_id=row["endpoint_id"],
        event_number=row["event_number"],
        attempts=row["attempts"],
        tries=row["tries"],
        url=row["url"],
        sealed_secret=row["sealed_secret"],
        sealed_previous=row["sealed_previous"],
        event_id=row["event_id"],
        body=row["body"].encode(),
    )

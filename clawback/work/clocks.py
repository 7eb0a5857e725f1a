"""Moves the clocks of test books from due time to due time, ours and the sandbox provider's.

While a clock is being moved, what falls due in its book is done here, in order of its time and
one after the other, and nowhere else: the schedule leaves such books alone. One worker moves a
clock at a time, by a lock that ends with its session; another goes on when it is gone. At each
step the provider is asked first: it does what is due, and its notices have arrived before the
next step. Deliveries to merchants are queued by then, not awaited.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from clawback import clock, logs
from clawback.balances.model import TopUp
from clawback.db import pool, queries
from clawback.lanes.lanes import Lanes
from clawback.providers.port import Sandbox
from clawback.route import BookRef, Kept
from clawback.simulation.model import Clock, MoveClock, StopClock
from clawback.work.schedule import Reader, Schedule, book_of

if TYPE_CHECKING:
    from asyncpg import Connection, Record

SQL: Final = queries.load(__package__, "clocks.sql")
CHANNEL: Final = "clawback_clock"
LOOK_SECONDS: Final = 0.25
AWAY_SECONDS: Final = 0.5
AT_ONCE: Final = 100
"""Things that are due, read at once."""

NOTICE_WAITS: Final = (0.001, 0.002, 0.003, 0.005, 0.01, *(0.02,) * 100)
"""How long notices that are on their way are waited for, 2 s in all."""

STUCK_WAITS: Final = (0.0, 0.01, 0.02, 0.05, 0.1, *(0.2,) * 10)
"""When a thing that stays due is tried again, 2 s in all; then the clock goes on without it."""

_SECOND: Final = timedelta(seconds=1)

log = logs.get_logger()


class Clocks:
    """Moves clocks until it is stopped."""

    def __init__(
        self,
        dsn: str,
        lanes: Lanes,
        reader: Reader,
        schedule: Schedule,
        sandboxes: Sequence[Sandbox],
    ) -> None:
        """`schedule` knows how to do what is due; `sandboxes` are asked at each step."""
        self._dsn = dsn
        self._lanes = lanes
        self._reader = reader
        self._schedule = schedule
        self._sandboxes = sandboxes
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        """Who holds it may speak on the line: a connection does one thing at a time."""

        self._moving: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    def stop(self) -> None:
        """Take no further step."""
        self._is_stopping = True
        self._news.set()

    async def run(self) -> None:
        """Look whenever a clock is asked to move, and now and then; returns once stopped."""
        while not self._is_stopping:
            try:
                line = await pool.connect(self._dsn, application_name="clawback clocks")
            except pool.AWAY as error:
                log.warning("clocks_not_reached", error=repr(error))
                await asyncio.sleep(AWAY_SECONDS)
                continue
            try:
                await line.add_listener(CHANNEL, lambda *_: self._news.set())
                await self._serve(line)
            except pool.AWAY as error:
                log.warning("clocks_lost", error=repr(error))
            finally:
                await self._let_go()
                line.terminate()

    async def _serve(self, line: "Connection") -> None:
        while not self._is_stopping and not line.is_closed():
            self._news.clear()
            async with self._turn:
                shards = [row["shard"] for row in await self._schedule.shards(line)]
                rows = await SQL.moving_clocks(line, shards=shards)
            for row in rows:
                await self._take(line, book_of(row))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)

    async def _take(self, line: "Connection", book: BookRef) -> None:
        """Move this clock, unless it is being moved already, here or elsewhere."""
        if book.book_id in self._moving:
            return
        async with self._turn:
            row = await SQL.hold_clock(line, book_id=book.book_id)
        if not row["is_held"]:
            return
        work = self._schedule.guarded(f"{book.book_id}:clock", self._move(line, book))
        self._moving[book.book_id] = asyncio.create_task(work)

    async def _let_go(self) -> None:
        """Wait until no step is under way: without the line the locks are gone."""
        while self._moving:
            await asyncio.wait(self._moving.values())

    async def _move(self, line: "Connection", book: BookRef) -> None:
        try:
            while not self._is_stopping and not line.is_closed() and await self._step(book):
                pass
        finally:
            try:
                await self._release(line, book)
            finally:
                del self._moving[book.book_id]
                self._news.set()

    async def _release(self, line: "Connection", book: BookRef) -> None:
        async with self._turn:
            if not line.is_closed():
                await SQL.let_clock_go(line, book_id=book.book_id)

    async def _step(self, book: BookRef) -> bool:
        """Do all that is due, then move on; False once there is nothing to move to."""
        head = await self._head(book)
        target, offset = head["clock_target_seconds"], head["clock_offset_seconds"]
        if target is None:
            return False
        provider_next_at = await self._do_what_is_due(book, offset)
        if offset == target:
            return not await self._stopped(book, target)
        real_now = clock.real_now()
        now = clock.book_time(real_now, offset)
        async with self._reader() as connection:
            row = await SQL.next_due_in_book(
                connection, shard=book.shard, book_id=book.book_id, at=now
            )
        nexts = [at for at in (row["next_at"], provider_next_at) if at is not None]
        wanted = min([target, *(_offset_at(at, real_now) for at in nexts)])
        await self._lanes.submit(book, MoveClock(to_seconds=max(wanted, offset + 1)), Kept())
        return True

    async def _head(self, book: BookRef) -> "Record":
        async with self._reader() as connection:
            return await SQL.read_clock(connection, shard=book.shard, book_id=book.book_id)

    async def _stopped(self, book: BookRef, target: int) -> bool:
        kept: Kept[Clock] = Kept()
        await self._lanes.submit(book, StopClock(target_seconds=target), kept)
        return kept.value is not None and kept.value.target_seconds is None

    # One moment of the book's time.

    async def _do_what_is_due(self, book: BookRef, offset: int) -> datetime | None:
        """Do all that is due at this offset; returns when the provider does something next."""
        await self._schedule.wait_for(book)
        tries: dict[tuple[str, datetime], int] = {}
        while True:
            next_at, is_quiet = await self._ask_providers(book, offset)
            has_done = await self._do_rows(book, offset, tries)
            if is_quiet and not has_done:
                return next_at

    async def _ask_providers(self, book: BookRef, offset: int) -> tuple[datetime | None, bool]:
        """When they do something next, and whether nothing that they told was on its way."""
        nexts: list[datetime] = []
        is_quiet = True
        for sandbox in self._sandboxes:
            for wait in NOTICE_WAITS:
                book_time = clock.book_time(clock.real_now(), offset)
                ahead = await sandbox.look_ahead(book=book.book_id, book_time=book_time)
                if ahead is not None and ahead.untold == 0:
                    nexts += [ahead.next_at] if ahead.next_at is not None else []
                    break
                is_quiet = False
                await asyncio.sleep(wait)
            else:
                log.warning("sandbox_not_quiet", book_id=book.book_id)
                is_quiet = True
        return min(nexts, default=None), is_quiet

    async def _do_rows(
        self, book: BookRef, offset: int, tries: dict[tuple[str, datetime], int]
    ) -> bool:
        """Do what is due, the earliest first; False if there was nothing that could be done."""
        now = clock.book_time(clock.real_now(), offset)
        async with self._reader() as connection:
            head = await SQL.read_clock(connection, shard=book.shard, book_id=book.book_id)
            rows = await SQL.due_in_book(
                connection, shard=book.shard, book_id=book.book_id, at=now, limit=AT_ONCE
            )
        if head["top_up_due"]:
            await self._lanes.submit(book, TopUp(), Kept())
        left = [row for row in rows if tries.get(_name(row), 0) < len(STUCK_WAITS)]
        for row in left:
            tried = tries[_name(row)] = tries.get(_name(row), 0) + 1
            await asyncio.sleep(STUCK_WAITS[tried - 1])
            await self._schedule.do(book, row, offset)
        return bool(left) or head["top_up_due"]


def _name(row: "Record") -> tuple[str, datetime]:
    return row["name"], row["due_at"]


def _offset_at(at: datetime, real_now: datetime) -> int:
    """The offset, in whole seconds, at which this time of the book has come."""
    return -((real_now - at) // _SECOND)

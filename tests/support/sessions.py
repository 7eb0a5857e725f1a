"""Lanes that are driven one statement at a time, so that every order of their steps can be tried.

A `Session` is a lane over a real connection. It stops before each statement of its batch until it
is told to go on. Whether it waits for a lock is what PostgreSQL says of it (`pg_blocking_pids`),
never a time-out. After each step all sessions have come to rest: stopped, blocked, or done.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import permutations
from typing import Final

import asyncpg

from clawback.ids import BookId, Mint
from clawback.lanes.command import Command, Reads
from clawback.lanes.failures import CommitUnknown
from clawback.lanes.lane import Lane
from clawback.lanes.queue import Outcome, Work
from clawback.lanes.records import Changes, Rows
from clawback.lanes.store import Store
from clawback.route import BookRef, IdempotencyKey
from clawback.tables import RULES
from tests.support import books

LOOK_SECONDS: Final = 0.002
REST_SECONDS: Final = 20.0
_BLOCKED: Final = "SELECT cardinality(pg_blocking_pids($1)) > 0"
_DEADLOCKS: Final = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

Order = tuple[int, ...]
"""Whose step comes next: numbers of sessions."""


def all_orders(sessions: int, steps: int) -> Iterator[Order]:
    """Every order of so many steps of each session."""
    yield from _orders([steps] * sessions)


def _orders(left: list[int]) -> Iterator[Order]:
    if not any(left):
        yield ()
    for number, steps in enumerate(left):
        if steps:
            rest = [*left[:number], steps - 1, *left[number + 1 :]]
            yield from ((number, *order) for order in _orders(rest))


def some_orders(sessions: int, steps: int, many: int, draw: random.Random) -> list[Order]:
    """So many orders drawn at random, or all there are; taking turns, which surely meet, is one."""
    turns = list(range(sessions)) * steps
    found: dict[Order, None] = {tuple(turns): None}
    for _ in range(20 * many):
        if len(found) == many:
            break
        draw.shuffle(turns)
        found[tuple(turns)] = None
    return list(found)


def serial_orders(sessions: int, steps: int) -> list[Order]:
    """One after the other, in every order of the sessions."""
    return [
        tuple(number for number in one for _ in range(steps))
        for one in permutations(range(sessions))
    ]


class GatedStore(Store):
    """A lane's connection that stops before each statement. `lose` loses the answer to COMMIT."""

    def __init__(self, dsn: str, name: str) -> None:
        """All gates open."""
        super().__init__(dsn, name)
        self.is_gated = False
        self.lose: str | None = None
        self.at: str | None = None
        self.last: str | None = None
        self.moved = asyncio.Event()
        self._go = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The backend's process, if there is one."""
        connection = self._connection
        if connection is None or connection.is_closed():
            return None
        return int(connection.get_server_pid())

    def go(self) -> None:
        """Let the next statement pass."""
        self.at = None
        self.moved.clear()
        self._go.set()

    async def _gate(self, step: str) -> None:
        if self.is_gated:
            self._go.clear()
            self.at = step
            self.moved.set()
            await self._go.wait()
        self.last = step

    async def begin(self) -> None:
        """Stop, then do it."""
        await self._gate("begin")
        await super().begin()

    async def load(
        self,
        shard: int,
        books: Iterable[BookId],
        reads: Sequence[tuple[BookId, Reads]],
        keys: Sequence[tuple[BookId, str, str]],
    ) -> Rows:
        """Stop, then do it; what a batch discovers is loaded under its head rows at once."""
        if self.last != "load":
            await self._gate("load")
        return await super().load(shard, books, reads, keys)

    async def apply(self, shard: int, marker: str | None, at: datetime, changes: Changes) -> None:
        """Stop, then do it."""
        await self._gate("apply")
        await super().apply(shard, marker, at, changes)

    async def commit(self) -> None:
        """Stop, then do it; if its answer is to be lost, with or without an effect, end there."""
        await self._gate("commit")
        lose, self.lose = self.lose, None
        if lose != "before":
            await super().commit()
        if lose is not None:
            await self.drop()
            raise CommitUnknown(f"cut {lose} it")

    async def rollback(self) -> None:
        """Stop, then do it."""
        await self._gate("rollback")
        await super().rollback()

    async def has_marker(self, shard: int, books: Iterable[BookId], marker: str) -> bool:
        """Stop, then do it."""
        await self._gate("marker")
        return await super().has_marker(shard, books, marker)


class Session:
    """One lane, and the batch that it is taken through."""

    def __init__(self, dsn: str, name: str, watcher: asyncpg.Connection) -> None:
        """Idle."""
        self.store = GatedStore(dsn, name)
        self.lane = Lane(self.store, RULES, Mint())
        self._watcher = watcher
        self._task: asyncio.Task[None] | None = None
        self._works: list[Work] = []
        self.waited: Counter[str] = Counter()
        """How often it was seen waiting for a lock, by statement."""
        self.stuck = asyncio.Event()
        """Set once it was seen waiting."""
        self.early = 0
        """How often a caller had its answer while COMMIT was still to be sent."""

    async def serve(self, works: list[Work]) -> None:
        """A batch without any stop."""
        assert not self.store.is_gated
        await self.lane._serve(works[0].book.shard, works)

    def take(self, works: list[Work]) -> None:
        """The batch to be stepped through; it begins with the first step."""
        self._works, self._task = works, None
        self.store.is_gated = True

    async def step(self) -> None:
        """Begin, or let one statement pass; a session that is blocked or done has none."""
        if self._task is None:
            self.store.moved.clear()
            self._task = asyncio.create_task(
                self.lane._serve(self._works[0].book.shard, self._works)
            )
        elif self.store.at is not None:
            self._check_answers()
            self.store.go()

    def _check_answers(self) -> None:
        if self.store.at == "commit":
            self.early += any(one.future is not None and one.future.done() for one in self._works)

    @property
    def is_done(self) -> bool:
        """Whether its batch has ended."""
        return self._task is not None and self._task.done()

    def _is_at_rest(self) -> bool:
        return self.store.at is not None or self.is_done

    async def rest(self) -> None:
        """Until it stops before a statement, is done, or waits for a lock."""
        if self._task is None:
            return
        end = asyncio.get_running_loop().time() + REST_SECONDS
        while not self._is_at_rest():
            stopped = asyncio.create_task(self.store.moved.wait())
            await asyncio.wait(
                {stopped, self._task},
                timeout=LOOK_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            stopped.cancel()
            if self._is_at_rest():
                break
            pid = self.store.pid
            if pid is not None and await self._watcher.fetchval(_BLOCKED, pid):
                self.waited[str(self.store.last)] += 1
                self.stuck.set()
                return
            assert asyncio.get_running_loop().time() < end, f"no rest after {self.store.last}"

    async def end(self) -> list[Outcome]:
        """What its callers were told."""
        assert self._task is not None
        await self._task
        self.store.is_gated = False
        futures = [one.future for one in self._works if one.future is not None]
        assert all(one.done() for one in futures), "a caller was left without an answer"
        return [one.result() for one in futures]


class Stage:
    """Sessions on one database, and a connection that watches them."""

    def __init__(self, dsn: str, watcher: asyncpg.Connection, sessions: int) -> None:
        """Idle sessions."""
        self.dsn = dsn
        self.watcher = watcher
        self.sessions = [Session(dsn, f"session {one}", watcher) for one in range(sessions)]

    async def play(self, order: Order, batches: Sequence[list[Work]]) -> list[list[Outcome]]:
        """Take the batches through this order of steps, and then to their end."""
        playing = self.sessions[: len(batches)]
        for session, works in zip(playing, batches, strict=True):
            session.take(works)
        for number in order:
            await playing[number].step()
            await self._rest(playing)
        while not all(session.is_done for session in playing):
            for session in playing:
                await session.step()
                await self._rest(playing)
        return [await session.end() for session in playing]

    async def _rest(self, playing: Sequence[Session]) -> None:
        for session in playing:
            await session.rest()

    async def deadlocks(self) -> int:
        """How many the database has counted."""
        return int(await self.watcher.fetchval(_DEADLOCKS))

    @property
    def waited(self) -> Counter[str]:
        """Where sessions were seen waiting for a lock."""
        return sum((session.waited for session in self.sessions), Counter())

    @property
    def retries(self) -> int:
        """Batches that were tried again."""
        return sum(session.lane.retries for session in self.sessions)

    @property
    def early(self) -> int:
        """Answers that came before COMMIT had returned."""
        return sum(session.early for session in self.sessions)


@asynccontextmanager
async def staged(dsn: str, sessions: int) -> AsyncIterator[Stage]:
    """A stage that is there for a while."""
    watcher = await asyncpg.connect(dsn)
    stage = Stage(dsn, watcher, sessions)
    try:
        yield stage
    finally:
        for session in stage.sessions:
            await session.store.drop()
        await watcher.close()


def work(book: BookRef, command: Command, key: IdempotencyKey | None = None) -> Work:
    """A command whose caller waits for its answer."""
    return Work(book, command, books.shown, key, asyncio.get_running_loop().create_future())

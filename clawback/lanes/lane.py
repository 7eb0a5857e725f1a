"""A lane: one task, one connection, the shards it serves in turn.

While a batch commits, new commands queue; the next batch takes them all. So a commit's cost is
shared by as many commands as arrived meanwhile, latency stays low when idle, and a hot book costs
no more than any other. A command is decided in its turn on what the commands before it left, all
changes go out in one call, and callers hear of it after COMMIT. A batch that fails is loaded
again and retried, then split until the poisonous command stands alone. A caller that goes away
does not cancel its command.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec
from clawback import logs

from clawback import clock
from clawback.errors import (
    IdempotencyConflict,
    IdempotencyInProgress,
    InternalError,
    Overloaded,
    Refused,
    Unavailable,
)
from clawback.ids import BookId, ClaimId, Mint, opaque
from clawback.lanes.command import Command, Decide, Decided, NotLoaded, Reads
from clawback.lanes.records import KeyRow
from clawback.lanes.state import BookState, Draft
from clawback.lanes.store import CommitUnknown, LockedOut, Lost, Retry, Store
from clawback.lanes.working import RenderObject, WorkingSet
from clawback.route import Answer, BookRef, IdempotencyKey

MAX_LANES: Final = 4
MAX_BATCH: Final = 250
QUEUE_PER_SHARD: Final = 500
QUEUE_PER_BOOK: Final = 400
TRIES: Final = 3
RECONNECT_SECONDS: Final = (0.05, 0.5, 1.0)
MARKER_WAIT_SECONDS: Final = 20.0

ResponseT = TypeVar("ResponseT")
Outcome = Answer | Refused

log = logs.get_logger()


class Work:
    """A queued command with everything that its answer needs."""

    __slots__ = ("book", "command", "future", "key", "render")

    def __init__(
        self,
        book: BookRef,
        command: Command,
        render: Callable[..., Answer] | None,
        key: IdempotencyKey | None,
        future: "asyncio.Future[Outcome] | None",
    ) -> None:
        """`render` and `future` are None for work that nobody waits for."""
        self.book = book
        self.command = command
        self.render = render
        self.key = key
        self.future = future

    def answer(self, outcome: Outcome) -> None:
        """Tell the caller, if it is still there."""
        if self.future is not None and not self.future.done():
            self.future.set_result(outcome)


class _Queue:
    """A shard's waiting work, taken book by book in turn so that none starves the others."""

    def __init__(self) -> None:
        self.size = 0
        self._books: OrderedDict[BookId, deque[Work]] = OrderedDict()

    def put(self, work: Work) -> bool:
        """Queue it; False when the shard's queue or the book's share of it is full."""
        waiting = self._books.get(work.book.book_id)
        if self.size >= QUEUE_PER_SHARD or (waiting and len(waiting) >= QUEUE_PER_BOOK):
            return False
        if waiting is None:
            waiting = self._books[work.book.book_id] = deque()
        waiting.append(work)
        self.size += 1
        return True

    def take(self) -> list[Work]:
        """The next batch: one command of each book in turn, at most MAX_BATCH."""
        batch: list[Work] = []
        while self._books and len(batch) < MAX_BATCH:
            book_id, waiting = self._books.popitem(last=False)
            batch.append(waiting.popleft())
            if waiting:
                self._books[book_id] = waiting
        self.size -= len(batch)
        return batch


class Rules(msgspec.Struct, frozen=True):
    """What the slices tell the lanes at start-up: how to decide, and how objects are shown."""

    decide: Mapping[type, Decide]
    render: Mapping[type, RenderObject]


class _Batch:
    """One try at deciding some work on rows loaded under their books' head rows."""

    def __init__(self, rules: Rules, store: Store, shard: int, works: Sequence[Work]) -> None:
        self._rules = rules
        self._store = store
        self._shard = shard
        self.works = works
        self.books = sorted({work.book.book_id for work in works})
        self._working = WorkingSet()
        self._now = clock.real_now()
        self.marker = opaque("", size=12)
        self.outcomes: list[Outcome] = []
        self.follow_up: list[Work] = []

    async def run(self) -> None:
        """Begin, load, decide each in turn, apply; what is left is the commit, if any.

        Raises: Retry, LockedOut, Lost; an apply that refuses is a bug of one of the commands.
        """
        await self._store.begin()
        await self._load(
            [(work.book.book_id, work.command.reads()) for work in self.works],
            [
                (work.book.book_id, work.key.route, work.key.key)
                for work in self.works
                if work.key is not None
            ],
        )
        for work in self.works:
            self.outcomes.append(await self._decide_loading(work))
        changes = self._working.changes(self._rules.render)
        self.is_changed = any(getattr(changes, name) for name in changes.__struct_fields__)
        if self.is_changed:
            await self._store.apply(self._shard, self.marker, self._now, changes)

    async def _load(
        self, reads: list[tuple[BookId, Reads]], keys: list[tuple[BookId, str, str]]
    ) -> None:
        rows = await self._store.load(self._shard, self.books, reads, keys)
        self._working.fill(rows, reads, keys)

    async def _decide_loading(self, work: Work) -> Outcome:
        """Decide; what is missing is loaded under the same head rows, then it is decided again."""
        while True:
            try:
                return self._decide(work)
            except NotLoaded as missing:
                await self._load([(work.book.book_id, missing.reads)], [])
            except Exception:  # noqa: BLE001 - a bug in one command must not fail its neighbours
                log.exception("command_failed", command=type(work.command).__name__)
                return InternalError()

    def _decide(self, work: Work) -> Outcome:
        state = self._working.books[work.book.book_id]
        now = clock.book_time(self._now, state.head.clock_offset_seconds)
        draft = state.draft(now)
        if work.key is not None:
            found = _find_key(draft, state, work, work.key, self._now)
            if found is not None:
                return found
        decided = self._rules.decide[type(work.command)](draft, work.command, now)
        if isinstance(decided, Refused):
            return decided
        answer = Answer(204, b"") if work.render is None else work.render(decided.response)
        draft.merge()
        if work.key is not None:
            _store_key(state, work.key, decided, answer, self._now)
        self.follow_up += [Work(work.book, one, None, None, None) for one in decided.follow_up]
        return answer


def _find_key(
    draft: Draft, state: BookState, work: Work, key: IdempotencyKey, real_now: datetime
) -> Outcome | None:
    """What an earlier request under this key left: its answer, a conflict, or nothing."""
    row = state.keys[key.route, key.key]
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        return None if _is_spent(draft, row, real_now) else IdempotencyConflict()
    if row.body is not None and row.status is not None:
        if _is_spent(draft, row, real_now):
            return None
        return Answer(row.status, row.body.encode(), row.location, replayed=True)
    if work.command.completes_key:
        return None
    return IdempotencyInProgress(object_id=row.object_id)


def _is_spent(draft: Draft, row: KeyRow, real_now: datetime) -> bool:
    """Whether the key's life is over: its time is up and no claim under it is still open."""
    if real_now < row.expires_at:
        return False
    if row.object_id is None or not row.object_id.startswith("CLM-"):
        return True
    claim = draft.claim(ClaimId(row.object_id))
    return claim is None or not claim.is_open


def _store_key(
    state: BookState, key: IdempotencyKey, decided: Decided, answer: Answer, real_now: datetime
) -> None:
    """Note the key with its answer, in the same commit as the effect."""
    place = (key.route, key.key)
    hours = state.book.idempotency_hours
    state.keys[place] = KeyRow(
        book_id=state.book.book_id,
        route=key.route,
        key=key.key,
        fingerprint=key.fingerprint,
        object_id=decided.object_id,
        status=answer.status if decided.is_answered else None,
        location=answer.location if decided.is_answered else None,
        body=answer.body.decode() if decided.is_answered else None,
        created_at=real_now,
        expires_at=real_now + timedelta(hours=hours),
    )
    state.touched_keys[place] = None


class Lane:
    """Serves its shards, one batch at a time, over one connection."""

    def __init__(self, dsn: str, number: int, rules: Rules, mint: Mint) -> None:
        """Connects on first use; `run` does the work."""
        self._store = Store(dsn, f"clawback lane {number}")
        self._rules = rules
        self._mint = mint
        self._queues: OrderedDict[int, _Queue] = OrderedDict()
        self._wake = asyncio.Event()
        self.is_idle = True
        self.retries = 0
        self.batches = 0

    def put(self, work: Work) -> bool:
        """Queue the work; False if there is no room."""
        queue = self._queues.get(work.book.shard)
        if queue is None:
            queue = self._queues[work.book.shard] = _Queue()
        accepted = queue.put(work)
        self._wake.set()
        return accepted

    @property
    def waiting(self) -> int:
        """Commands that wait for their batch."""
        return sum(queue.size for queue in self._queues.values())

    async def run(self) -> None:
        """Serve until cancelled; shards take turns, one a batch."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self.waiting:
                    self.is_idle = False
                    shard, queue = self._queues.popitem(last=False)
                    self._queues[shard] = queue
                    if queue.size:
                        await self._serve(shard, queue.take())
                self.is_idle = True
        finally:
            await self._store.drop()

    async def _serve(self, shard: int, works: Sequence[Work]) -> None:
        """Bring some work to its end, whatever the database does; never raises."""
        self.batches += 1
        refusal: Refused = Unavailable()
        for attempt in range(TRIES):
            try:
                await self._once(shard, works)
            except Retry as failed:
                self.retries += 1
                log.warning("batch_retried", reason=str(failed), constraint=failed.constraint)
                await self._store.rollback()
                works = self._renamed(works, failed)
                refusal = InternalError()
                await asyncio.sleep(random.uniform(0, 0.005) * attempt)  # noqa: S311 - jitter
            except LockedOut as failed:
                log.warning("batch_locked_out", reason=str(failed))
                await self._store.rollback()
                return self._refuse(works, Unavailable())
            except Lost as failed:
                log.warning("batch_lost_connection", reason=str(failed))
                await self._store.drop()
                refusal = Unavailable()
                await asyncio.sleep(RECONNECT_SECONDS[attempt])
            except Exception:  # noqa: BLE001 - the lane's edge: it must go on serving
                log.exception("batch_failed", commands=len(works))
                await self._store.rollback()
                return await self._split(shard, works, InternalError())
            else:
                return None
        return await self._split(shard, works, refusal)

    def _renamed(self, works: Sequence[Work], failed: Retry) -> Sequence[Work]:
        """Mint names anew if another process had one of them first."""
        if failed.constraint in {"claims_pkey", "payments_pkey"}:
            unix_ms = clock.milliseconds(clock.real_now())
            for work in works:
                work.command = work.command.minted_anew(self._mint, unix_ms)
        return works

    async def _split(self, shard: int, works: Sequence[Work], refusal: Refused) -> None:
        """Halve a failing batch until the command at fault stands alone and is refused."""
        if len(works) == 1 or isinstance(refusal, Unavailable):
            return self._refuse(works, refusal)
        middle = len(works) // 2
        await self._serve(shard, works[:middle])
        return await self._serve(shard, works[middle:])

    def _refuse(self, works: Sequence[Work], refusal: Refused) -> None:
        for work in works:
            work.answer(refusal)

    async def _once(self, shard: int, works: Sequence[Work]) -> None:
        batch = _Batch(self._rules, self._store, shard, works)
        await batch.run()
        if batch.is_changed:
            try:
                await self._store.commit()
            except CommitUnknown as unknown:
                log.warning("commit_unknown", marker=batch.marker, reason=str(unknown))
                has_committed = await self._find_marker(shard, batch)
                if has_committed is None:
                    return self._refuse(works, InternalError())
                if not has_committed:
                    raise Retry(None, unknown) from unknown
        else:
            await self._store.rollback()
        for work, outcome in zip(works, batch.outcomes, strict=True):
            work.answer(outcome)
        for work in batch.follow_up:
            self.put(work)
        return None

    async def _find_marker(self, shard: int, batch: _Batch) -> bool | None:
        """Whether the batch committed after all; None if nobody could tell: never tried again."""
        deadline = clock.monotonic() + MARKER_WAIT_SECONDS
        while clock.monotonic() < deadline:
            try:
                return await self._store.has_marker(shard, batch.books, batch.marker)
            except (Lost, LockedOut, Retry):
                await self._store.drop()
                await asyncio.sleep(0.2)
        return None


class Lanes:
    """All lanes of a process: the only door to money and claims."""

    def __init__(self, dsn: str, shards: int, rules: Rules, mint: Mint) -> None:
        """One lane per shard, at most four; shards beyond that share them."""
        self._lanes = [Lane(dsn, one, rules, mint) for one in range(min(shards, MAX_LANES))]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    def start(self) -> None:
        """Start the lanes' tasks on the running loop."""
        self._tasks = [asyncio.create_task(lane.run()) for lane in self._lanes]
        self._is_open = True

    async def drain(self, seconds: float) -> None:
        """Take no more work, finish what is queued, then stop; unfinished work is refused."""
        self._is_open = False
        deadline = clock.monotonic() + seconds
        while any(lane.waiting or not lane.is_idle for lane in self._lanes):
            if clock.monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(
        self,
        book: BookRef,
        command: Command,
        render: Callable[[ResponseT], Answer] | None,
        key: IdempotencyKey | None = None,
    ) -> Outcome:
        """Decide a command in its book's order; returns after its commit, or its refusal.

        Refuses: Unavailable while draining, Overloaded when the queue has no room.
        """
        if not self._is_open:
            return Unavailable()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        lane = self._lanes[book.shard % len(self._lanes)]
        if not lane.put(Work(book, command, render, key, future)):
            return Overloaded()
        return await future

    def post(self, book: BookRef, command: Command) -> bool:
        """Queue a command that nobody waits for; False if there is no room."""
        lane = self._lanes[book.shard % len(self._lanes)]
        return self._is_open and lane.put(Work(book, command, None, None, None))

    @property
    def counters(self) -> dict[str, int]:
        """Batches run and batches tried again, for the metrics."""
        return {
            "batches": sum(lane.batches for lane in self._lanes),
            "retries": sum(lane.retries for lane in self._lanes),
        }

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
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from clawback import clock, logs
from clawback.errors import (
    InternalError,
    Refused,
    Unavailable,
)
from clawback.ids import BookId, Mint, opaque
from clawback.lanes.bundle import decide_bundle
from clawback.lanes.command import NotLoaded, Reads
from clawback.lanes.failures import CommitUnknown, LockedOut, Lost, Retry
from clawback.lanes.keys import find_any, find_key, store_key
from clawback.lanes.queue import Outcome, Queue, Work
from clawback.lanes.store import Store
from clawback.lanes.working import Rules, WorkingSet
from clawback.route import Answer

TRIES: Final = 3
CHUNK: Final = 32
SHARED: Final = 4
"""Of a batch with so many commands for each of its books the first are written while the next are
decided: such books have one batch under way at a time. Elsewhere whole batches cost less."""
RECONNECT_SECONDS: Final = (0.05, 0.5, 1.0)
MARKER_WAIT_SECONDS: Final = 20.0


ResultT = TypeVar("ResultT")

log = logs.get_logger()


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
        self.is_changed = False
        self._writing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Begin, load, decide each in turn, apply in chunks; what is left is the commit, if any.

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
        try:
            chunk = CHUNK if len(self.works) >= SHARED * len(self.books) else len(self.works)
            for place in range(0, len(self.works), chunk):
                for work in self.works[place : place + chunk]:
                    large = work.command.fills_batch
                    decided = self._large(work) if large else self._loading(self._decide, work)
                    self.outcomes.append(await decided)
                await self._apply()
        finally:
            await self._applied()

    async def _apply(self) -> None:
        """Send the changes so far; the next commands are decided while they are written."""
        changes = self._working.take_changes(self._rules.render)
        if not any(getattr(changes, name) for name in changes.__struct_fields__):
            return
        marker = None if self.is_changed else self.marker
        self.is_changed = True
        await self._applied()
        write = self._store.apply(self._shard, marker, self._now, changes)
        self._writing = asyncio.create_task(write)
        await asyncio.sleep(0)

    async def _applied(self) -> None:
        """Wait until what was sent is written. Raises what the write raised, once."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _load(
        self, reads: list[tuple[BookId, Reads]], keys: list[tuple[BookId, str, str]]
    ) -> None:
        await self._applied()
        keys = [*keys, *((book_id, *key) for book_id, read in reads for key in read.keys)]
        rows = await self._store.load(self._shard, self.books, reads, keys)
        self._working.fill(rows, reads, keys)

    async def _loading(self, step: Callable[[Work], ResultT], work: Work) -> ResultT:
        """Take the step; what is missing is loaded under the same head rows, then it is retaken."""
        while True:
            try:
                return step(work)
            except NotLoaded as missing:
                await self._load([(work.book.book_id, missing.reads)], [])

    async def _large(self, work: Work) -> Outcome:
        state = self._working.books[work.book.book_id]
        found = await self._loading(lambda one: find_any(state, one, self._now), work)
        return found or await decide_bundle(
            work, state, lambda one: self._loading(self._decide, one), self.follow_up
        )

    def _decide(self, work: Work) -> Outcome:
        state = self._working.books[work.book.book_id]
        now = clock.book_time(self._now, state.head.clock_offset_seconds)
        draft = state.draft(now)
        if work.key is not None:
            found = find_key(draft, state, work, work.key, self._now)
            if found is not None:
                return found
        decided = self._rules.decide[type(work.command)](draft, work.command, now)
        if isinstance(decided, Refused):
            return decided
        answer = Answer(204, b"") if work.render is None else work.render(decided.response)
        draft.merge()
        if work.key is not None:
            store_key(state, work.key, decided, answer, self._now)
        self.follow_up += [Work(work.book, one, None, None, None) for one in decided.follow_up]
        return answer


class Lane:
    """Serves its shards, one batch at a time, over one connection."""

    def __init__(self, store: Store, rules: Rules, mint: Mint) -> None:
        """The store connects on first use; `run` does the work."""
        self._store = store
        self._rules = rules
        self._mint = mint
        self._queues: OrderedDict[int, Queue] = OrderedDict()
        self._wake = asyncio.Event()
        self.is_idle = True
        self.retries = 0
        self.batches = 0

    def put(self, work: Work) -> bool:
        """Queue the work; False if there is no room."""
        queue = self._queues.get(work.book.shard)
        if queue is None:
            queue = self._queues[work.book.shard] = Queue()
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
            for queue in self._queues.values():
                while queue.size:
                    self._refuse(queue.take(), Unavailable())
            self.is_idle = True
            await self._store.drop()

    async def _serve(self, shard: int, works: Sequence[Work]) -> None:
        """Bring some work to its end, whatever the database does; raises only when cancelled."""
        try:
            await self._try(shard, works)
        except asyncio.CancelledError:
            self._refuse(works, Unavailable())
            raise

    async def _try(self, shard: int, works: Sequence[Work]) -> None:
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
            except Exception:
                log.exception(
                    "batch_failed", commands=[type(one.command).__name__ for one in works][:5]
                )
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
            except asyncio.CancelledError:
                self._refuse(works, InternalError())
                raise
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
            except (Lost, LockedOut, Retry) as failed:
                log.warning("marker_not_read", marker=batch.marker, reason=str(failed))
                await self._store.drop()
                await asyncio.sleep(0.2)
        return None

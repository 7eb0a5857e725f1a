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
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from clawback import clock, logs
from clawback.errors import InternalError, Refused, Unavailable
from clawback.ids import BookId, Mint, opaque
from clawback.lanes.bundle import decide_bundle
from clawback.lanes.command import NotLoaded, Reads
from clawback.lanes.failures import CommitUnknown, LockedOut, Lost, Retry
from clawback.lanes.keys import find_any, find_key, store_key
from clawback.lanes.queue import MAX_BATCH, Outcome, Queue, Turns, Work
from clawback.lanes.store import Store
from clawback.lanes.working import Rules, WorkingSet
from clawback.route import Answer

TRIES: Final = 3
CHUNK: Final = 32
GROWTH: Final = 3
SHARED: Final = 4
"""A batch with at least SHARED commands for each of its books is written in chunks, each GROWTH
times the one before, while the next commands are decided: such books have one batch under way at
a time. Elsewhere, and after the first chunk, few large writes cost less."""
RECONNECT_SECONDS: Final = (0.05, 0.5, 1.0)
MARKER_WAIT_SECONDS: Final = 20.0


ResultT = TypeVar("ResultT")

log = logs.get_logger()


class _Batch:
    """One try at deciding some work on rows loaded under their books' head rows."""

    def __init__(
        self, rules: Rules, store: Store, shard: int, works: list[Work], queue: Queue
    ) -> None:
        self._rules = rules
        self._store = store
        self._shard = shard
        self._queue = queue
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
        await self._load_for(self.works)
        self._now = clock.real_now()  # under the head rows: a book's times never run backwards
        room = 0 if self.works[0].command.fills_batch else MAX_BATCH - len(self.works)
        boarded = self._queue.board(self.books, len(self.works), room)
        if boarded:
            self.works += boarded
            await self._load_for(boarded)
        try:
            place, chunk = 0, CHUNK if len(self.works) >= SHARED * len(self.books) else MAX_BATCH
            while place < len(self.works):
                for work in self.works[place : place + chunk]:
                    large = work.command.fills_batch
                    decided = self._large(work) if large else self._loading(self._decide, work)
                    self.outcomes.append(await decided)
                place, chunk = place + chunk, chunk * GROWTH
                await self._apply()
        finally:
            await self._applied()

    async def _load_for(self, works: Sequence[Work]) -> None:
        await self._load(
            [(one.book.book_id, one.command.reads()) for one in works],
            [(one.book.book_id, one.key.route, one.key.key) for one in works if one.key],
        )

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
        state = self._working.books.get(work.book.book_id)
        if state is None:
            return Unavailable()
        found = await self._loading(lambda one: find_any(state, one, self._now), work)
        return found or await decide_bundle(
            work, state, lambda one: self._loading(self._decide, one), self.follow_up
        )

    def _decide(self, work: Work) -> Outcome:
        state = self._working.books.get(work.book.book_id)
        if state is None:
            return Unavailable()  # it is held, to be moved to another database
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
        self._turns = Turns()
        self.is_idle = True
        self.retries = 0
        self.failures = 0
        self.batches = 0

    def put(self, work: Work) -> bool:
        """Queue the work; False if there is no room."""
        return self._turns.put(work)

    @property
    def waiting(self) -> int:
        """Commands that wait for their batch."""
        return self._turns.waiting

    async def run(self) -> None:
        """Serve until cancelled; shards take turns, one a batch."""
        try:
            while True:
                shard, works = await self._turns.take()
                self.is_idle = False
                begin = clock.monotonic()
                await self._serve(shard, works)
                self._turns.note(len(works), clock.monotonic() - begin)
                self.is_idle = True
        finally:
            self._refuse(self._turns.clear(), Unavailable())
            self.is_idle = True
            await self._store.drop()

    async def _serve(self, shard: int, works: list[Work]) -> None:
        """Bring some work to its end, whatever the database does; raises only when cancelled."""
        try:
            await self._try(shard, works)
        except asyncio.CancelledError:
            self._refuse(works, Unavailable())
            raise

    async def _try(self, shard: int, works: list[Work]) -> None:
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
                self.failures += 1
                log.exception(
                    "batch_failed", commands=[type(one.command).__name__ for one in works][:5]
                )
                await self._store.rollback()
                return await self._split(shard, works, InternalError())
            else:
                return None
        return await self._split(shard, works, refusal)

    def _renamed(self, works: list[Work], failed: Retry) -> list[Work]:
        """Mint names anew if another process had one of them first."""
        if failed.constraint in {"claims_pkey", "payments_pkey"}:
            unix_ms = clock.milliseconds(clock.real_now())
            for work in works:
                work.command = work.command.minted_anew(self._mint, unix_ms)
        return works

    async def _split(self, shard: int, works: list[Work], refusal: Refused) -> None:
        """Halve a failing batch until the command at fault stands alone and is refused."""
        if len(works) == 1 or isinstance(refusal, Unavailable):
            return self._refuse(works, refusal)
        middle = len(works) // 2
        await self._serve(shard, works[:middle])
        return await self._serve(shard, works[middle:])

    def _refuse(self, works: Sequence[Work], refusal: Refused) -> None:
        for work in works:
            work.answer(refusal)

    async def _once(self, shard: int, works: list[Work]) -> None:
        batch = _Batch(self._rules, self._store, shard, works, self._turns.queue(shard))
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

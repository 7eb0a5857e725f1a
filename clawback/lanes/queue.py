"""A lane's waiting commands, shard by shard and book by book in turn, so that none starves.

Each queue is bounded, and so is each book's share of it: when there is no room a command is
refused at once and nothing is done. How a lane chooses its next batch is decided here.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from clawback import clock
from clawback.errors import Refused
from clawback.ids import BookId
from clawback.lanes.command import Command
from clawback.route import Answer, BookRef, IdempotencyKey

MAX_BATCH: Final = 250
QUEUE_PER_SHARD: Final = 500
QUEUE_PER_BOOK: Final = 400
GATHERED: Final = 16
GATHER_SECONDS: Final = 0.012
LARGE_PER_BOOK: Final = 4
"""Large commands of a book that may wait."""

Outcome = Answer | Refused


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


class Queue:
    """A shard's waiting work, taken book by book in turn so that none starves the others."""

    def __init__(self) -> None:
        self.size = 0
        self._books: OrderedDict[BookId, deque[Work]] = OrderedDict()

    def put(self, work: Work) -> bool:
        """Queue it; False when the shard's queue or the book's share of it is full."""
        waiting = self._books.get(work.book.book_id)
        if work.command.fills_batch and waiting and _large(waiting) >= LARGE_PER_BOOK:
            return False
        if self.size >= QUEUE_PER_SHARD or (waiting and len(waiting) >= QUEUE_PER_BOOK):
            return False
        if waiting is None:
            waiting = self._books[work.book.book_id] = deque()
        waiting.append(work)
        self.size += 1
        return True

    def take(self) -> list[Work]:
        """The next batch: one command of each book in turn, at most MAX_BATCH; large ones alone."""
        batch: list[Work] = []
        is_full = False
        while self._books and len(batch) < MAX_BATCH and not is_full:
            book_id, waiting = self._books.popitem(last=False)
            is_full = waiting[0].command.fills_batch
            if is_full and batch:
                self._books[book_id] = waiting
                self._books.move_to_end(book_id, last=False)
                break
            batch.append(waiting.popleft())
            if waiting:
                self._books[book_id] = waiting
        self.size -= len(batch)
        return batch

    def board(self, books: Iterable[BookId], least: int, room: int) -> list[Work]:
        """More work of these books, at most `room`; none if fewer than `least` are waiting.

        A large command boards nothing, and what is behind it waits for its turn.
        """
        found = [name for name in books if name in self._books]
        if sum(len(self._books[name]) for name in found) < least:
            return []
        batch: list[Work] = []
        for name in found:
            waiting = self._books[name]
            while waiting and len(batch) < room and not waiting[0].command.fills_batch:
                batch.append(waiting.popleft())
            if not waiting:
                del self._books[name]
        self.size -= len(batch)
        return batch


class Turns:
    """The queues of a lane's shards, which take turns, one a batch."""

    def __init__(self) -> None:
        self._queues: OrderedDict[int, Queue] = OrderedDict()
        self._wake = asyncio.Event()
        self._size = 0
        self._seconds = 0.0

    def queue(self, shard: int) -> Queue:
        """The queue of a shard."""
        found = self._queues.get(shard)
        if found is None:
            found = self._queues[shard] = Queue()
        return found

    def put(self, work: Work) -> bool:
        """Queue it; False if there is no room."""
        accepted = self.queue(work.book.shard).put(work)
        self._wake.set()
        return accepted

    @property
    def waiting(self) -> int:
        """Commands that wait for their batch."""
        return sum(queue.size for queue in self._queues.values())

    async def take(self) -> tuple[int, list[Work]]:
        """The next shard's batch, as soon as there is one."""
        while not self.waiting:
            self._wake.clear()
            await self._wake.wait()
        while True:
            shard, queue = self._queues.popitem(last=False)
            self._queues[shard] = queue
            if queue.size:
                await self._gather(queue)
                return shard, queue.take()

    def note(self, size: int, seconds: float) -> None:
        """How large the last batch was, and how long it took."""
        self._size, self._seconds = max(size, self._size // 2), seconds

    async def _gather(self, queue: Queue) -> None:
        """After a full batch, give its callers a moment to come back with their next commands.

        A batch pays for its statements once: a few early comers would pay for them alone. Who is
        not busy does not wait, and nobody waits while another shard has work.
        """
        if self._size < GATHERED or self.waiting > queue.size:
            return
        deadline = clock.monotonic() + min(self._seconds / 4, GATHER_SECONDS)
        for _ in range(int(GATHER_SECONDS * 1000)):
            if queue.size >= self._size * 3 // 4 or clock.monotonic() > deadline:
                break
            await asyncio.sleep(0.001)

    def clear(self) -> list[Work]:
        """All that waits, taken out: the lane ends."""
        left = []
        for queue in self._queues.values():
            while queue.size:
                left += queue.take()
        return left


def _large(waiting: Iterable[Work]) -> int:
    return sum(work.command.fills_batch for work in waiting)

"""A shard's waiting commands, taken book by book in turn, so that none starves the others.

The queue is bounded, and so is each book's share of it: when there is no room a command is refused
at once and nothing is done.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from clawback.errors import Refused
from clawback.ids import BookId
from clawback.lanes.command import Command
from clawback.route import Answer, BookRef, IdempotencyKey

MAX_BATCH: Final = 250
QUEUE_PER_SHARD: Final = 500
QUEUE_PER_BOOK: Final = 400
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


def _large(waiting: Iterable[Work]) -> int:
    return sum(work.command.fills_batch for work in waiting)

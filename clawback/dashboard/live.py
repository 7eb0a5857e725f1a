"""News by server-sent events: that something in the book has changed, never what.

Open pages then fetch their parts anew, by the way that any page takes, so a stream can show nothing
that its reader may not see. One question a second serves all streams of a process. A stream ends
with its session's rights, after ten minutes, and when the process drains; browsers come again.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakKeyDictionary

from starlette.responses import Response, StreamingResponse

from clawback import clock
from clawback.dashboard import sessions
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.house import House
from clawback.dashboard.rendering import HEADERS
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.db import pool
from clawback.route import BookRef

LOOK_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 600.0
RIGHTS_SECONDS: Final = 15.0
MOST: Final = 500
"""Streams of a process."""


class Watch:
    """Looks at the books that streams are open for, once a second for all of them."""

    def __init__(self, house: House) -> None:
        """Nobody listens yet."""
        self._house = house
        self._books: dict[str, tuple[int, int]] = {}
        self._numbers: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return sum(many for _, many in self._books.values())

    def join(self, book: BookRef) -> None:
        """A stream of this book begins."""
        _, many = self._books.get(book.book_id, (0, 0))
        self._books[book.book_id] = (book.shard, many + 1)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    def leave(self, book: BookRef) -> None:
        """A stream of this book ends."""
        shard, many = self._books[book.book_id]
        if many > 1:
            self._books[book.book_id] = (shard, many - 1)
        else:
            del self._books[book.book_id]
            self._numbers.pop(book.book_id, None)

    def number(self, book: BookRef) -> int | None:
        """The number of the book's last event, as last seen."""
        return self._numbers.get(book.book_id)

    async def _look(self) -> None:
        while self._books and not self._house.is_stopping():
            books = {name: shard for name, (shard, _) in self._books.items()}
            try:
                async with self._house.services.reader() as connection:
                    rows = await SQL.read_heads(
                        connection, shards=list(books.values()), books=list(books)
                    )
            except pool.AWAY:
                rows = []
            for row in rows:
                if row["book_id"] in self._books:
                    self._numbers[row["book_id"]] = row["event_number"]
            await asyncio.sleep(LOOK_SECONDS)


_WATCHES: WeakKeyDictionary[House, Watch] = WeakKeyDictionary()


async def stream(visit: Visit) -> Response:
    """The stream of a book."""
    watch = _WATCHES.setdefault(visit.house, Watch(visit.house))
    if watch.streams >= MOST:
        return Response(status_code=503, headers={"retry-after": "30"})
    return StreamingResponse(_news(visit, watch), 200, HEADERS, "text/event-stream")


async def _news(visit: Visit, watch: Watch) -> AsyncIterator[bytes]:
    book, told = visit.held.book, None
    now = clock.monotonic()
    until, look_at, spoke = now + LONGEST_SECONDS, now + RIGHTS_SECONDS, now
    watch.join(book)
    try:
        yield b"retry: 3000\n\n"
        while now < until and not visit.house.is_stopping():
            number = watch.number(book)
            if number is not None and number != told:
                told, spoke = number, now
                yield b"data: %d\n\n" % number
            elif now - spoke > RIGHTS_SECONDS:
                spoke = now
                yield b": still here\n\n"
            await asyncio.sleep(LOOK_SECONDS / 4)
            now = clock.monotonic()
            if now > look_at:
                look_at = now + RIGHTS_SECONDS
                if not await _still_may(visit):
                    yield b"event: end\ndata: signed out\n\n"
                    return
    finally:
        watch.leave(book)


async def _still_may(visit: Visit) -> bool:
    """Whether the session lasts and the person still holds a role in the book."""
    async with visit.house.services.reader() as connection:
        found = await sessions.find_person(connection, visit.person.token, clock.real_now())
    return found is not None and found[0].holds(visit.held.book.book_id) is not None


PAGES: Final = (BookPage("/live", stream, SEE),)

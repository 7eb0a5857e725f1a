"""Lists as files: the rows that the page's own reads give, piece by piece, as many as people read.

Whoever takes a list along is noted in the book's acts. The role is looked at again before each
piece, so that a right lost on the way ends the file; a book has few such files on the way at once.
A file that is not the whole list says so in its last line.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from starlette.responses import Response, StreamingResponse

from clawback.dashboard import csvs, people
from clawback.dashboard.asking import Json
from clawback.dashboard.guard import Visit
from clawback.dashboard.house import House
from clawback.dashboard.words import Speech
from clawback.errors import Overloaded, Refused
from clawback.lists import MAX_TOTAL

MOST: Final = MAX_TOTAL
"""Rows of a file; an entry with all its postings counts once."""
AT_ONCE: Final = 2
STEP: Final = 100

_CUT: Final = ("There are more than {many} row.", "There are more than {many} rows.")
_BROKEN: Final = ("Broken off after {many} row.", "Broken off after {many} rows.")

Line = Sequence[object]

_RUNNING: WeakKeyDictionary[House, Counter[str]] = WeakKeyDictionary()


class Piece(msgspec.Struct, frozen=True):
    """Some rows of a list as lines, and after which of them the next begin; None at the end.

    `is_cut`: there are more rows, but no way to the next.
    """

    lines: Sequence[Line]
    rows: int
    after: str | None
    is_cut: bool = False


Fetch = Callable[[str | None], Awaitable[Piece | Refused]]
"""The piece of a list after a row; None for the first."""


class Listing(msgspec.Struct, frozen=True):
    """A list to keep: its name, the titles of its columns, what it is filtered by, its rows."""

    name: str
    titles: Sequence[str]
    filters: Mapping[str, str]
    fetch: Fetch


def read_api(
    visit: Visit,
    path: str,
    filters: Mapping[str, str],
    lines_of: Callable[[Json], Iterable[Line]],
) -> Fetch:
    """The list behind a path of the API, each row as `lines_of` it."""

    async def fetch(after: str | None) -> Piece | Refused:
        found = await visit.ask.get(path, **filters, limit=STEP, after=after)
        if isinstance(found, Refused):
            return found
        lines = [line for row in found["data"] for line in lines_of(row)]
        return Piece(lines, len(found["data"]), found["pagination"]["next"])

    return fetch


async def export_list(visit: Visit, listing: Listing) -> Response:
    """A list as CSV. Refuses: Overloaded, what its reads refuse."""
    book = visit.held.book
    running = _RUNNING.setdefault(visit.house, Counter())
    if running[book.book_id] >= AT_ONCE:
        return visit.refused(Overloaded())
    first = await listing.fetch(None)
    if isinstance(first, Refused):
        return visit.refused(first)
    note = " ".join(f"{key}={value}" for key, value in listing.filters.items())[:500] or None
    async with visit.house.services.writer() as connection:
        by, place = people.By(visit.person.actor), people.place_of(book)
        action = f"{listing.name}_exported"
        await people.note(connection, place, action, book.book_id, by, note)
    headers = csvs.file_headers(listing.name)
    return StreamingResponse(_send(visit, listing, first), 200, headers, "text/csv; charset=utf-8")


async def _send(visit: Visit, listing: Listing, first: Piece) -> AsyncIterator[str]:
    running, book = _RUNNING[visit.house], visit.held.book.book_id

    async def fetch(after: str | None) -> Piece | None:
        found = await listing.fetch(after) if await _still_may(visit) else None
        return None if isinstance(found, Refused) else found

    running[book] += 1
    try:
        yield csvs.lines([listing.titles])
        async for text in write(first, fetch, visit.speech):
            yield text
    finally:
        running[book] -= 1


async def write(
    piece: Piece,
    fetch: Callable[[str], Awaitable[Piece | None]],
    speech: Speech,
    most: int = MOST,
) -> AsyncIterator[str]:
    """A list's lines from its first piece on, then, if these are not all, one that says so.

    `fetch`: the piece after a row; None if it may not be had any more.
    """
    rows = 0
    while True:
        yield csvs.lines(piece.lines)
        rows += piece.rows
        if piece.is_cut or (piece.after is not None and rows >= most):
            yield _last(speech, *_CUT, rows)
            return
        if piece.after is None:
            return
        found = await fetch(piece.after)
        if found is None:
            yield _last(speech, *_BROKEN, rows)
            return
        piece = found


def _last(speech: Speech, one: str, several: str, rows: int) -> str:
    """A line that no row can be taken for."""
    return csvs.lines([[speech.count(one, several, rows)]])


async def _still_may(visit: Visit) -> bool:
    """Whether the person holds this role even now."""
    async with visit.house.services.reader() as connection:
        row = await people.SQL.find_role(
            connection, person_id=visit.person.person_id, book_id=visit.held.book.book_id
        )
    return row is not None and row["role"] == visit.held.role

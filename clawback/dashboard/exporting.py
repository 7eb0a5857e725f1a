"""Lists as files: the API's own rows, piece by piece, as many as people read.

Whoever takes a list along is noted in the book's acts. The role is looked at again before each
piece, so that a right lost on the way ends the file; a book has few such files on the way at once.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from starlette.responses import Response, StreamingResponse

from clawback.dashboard import csvs, people
from clawback.dashboard.asking import Json
from clawback.dashboard.guard import Visit
from clawback.dashboard.house import House
from clawback.errors import Overloaded, Refused

MOST: Final = 10_000
AT_ONCE: Final = 2
_STEP: Final = 100

_RUNNING: WeakKeyDictionary[House, Counter[str]] = WeakKeyDictionary()


async def export_list(
    visit: Visit, path: str, filters: Mapping[str, str], columns: tuple[str, ...]
) -> Response:
    """The list behind a path of the API, filtered, as CSV. Refuses: Overloaded, the call's own."""
    book, name = visit.held.book, path.strip("/")
    running = _RUNNING.setdefault(visit.house, Counter())
    if running[book.book_id] >= AT_ONCE:
        return visit.refused(Overloaded())
    first = await visit.ask.get(path, **filters, limit=_STEP)
    if isinstance(first, Refused):
        return visit.refused(first)
    note = " ".join(f"{key}={value}" for key, value in filters.items())[:500] or None
    async with visit.house.services.writer() as connection:
        by, place = people.By(visit.person.actor), people.place_of(book)
        await people.note(connection, place, f"{name}_exported", book.book_id, by, note)
    pieces = _pieces(visit, path, filters, first, columns)
    headers = csvs.file_headers(name)
    return StreamingResponse(pieces, 200, headers, "text/csv; charset=utf-8")


async def _pieces(
    visit: Visit, path: str, filters: Mapping[str, str], page: Json, columns: tuple[str, ...]
) -> AsyncIterator[str]:
    running, book = _RUNNING[visit.house], visit.held.book.book_id
    running[book] += 1
    try:
        yield csvs.lines([columns])
        sent = 0
        while True:
            yield csvs.lines([row[name] for name in columns] for row in page["data"])
            sent += len(page["data"])
            after = page["pagination"]["next"]
            if after is None or sent >= MOST or not await _still_may(visit):
                return
            found = await visit.ask.get(path, **filters, limit=_STEP, after=after)
            if isinstance(found, Refused):
                return
            page = found
    finally:
        running[book] -= 1


async def _still_may(visit: Visit) -> bool:
    """Whether the person holds this role even now."""
    async with visit.house.services.reader() as connection:
        row = await people.SQL.find_role(
            connection, person_id=visit.person.person_id, book_id=visit.held.book.book_id
        )
    return row is not None and row["role"] == visit.held.role

"""Lists: limit, offset, cursor and the pagination object (contract, section 5).

Newest first by `createdAt`, then id. Values outside the bounds are clamped; a cursor (`after`, the
id of the last row of the page before) goes on without counting anything.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from clawback.errors import Refused

MAX_OFFSET: Final = 10_000
MAX_TOTAL: Final = 10_000
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
MAX_KNOWN: Final = 10_000
"""Long lists that a process remembers."""


class ParameterRefused(Refused, frozen=True, kw_only=True):
    """A list parameter is out of its bounds, or does not go with another."""

    code = "invalid_parameter"
    message = "A query parameter is out of its bounds, or does not go with another."


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that every list takes. `from_` includes its time, `to` excludes it."""

    limit: int = DEFAULT_LIMIT
    offset: int | None = None
    after: str | None = None
    from_: datetime | None = msgspec.field(default=None, name="from")
    to: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """What part of a list is wanted."""

    limit: int
    offset: int
    after: str | None

    @property
    def counts(self) -> bool:
        """Whether the total is asked for: not behind a cursor."""
        return self.after is None


class Pagination(msgspec.Struct, frozen=True):
    """Where a page stands in its list; totals are null behind a cursor and above 10,000."""

    total: int | None
    limit: int
    offset: int | None
    pages: int | None
    next: str | None


def read_page(query: ListQuery) -> Page | Refused:
    """The page that is asked for. Refuses an offset above 10,000, and one beside a cursor."""
    offset = query.offset or 0
    if offset > MAX_OFFSET or (query.after is not None and query.offset is not None):
        return ParameterRefused(param="offset")
    return Page(min(max(query.limit, 1), MAX_LIMIT), max(offset, 0), query.after)


def paginate(page: Page, total: int | None, last_id: str | None, *, has_more: bool) -> Pagination:
    """The pagination object. `total` is counted up to one above 10,000."""
    known = page.counts and total is not None and total <= MAX_TOTAL
    return Pagination(
        total=total if known else None,
        limit=page.limit,
        offset=page.offset if page.counts else None,
        pages=-(-total // page.limit) if known and total is not None else None,
        next=last_id if has_more else None,
    )


class LongLists:
    """Lists that were found to be longer than what is counted: they are not counted again.

    Rows are never removed, so a list whose filters name only what never changes of a row stays
    long. What this process has found is forgotten with it.
    """

    def __init__(self, lasting: frozenset[str]) -> None:
        """`lasting`: the filters on what never changes of a row."""
        self._lasting = lasting
        self._known: set[tuple[object, ...]] = set()

    async def total(
        self, filters: Mapping[str, object], count: Callable[[], Awaitable[int]]
    ) -> int:
        """How long the list is, counted by `count` up to one above 10,000 unless that is known."""
        given = {name: value for name, value in filters.items() if value is not None}
        place = tuple(given.items()) if given.keys() <= self._lasting else None
        if place in self._known:
            return MAX_TOTAL + 1
        found = await count()
        if place is not None and found > MAX_TOTAL and len(self._known) < MAX_KNOWN:
            self._known.add(place)
        return found

"""Names that follow from a place in a book, so that nobody has to mint or look for them.

An entry is named by its height, an event by its time and number; both end with the book's own tail,
so that they differ between books.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final

from clawback import clock
from clawback.ids import BookId, base36

_LEAST: Final = 4
_LEAST_ENDS: Final = 36**_LEAST
_KEPT: Final = 64
"""Times whose text is kept: all events of a batch share theirs."""


def entry_id(height: int, book_id: BookId) -> str:
    """The name of a book's entry: its height, in four characters or more."""
    width = _LEAST if height < _LEAST_ENDS else _width(height)
    return f"ent_{base36(height, width).lower()}{book_id[3:]}"


def event_id(at: datetime, number: int, book_id: BookId) -> str:
    """The name of a book's event: time, number in the book, and the book's own tail."""
    return f"evt_{_stamp(at)}{base36(number, 8)}{book_id[3:]}".lower()


@lru_cache(_KEPT)
def _stamp(at: datetime) -> str:
    return base36(clock.milliseconds(at), 8)


def _width(number: int) -> int:
    """Base-36 characters that the number needs."""
    width = 1
    while number >= 36:  # noqa: PLR2004 - the base
        number //= 36
        width += 1
    return width

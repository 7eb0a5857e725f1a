"""Looking at what a command would do: the lanes' own rows and drafts, without locks or changes.

A look is a pure function of a draft, such as a decide. It is handed rows of one snapshot; what it
finds missing is read from the same snapshot, and it starts anew. Its draft is dropped.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from clawback import clock
from clawback.db import queries
from clawback.errors import Unavailable
from clawback.lanes.command import NotLoaded, Reads
from clawback.lanes.records import Rows
from clawback.lanes.state import Draft
from clawback.lanes.working import WorkingSet
from clawback.route import BookRef

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "sql/peek.sql")

ResultT = TypeVar("ResultT")

_ROWS: Final = msgspec.json.Decoder(Rows)


async def peek(
    connection: "PoolConnectionProxy",
    book: BookRef,
    reads: Reads,
    look: Callable[[Draft], ResultT],
    real_now: datetime,
) -> ResultT | Unavailable:
    """What `look` sees in the book as it stands now, on the book's clock; a held book is away."""
    working = WorkingSet()
    place = {"shard": book.shard, "book_id": book.book_id}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        working.fill(_rows(await SQL.book(connection, **place)), (), ())
        state = working.books.get(book.book_id)
        if state is None:
            return Unavailable()
        now = clock.book_time(real_now, state.head.clock_offset_seconds)
        while True:
            objects = await SQL.objects(
                connection,
                **place,
                payments=reads.payments,
                claims=reads.claims,
                claims_of=reads.claims_of,
                attempts_of=reads.attempts_of,
                facts_of=reads.facts_of,
            )
            money = await SQL.money(
                connection,
                **place,
                currencies=[account.currency for account in reads.accounts],
                names=[account.name for account in reads.accounts],
                waiting_limit=reads.waiting,
                spent_actors=[actor for actor, _ in reads.spent],
                spent_since=[since for _, since in reads.spent],
            )
            working.fill(_rows(objects), (), ())
            working.fill(_rows(money), [(book.book_id, reads)], ())
            try:
                return look(state.draft(now))
            except NotLoaded as missing:
                reads = missing.reads


def _rows(row: "Record") -> Rows:
    return _ROWS.decode(row["rows"])

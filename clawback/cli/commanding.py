"""Operators' commands that change the books: through a lane of this process, like every other one.

The lane waits for the same head rows as those of the running services, so it can be used beside
them. A commit whose answer was lost is looked up before anything is said.
"""

from typing import Any

from clawback import tables
from clawback.cli import register
from clawback.cli.output import Stop
from clawback.db import pool
from clawback.errors import Refused
from clawback.ids import Mint
from clawback.lanes.command import Command
from clawback.lanes.lanes import Lanes
from clawback.route import BookRef, Kept

DRAIN_SECONDS = 20.0


async def submit(dsn: str, merchant: str, mode: str, command: Command) -> Any:  # noqa: ANN401 - its own response
    """Decide a command on a book's lane; returns its response once it has committed.

    Raises: Stop if there is no such merchant, or the lane refuses.
    """
    connection = await pool.connect(dsn, application_name="clawback cli")
    try:
        book_id, shard = await register.find_book(connection, merchant, mode)
    finally:
        await connection.close()
    made: Kept[Any] = Kept()
    lanes = Lanes(dsn, 1, tables.RULES, Mint())
    lanes.start()
    try:
        book = BookRef(shard, book_id, merchant, merchant, mode)
        outcome = await lanes.submit(book, command, made)
    finally:
        await lanes.drain(DRAIN_SECONDS)
    if isinstance(outcome, Refused):
        raise Stop(f"it was refused: {outcome.message} ({outcome.code})", "Try again.")
    return made.value

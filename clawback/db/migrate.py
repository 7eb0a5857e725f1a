"""Migrations: numbered SQL files, forward only, each in one transaction with its own record.

A file that was applied must stay as it was: one that changed or is missing stops the run. One run
at a time, held by an advisory lock; a run that dies is simply run again. After the files the lane
functions are installed: they carry a version in their name, so that old and new processes can
work side by side. `-- clawback: no-transaction` on the first line marks a file that cannot run in
a transaction: its statements run one by one, so each of them has to bear being run again.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from clawback import clock
from clawback.db import pool, queries
from clawback.db.releases import Migration, MigrationError, Release, this_release

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["MigrationError", "is_current", "upgrade"]

SQL: Final = queries.load(__package__, "migrate.sql")
OUTSIDE: Final = "-- clawback: no-transaction"
_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)


async def upgrade(dsn: str, *, dry_run: bool = False, release: Release | None = None) -> list[str]:
    """Bring the database to this release, or to the one given.

    Returns the names of the files that were applied; of those that would be, on a dry run.
    Raises: MigrationError; the driver's errors, with everything before the failing file kept.
    """
    wanted = release or this_release()
    connection = await pool.connect(dsn, application_name="clawback migrate", role=None)
    try:
        await SQL.wait_for_turn(connection)
        await SQL.limit_waits(connection)
        waiting = await _waiting(connection, wanted.migrations)
        if not dry_run:
            await SQL.prepare(connection)
            for migration in waiting:
                await _apply(connection, migration)
            await _install(connection, wanted.functions)
        return [migration.name for migration in waiting]
    finally:
        await connection.close()


async def is_current(dsn: str, *, release: Release | None = None) -> bool:
    """Whether nothing is waiting, functions included.

    Raises: MigrationError if files changed since.
    """
    wanted = release or this_release()
    connection = await pool.connect(dsn, application_name="clawback migrate", role=None)
    try:
        if await _waiting(connection, wanted.migrations):
            return False
        names = wanted.function_names
        return not await SQL.list_missing_functions(connection, names=names)
    finally:
        await connection.close()


async def _waiting(connection: "Connection", known: Sequence[Migration]) -> Sequence[Migration]:
    """What is not applied yet; what is must be a beginning of our files, to the letter."""
    if not (await SQL.exists(connection))["found"]:
        return known
    applied = await SQL.list_applied(connection)
    if len(applied) > len(known):
        raise MigrationError(
            f"{applied[len(known)]['name']} was applied and is not in this release: it is newer"
        )
    for row, migration in zip(applied, known, strict=False):
        found = (row["number"], row["name"], row["digest"])
        if found != (migration.number, migration.name, migration.digest):
            raise MigrationError(
                f"{migration.name} is not the file that was applied (as {row['name']}): "
                "files are never changed, write a new one"
            )
    return known[len(applied) :]


async def _apply(connection: "Connection", migration: Migration) -> None:
    if migration.text.startswith(OUTSIDE):
        for statement in _statements(migration.text):
            await connection.execute(statement)
        await _note(connection, migration)
        return
    async with connection.transaction():
        await connection.execute(migration.text)
        await _note(connection, migration)


def _statements(text: str) -> list[str]:
    """The statements of a file, each ended by a semicolon at the end of a line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part for part in _END.split("\n".join(lines)) if part.strip()]


async def _note(connection: "Connection", migration: Migration) -> None:
    await SQL.note_applied(
        connection,
        number=migration.number,
        name=migration.name,
        digest=migration.digest,
        applied_at=clock.real_now(),
    )


async def _install(connection: "Connection", functions: Sequence[str]) -> None:
    async with connection.transaction():
        for text in functions:
            await connection.execute(text)

"""What `clawback db check` looks at, and the number of shards.

A database is fit if it is of this release, if what it acknowledges survives a crash, if we are
not its superuser, and if it has room for the connections of our processes.
"""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from clawback.cli import register
from clawback.cli.output import Stop
from clawback.db import migrate, pool
from clawback.lanes.lanes import MAX_LANES
from clawback.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection

ResultT = TypeVar("ResultT")

DELIVERING: Final = 4
"""Connections that a worker has for webhooks."""
PROVERS: Final = 1
"""Connections of an API process that look at whole books."""


class Check(msgspec.Struct, frozen=True):
    """One condition, what was found, and what to do if it does not hold."""

    name: str
    ok: bool
    found: str
    advice: str = ""


async def check(dsn: str) -> list[Check]:
    """Every condition. Raises: the driver's errors if the database is away."""
    return [await _schema(dsn), *await _as_owner(dsn, _look)]


async def _schema(dsn: str) -> Check:
    advice = "Run `clawback db init` or `clawback db upgrade`."
    try:
        is_current = await migrate.is_current(dsn)
    except migrate.MigrationError as error:
        return Check("schema", ok=False, found=str(error), advice="Use the right release.")
    found = "of this release" if is_current else "not of this release"
    return Check("schema", is_current, found, advice)


async def _look(session: "Connection") -> list[Check]:
    wrong = await pool.check_durability(session, allow_unsafe=True)
    version = session.get_server_version()
    room = (await register.SQL.read_room(session))["connections"]
    settings = Settings()
    processes = os.cpu_count() or 1
    needed = (processes + 1) * (MAX_LANES + settings.readers + PROVERS) + 3 + DELIVERING
    return [
        Check("server", ok=True, found=f"PostgreSQL {version.major}.{version.minor}"),
        Check("durability", not wrong, "; ".join(wrong) or "fit for money", "Set what is named."),
        Check(
            "connections",
            room >= needed,
            f"{room}, of which {processes} API processes and a worker need up to {needed}",
            "Raise max_connections, or run fewer processes, lanes or readers.",
        ),
    ]


async def set_shards(dsn: str, shards: int) -> None:
    """Choose the number of shards. Raises: Stop if books exist and it is another one."""

    async def change(session: "Connection") -> None:
        async with session.transaction():
            row = await register.SQL.count_shards(session)
            if row["shards"] == shards:
                return
            if row["books"]:
                text = f"the database has {row['shards']} shards and books on them"
                raise Stop(text, "The number of shards is fixed with the first merchant.")
            await register.SQL.drop_shards(session, shards=shards)
            await register.SQL.add_shards(session, shards=shards)

    await _as_owner(dsn, change)


async def _as_owner(dsn: str, work: "Callable[[Connection], Awaitable[ResultT]]") -> ResultT:
    session = await pool.connect(dsn, application_name="clawback db", role=None)
    try:
        return await work(session)
    finally:
        await session.close()

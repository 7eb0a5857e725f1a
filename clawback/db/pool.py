"""Connections to PostgreSQL, each with the role and the time limits of its task.

Lanes and readers work as role `clawback_app`, which may read and may call the lane functions but
cannot write the books by itself. A server that would lose acknowledged commits is refused.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import asyncpg

from clawback.db import queries

if TYPE_CHECKING:
    from asyncpg import Connection, Pool


class UnfitServer(Exception):
    """The server cannot be trusted with money as it is set up; the message says what to change."""


AWAY: Final = (
    UnfitServer,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    OSError,
    TimeoutError,
    EOFError,
)
"""The errors that mean that the database is away, starting, without room or not to be used."""
UNAVAILABLE: Final = (*AWAY, queries.Absent)
"""What a caller is told `unavailable` for: also a book that is held while it is moved."""

APP_ROLE: Final = "clawback_app"
OLDEST: Final = 15
NEWEST: Final = 18
SQL: Final = queries.load(__package__, "pool.sql")

_COMMON: Final = {"timezone": "UTC", "jit": "off"}


async def connect(dsn: str, *, application_name: str, role: str | None = APP_ROLE) -> "Connection":
    """A connection for a task of its own; `role` None keeps the login role (migrations)."""
    settings = {**_COMMON, "application_name": application_name}
    if role is not None:
        settings["role"] = role
    return await asyncpg.connect(dsn, server_settings=settings, timeout=10)


async def connect_lane(dsn: str, name: str, *, allow_unsafe: bool = False) -> "Connection":
    """A lane's connection: bounded waits, and commits that last, whatever the role's settings say.

    The session is checked as `check_durability` does.
    Raises: UnfitServer; the driver's errors.
    """
    settings = {
        **_COMMON,
        "application_name": name,
        "role": APP_ROLE,
        "lock_timeout": "5s",
        "statement_timeout": "20s",
        "idle_in_transaction_session_timeout": "30s",
        "synchronous_commit": "on",
        "plan_cache_mode": "force_generic_plan",
    }
    connection = await asyncpg.connect(dsn, server_settings=settings, timeout=5)
    with ExitStack() as undo:
        undo.callback(connection.terminate)
        await check_durability(connection, allow_unsafe=allow_unsafe)
        undo.pop_all()
    return connection


async def create_reader_pool(dsn: str, *, size: int, application_name: str) -> "Pool":
    """Connections for reads only, apart from the lanes."""
    settings = {
        **_COMMON,
        "application_name": application_name,
        "role": APP_ROLE,
        "default_transaction_read_only": "on",
        "statement_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
    }
    return await asyncpg.create_pool(
        dsn, min_size=1, max_size=size, server_settings=settings, command_timeout=10
    )


async def create_prover_pool(dsn: str, *, application_name: str) -> "Pool":
    """One read-only connection for what looks at a whole book, made when it is first needed.

    Whoever finds it taken waits: so a process proves one book at a time, on one core of the
    server. Its plans are made for the book at hand.
    """
    settings = {
        **_COMMON,
        "application_name": application_name,
        "role": APP_ROLE,
        "default_transaction_read_only": "on",
        "statement_timeout": "120s",
        "idle_in_transaction_session_timeout": "30s",
        "plan_cache_mode": "force_custom_plan",
        "max_parallel_workers_per_gather": "0",
    }
    return await asyncpg.create_pool(dsn, min_size=0, max_size=1, server_settings=settings)


async def create_writer_pool(dsn: str, *, application_name: str, size: int = 2) -> "Pool":
    """Connections for the few writes that no lane owns."""
    settings = {
        **_COMMON,
        "application_name": application_name,
        "role": APP_ROLE,
        "lock_timeout": "5s",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "30s",
    }
    return await asyncpg.create_pool(dsn, min_size=0, max_size=size, server_settings=settings)


async def check_durability(connection: "Connection", *, allow_unsafe: bool = False) -> list[str]:
    """What is wrong with the server for holding money, as this session sees it.

    Raises: UnfitServer naming the settings, unless `allow_unsafe`, which returns them instead.
    """
    major = connection.get_server_version().major
    wrong = []
    if not OLDEST <= major <= NEWEST:
        wrong.append(f"PostgreSQL {major}: use {OLDEST} to {NEWEST}")
    row = await SQL.read_durability(connection)
    wrong += [
        f"{name} is off: set {name} = on"
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if row[name] == "off"
    ]
    if row["is_superuser"]:
        wrong.append("the role is a superuser: connect as one that owns its database only")
    if wrong and not allow_unsafe:
        raise UnfitServer("this PostgreSQL must not hold money: " + "; ".join(wrong))
    return wrong

"""What tests stand on: one real PostgreSQL for the whole run, a fresh database for each that asks.

The first test process that needs the server starts it; the others find it through a file under a
lock. Databases are cloned from a sealed, migrated template. The server runs without fsync: what
these tests prove does not rest on a power cut, and the crash tests start servers of their own.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from clawback.db import migrate
from clawback.db.embedded import EmbeddedPostgres

TEMPLATE = "clawback_template"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture(scope="session")
def server(worker_id: str, testrun_uid: str) -> Iterator[EmbeddedPostgres]:
    """The run's own PostgreSQL, with a migrated template; the last test process stops it."""
    folder = Path(tempfile.gettempdir()) / f"clawback-tests-{os.getuid()}" / testrun_uid
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder / worker_id
    postgres = EmbeddedPostgres(
        folder, settings={"fsync": "off", "synchronous_commit": "on", "shared_buffers": "64MB"}
    )
    postgres.start()
    try:
        asyncio.run(_make_template(postgres))
        yield postgres
    finally:
        postgres.stop()


def dsn_of(server: EmbeddedPostgres, database: str) -> str:
    """How the owner role reaches a database of the server."""
    return server.dsn.replace("@/clawback?", f"@/{quote(database)}?")


def superuser_dsn_of(server: EmbeddedPostgres, database: str) -> str:
    """How the superuser reaches a database of the server."""
    return server.superuser_dsn.replace("@/postgres?", f"@/{quote(database)}?")


async def _make_template(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.superuser_dsn)
    await connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER clawback")
    await migrate.upgrade(dsn_of(server, TEMPLATE))
    await connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
    await connection.close()


@pytest.fixture
async def database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a migrated database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server.superuser_dsn)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER clawback")
    try:
        yield dsn_of(server, name)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()

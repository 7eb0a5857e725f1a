"""What tests stand on: one real PostgreSQL for the whole run, a fresh database for each that asks.

The first test process that needs the server has it started; all others share it. Databases are
cloned from a sealed, migrated template. The server is as durable as a real one, so nothing has to
be told to look away; the tests of crashes start servers of their own. Where memory can be written
to as a folder, all of it lies there unless TMPDIR says otherwise: a process that is killed loses
no more than on a disk.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from xdist.remote import Producer

from clawback.db.embedded import EmbeddedPostgres
from tests.holder import TEMPLATE, used_server, used_tree
from tests.support.scheduling import Modules, long_first
from tests.support.trees import Tree

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it
ROOM = 4 << 30
if (
    IN_MEMORY.is_dir()
    and os.access(IN_MEMORY, os.W_OK)
    and shutil.disk_usage(IN_MEMORY).free > ROOM
):
    os.environ.setdefault("TMPDIR", str(IN_MEMORY))
    tempfile.tempdir = None  # it is asked for anew


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Modules:
    """How several test processes share the work."""
    return Modules(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which tests are handed out."""
    long_first(items)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The run's own PostgreSQL, with a migrated template; it ends after its last user."""
    with used_server(folder_of_the_run("server")) as shared:
        yield shared


def folder_of_the_run(what: str) -> Path:
    """A folder that all test processes of this run share."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    return Path(tempfile.gettempdir()) / f"clawback-tests-{what}-{os.getuid()}-{run}"


def dsn_of(server: EmbeddedPostgres, database: str) -> str:
    """How the owner role reaches a database of the server."""
    return server.dsn.replace("@/clawback?", f"@/{quote(database)}?")


def superuser_dsn_of(server: EmbeddedPostgres, database: str) -> str:
    """How the superuser reaches a database of the server."""
    return server.superuser_dsn.replace("@/postgres?", f"@/{quote(database)}?")


@asynccontextmanager
async def new_database(server: EmbeddedPostgres, *, template: str = TEMPLATE) -> AsyncIterator[str]:
    """A database that is there for a while; yields its DSN. `template1` gives an empty one."""
    name = f"test_{secrets.token_hex(6)}"
    await _as_superuser(
        server, f"CREATE DATABASE {name} TEMPLATE {template} OWNER clawback STRATEGY file_copy"
    )
    try:
        yield dsn_of(server, name)
    finally:
        await _as_superuser(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _as_superuser(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.superuser_dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a migrated database of the test's own."""
    async with new_database(server) as dsn:
        yield dsn


@pytest.fixture
async def empty_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a database of the test's own that nobody has migrated."""
    async with new_database(server, template="template1") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def module_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The DSN of a migrated database that the tests of a module share."""
    with asyncio.Runner() as runner:
        holding = new_database(server)
        dsn = runner.run(holding.__aenter__())
        try:
            yield dsn
        finally:
            runner.run(holding.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def served() -> Iterator[Tree]:
    """The run's own `clawback dev`, with two API processes; all test processes share it.

    Tests have merchants of their own in it, script no faults of the provider and kill nothing.
    """
    with used_tree(folder_of_the_run("tree")) as tree:
        yield tree
        tree.audit()


@pytest.fixture(scope="session")
def tree(served: Tree) -> Tree:
    """The same; modules that disturb their tree have one of their own by this name."""
    return served

"""Connections do what their task may do and no more; a server that loses commits is refused."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from clawback.db import pool
from clawback.db.embedded import EmbeddedPostgres
from tests.conftest import dsn_of, new_database, superuser_dsn_of

ROLE = "SELECT current_user AS who, session_user AS login"
READS = ("books", "payments", "claims", "entries", "postings", "events", "idempotency_keys")


@asynccontextmanager
async def opened(connection: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    try:
        yield connection
    finally:
        await connection.close()


async def shown(connection: asyncpg.Connection, *names: str) -> list[str]:
    return [await connection.fetchval(f"SHOW {name}") for name in names]


async def test_a_connection_works_in_the_role_of_the_service(database: str) -> None:
    async with opened(await pool.connect(database, application_name="a test")) as connection:
        row = await connection.fetchrow(ROLE)
        assert tuple(row) == ("clawback_app", "clawback")
        names = await shown(connection, "application_name", "timezone", "jit")
        assert names == ["a test", "UTC", "off"]
        for table in READS:
            await connection.fetch(f"SELECT FROM {table}")
        for table in ("payments", "entries", "postings", "events", "heads"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the same


async def test_migrations_keep_the_role_that_logged_in(database: str) -> None:
    connecting = pool.connect(database, application_name="a test", role=None)
    async with opened(await connecting) as connection:
        assert await connection.fetchval("SELECT current_user") == "clawback"
        await connection.execute("CREATE TABLE mine ()")  # the control


async def test_readers_read_and_cannot_write(database: str) -> None:
    readers = await pool.create_reader_pool(database, size=2, application_name="a reader")
    try:
        async with readers.acquire() as connection:
            limits = await shown(
                connection, "statement_timeout", "idle_in_transaction_session_timeout"
            )
            assert limits == ["5s", "30s"]
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("UPDATE books SET settle_hours = 1")
            await connection.execute("SET statement_timeout = '10s'")
        async with readers.acquire() as connection:  # what one did does not stay for the next
            assert await shown(connection, "statement_timeout") == ["5s"]
            assert await connection.fetchval("SELECT current_user") == "clawback_app"
    finally:
        await readers.close()


async def test_writers_write_what_no_lane_owns(database: str) -> None:
    writers = await pool.create_writer_pool(database, application_name="a writer")
    try:
        async with writers.acquire() as connection:
            await connection.execute("UPDATE books SET settle_hours = 1")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("UPDATE payments SET version = 2")
    finally:
        await writers.close()


async def test_a_reader_is_cut_off_when_it_takes_too_long(database: str) -> None:
    readers = await pool.create_reader_pool(database, size=1, application_name="a reader")
    try:
        async with readers.acquire() as connection:
            await connection.execute("SET statement_timeout = '50ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await connection.execute("SELECT pg_sleep(5)")
    finally:
        await readers.close()


async def test_lanes_wait_for_locks_and_statements_with_an_end(database: str) -> None:
    lane = await pool.connect_lane(database, "a lane", allow_unsafe=False)
    async with opened(lane) as connection:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        assert await shown(connection, *names) == ["5s", "20s", "30s"]


async def test_lanes_keep_their_plans(database: str) -> None:
    """With plans of their own a call plans all its statements anew (decision 26)."""
    lane = await pool.connect_lane(database, "a lane", allow_unsafe=False)
    async with opened(lane) as connection:
        assert await shown(connection, "plan_cache_mode") == ["force_generic_plan"]
        find = await connection.prepare("SELECT FROM heads WHERE shard = ANY ($1::integer[])")
        for _ in range(8):
            await find.fetch([1])
        query = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = $1"
        assert tuple(await connection.fetchrow(query, find.get_name())) == (8, 0)


# Durability.


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that loses what it acknowledged."""
    lower = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    careless = EmbeddedPostgres(tmp_path_factory.mktemp("careless"), settings=lower)
    careless.start()
    yield careless
    careless.stop()


async def test_a_durable_server_is_fit(database: str) -> None:
    async with opened(await pool.connect(database, application_name="a test")) as connection:
        assert await pool.check_durability(connection) == []


async def test_a_careless_server_is_refused_by_the_names_of_its_settings(
    careless: EmbeddedPostgres,
) -> None:
    async with opened(await pool.connect(careless.dsn, application_name="a test")) as connection:
        with pytest.raises(pool.UnfitServer) as refused:
            await pool.check_durability(connection)
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert f"{name} is off: set {name} = on" in str(refused.value)
        assert len(await pool.check_durability(connection, allow_unsafe=True)) == 3
    with pytest.raises(pool.UnfitServer, match="fsync is off"):
        await pool.connect_lane(careless.dsn, "a lane", allow_unsafe=False)
    lane = await pool.connect_lane(careless.dsn, "a lane", allow_unsafe=True)
    await lane.close()


@pytest.mark.parametrize("lowered", ["ROLE clawback IN DATABASE {}", "DATABASE {}"])
async def test_a_lane_is_durable_whatever_was_set_for_its_role_or_database(
    server: EmbeddedPostgres, lowered: str
) -> None:
    async with new_database(server) as dsn:
        name = dsn.partition("@/")[2].partition("?")[0]
        superuser = await asyncpg.connect(server.superuser_dsn)
        async with opened(superuser):
            await superuser.execute(f"ALTER {lowered.format(name)} SET synchronous_commit = off")
        async with opened(await pool.connect(dsn, application_name="a test")) as connection:
            with pytest.raises(pool.UnfitServer, match="synchronous_commit is off"):  # the control
                await pool.check_durability(connection)
        lane = await pool.connect_lane(dsn, "a lane", allow_unsafe=False)
        async with opened(lane):
            assert await shown(lane, "synchronous_commit") == ["on"]


async def test_a_superuser_is_refused_in_whatever_role_he_works(
    server: EmbeddedPostgres, database: str
) -> None:
    dsn = superuser_dsn_of(server, database.partition("@/")[2].partition("?")[0])
    for role in (None, "clawback_app"):
        connecting = pool.connect(dsn, application_name="a test", role=role)
        async with opened(await connecting) as connection:
            with pytest.raises(pool.UnfitServer, match="the role is a superuser"):
                await pool.check_durability(connection)


class Aged:
    """A session of another PostgreSQL: only its version differs."""

    def __init__(self, connection: asyncpg.Connection, major: int) -> None:
        self.fetchrow = connection.fetchrow
        self.major = major

    def get_server_version(self) -> "Aged":
        return self


@pytest.mark.parametrize(("major", "is_fit"), [(14, False), (15, True), (18, True), (19, False)])
async def test_the_versions_that_are_tested_are_taken(
    module_database: str, major: int, *, is_fit: bool
) -> None:
    connecting = pool.connect(module_database, application_name="a test")
    async with opened(await connecting) as connection:
        wrong = await pool.check_durability(Aged(connection, major), allow_unsafe=True)
        assert wrong == ([] if is_fit else [f"PostgreSQL {major}: use 15 to 18"])


async def test_a_database_that_is_away_raises_what_the_service_knows(
    server: EmbeddedPostgres,
) -> None:
    nowhere = server.dsn.replace(str(server.socket_dir).replace(" ", "%20"), "/nowhere")
    with pytest.raises(pool.AWAY):
        await pool.connect(nowhere, application_name="a test")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await pool.connect(dsn_of(server, "no such"), application_name="a test")

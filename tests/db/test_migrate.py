"""Migrations go forward, whole files at a time, once, and can be resumed."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from clawback.db import migrate, pool
from clawback.db.embedded import EmbeddedPostgres
from clawback.db.migrate import MigrationError
from clawback.db.releases import Migration, Release, this_release
from tests.conftest import new_database
from tests.holder import ROOT

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE first (a integer);\n")
SECOND = Migration(2, "0002_second.sql", "CREATE TABLE second (a integer);\nSELECT 1;\n")
OUTSIDE = Migration(
    3,
    "0003_outside.sql",
    "-- clawback: no-transaction\n-- Neither statement may run in a transaction.\n"
    "DROP INDEX CONCURRENTLY IF EXISTS first_a_idx;\n"
    "CREATE INDEX CONCURRENTLY first_a_idx\n    ON first (a);\n",
)


def release(*files: Migration) -> Release:
    return Release(files)


async def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def tables(dsn: str) -> set[object]:
    rows = await ask(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in rows}


async def noted(dsn: str) -> list[tuple[object, ...]]:
    return await ask(dsn, "SELECT name, digest FROM migrations ORDER BY number")


def schema_of(dsn: str) -> str:
    """The schema as pg_dump tells it."""
    command = [str(EmbeddedPostgres.binary("pg_dump")), "--schema-only", "--restrict-key=a", dsn]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_fresh_database_is_brought_to_this_release(empty_database: str) -> None:
    files = this_release().migrations
    assert await migrate.is_current(empty_database) is False
    assert await migrate.upgrade(empty_database) == [file.name for file in files]
    assert await noted(empty_database) == [(file.name, file.digest) for file in files]
    assert await migrate.is_current(empty_database)
    assert await migrate.upgrade(empty_database) == []


async def test_a_stepped_database_equals_a_fresh_one(empty_database: str, database: str) -> None:
    last = this_release()
    for count in range(1, len(last.migrations)):
        step = Release(last.migrations[:count])
        assert await migrate.upgrade(empty_database, release=step) == [step.migrations[-1].name]
    await migrate.upgrade(empty_database)
    assert schema_of(empty_database) == schema_of(database)


async def test_a_dry_run_tells_and_changes_nothing(empty_database: str) -> None:
    two, names = release(FIRST, SECOND), [FIRST.name, SECOND.name]
    assert await migrate.upgrade(empty_database, dry_run=True, release=two) == names
    assert await tables(empty_database) == set()
    assert await migrate.upgrade(empty_database, release=two) == names  # the control
    assert await tables(empty_database) == {"first", "second", "migrations"}
    assert await migrate.upgrade(empty_database, dry_run=True, release=two) == []


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ((FIRST, Migration(2, SECOND.name, SECOND.text + "\n")), "0002_second.sql is not the file"),
        ((FIRST, Migration(2, "0002_else.sql", SECOND.text)), "0002_else.sql is not the file"),
        ((FIRST,), "0002_second.sql was applied and is not in this release"),
        ((SECOND,), "0002_second.sql was applied and is not in this release"),
        ((SECOND, FIRST), "is not the file that was applied"),
    ],
)
async def test_a_changed_or_missing_file_stops_the_run(
    empty_database: str, files: tuple[Migration, ...], why: str
) -> None:
    await migrate.upgrade(empty_database, release=release(FIRST, SECOND))
    for call in (migrate.upgrade, migrate.is_current):
        with pytest.raises(MigrationError, match=why):
            await call(empty_database, release=release(*files))
    three = release(FIRST, SECOND, OUTSIDE)
    assert await migrate.upgrade(empty_database, release=three) == [OUTSIDE.name]  # the control


async def test_a_file_that_fails_leaves_no_trace_and_the_ones_before_it_stay(
    empty_database: str,
) -> None:
    fails = Migration(2, SECOND.name, SECOND.text + "SELECT 1 / 0;\n")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.upgrade(empty_database, release=release(FIRST, fails))
    assert await tables(empty_database) == {"first", "migrations"}
    assert await noted(empty_database) == [(FIRST.name, FIRST.digest)]
    repaired = release(FIRST, SECOND)  # it was never applied, so it could be changed
    assert await migrate.upgrade(empty_database, release=repaired) == [SECOND.name]


async def test_a_run_that_is_killed_is_run_again(empty_database: str) -> None:
    slow = release(FIRST, Migration(2, SECOND.name, SECOND.text + "SELECT pg_sleep(60);\n"))
    run = asyncio.create_task(migrate.upgrade(empty_database, release=slow))
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    while not await ask(empty_database, kill):  # noqa: ASYNC110 - the event is in PostgreSQL
        await asyncio.sleep(0.02)
    with pytest.raises(pool.AWAY):
        await run
    assert await tables(empty_database) == {"first", "migrations"}
    again = release(FIRST, SECOND)
    assert await migrate.upgrade(empty_database, release=again) == [SECOND.name]


async def test_a_file_outside_a_transaction_runs_statement_by_statement(
    empty_database: str,
) -> None:
    unmarked = Migration(3, OUTSIDE.name, OUTSIDE.text.partition("\n")[2])
    with pytest.raises(asyncpg.ActiveSQLTransactionError):  # the control
        await migrate.upgrade(empty_database, release=release(FIRST, SECOND, unmarked))
    marked = release(FIRST, SECOND, OUTSIDE)
    assert await migrate.upgrade(empty_database, release=marked) == [OUTSIDE.name]
    rows = await ask(empty_database, "SELECT count(*) FROM pg_index WHERE indisvalid AND"
                     " indexrelid::regclass::text = 'first_a_idx'")  # fmt: skip
    assert rows == [(1,)]
    assert await migrate.is_current(empty_database, release=marked)


async def test_a_migration_gives_up_waiting_for_a_lock(empty_database: str) -> None:
    text = "CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS wait;\n"
    waits = Migration(1, "0001_waits.sql", text)
    await migrate.upgrade(empty_database, release=release(waits))
    assert await ask(empty_database, "SELECT wait FROM waits") == [("5s",)]
    impatient = "SET lock_timeout = '50ms';\nALTER TABLE waits ADD COLUMN b integer;\n"
    both = release(waits, Migration(2, "0002_locks.sql", impatient))
    holder = await asyncpg.connect(empty_database)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE waits")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await migrate.upgrade(empty_database, release=both)
        assert await migrate.upgrade(empty_database, release=both) == ["0002_locks.sql"]
    finally:
        await holder.close()


async def test_runs_at_the_same_time_take_turns(empty_database: str) -> None:
    slow = Migration(1, "0001_slow.sql", "CREATE TABLE slow ();\nSELECT pg_sleep(0.2);\n")
    runs = (migrate.upgrade(empty_database, release=release(slow)) for _ in range(4))
    assert sorted(await asyncio.gather(*runs)) == [[], [], [], [slow.name]]


async def test_a_function_that_is_missing_is_noticed_and_installed(
    server: EmbeddedPostgres,
) -> None:
    async with new_database(server) as dsn:
        (name,) = (await ask(dsn, "SELECT proname FROM pg_proc WHERE proname LIKE 'lane%'"))[0]
        await ask(dsn, f"DROP FUNCTION {name} CASCADE")
        assert await migrate.is_current(dsn) is False
        assert await migrate.upgrade(dsn) == []
        assert await migrate.is_current(dsn)


def test_the_releases_files_are_numbered_without_a_gap() -> None:
    found = this_release().migrations
    assert [file.number for file in found] == list(range(1, len(found) + 1))
    assert all(file.name.startswith(f"{file.number:04d}_") for file in found)
    assert all(len(file.digest) == 64 for file in found)


SQUAWK = {
    "prefer-robust-stmts": "a file is one transaction with its record: it is never half applied",
    "require-lock-timeout": "the runner sets it for every file",
    "require-statement-timeout": "a migration takes as long as it takes; its locks are bounded",
    "prefer-text-field": "a length is checked as it is read in, for a tenth of what a CHECK costs",
    "prefer-bigint-over-int": "what is no money has a CHECK that bounds it; money is bigint",
}
BIN = Path(sys.executable).parent
SQUAWK_PROGRAM = shutil.which("squawk", path=BIN) or shutil.which("squawk")


def squawk(*paths: Path, alone: bool = False) -> subprocess.CompletedProcess[str]:
    """`alone`: files whose statements run one by one, without a transaction around them."""
    rules = [f"--exclude={rule}" for rule in SQUAWK]
    assert SQUAWK_PROGRAM is not None
    given = ["--pg-version=15.0"] + ([] if alone else ["--assume-in-transaction"])
    command = [SQUAWK_PROGRAM, *given, *rules, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_no_file_harms_a_database_in_use(tmp_path: Path) -> None:
    """The first file is left out: it fills an empty database, where nobody waits."""
    found = sorted((ROOT / "clawback/db/migrations").glob("*.sql"))[1:]
    alone = [file for file in found if file.read_text().startswith(migrate.OUTSIDE)]
    for files, is_alone in (([one for one in found if one not in alone], False), (alone, True)):
        done = squawk(*files, alone=is_alone)
        assert done.returncode == 0, done.stdout
    harmful = tmp_path / "harmful.sql"
    harmful.write_text("ALTER TABLE payments ALTER COLUMN version TYPE bigint;\n")
    assert "changing-column-type" in squawk(harmful).stdout  # the control

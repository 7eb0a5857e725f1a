"""Queries are what their headers say; every one of the tree can be prepared."""

from pathlib import Path

import asyncpg
import pytest

from clawback.db import queries
from tests.holder import ROOT

SQL = queries.parse(
    """-- A file's own words come before the first query.

-- name: find :one (number)
-- Why it is so.
SELECT x.number, 'not -- a comment' AS text
FROM generate_series(1, 3) AS x (number)
WHERE x.number = $1;

-- name: maybe_find :maybe (number)
SELECT x.number
FROM generate_series(1, 3) AS x (number)
WHERE x.number = $1;

-- name: list_between :many (low,
--   high)
SELECT x.number
FROM generate_series($1::integer, $2::integer) AS x (number)
ORDER BY x.number;

-- name: make :exec ()
CREATE TEMPORARY TABLE made ();
"""
)


def test_a_file_gives_its_queries_by_name() -> None:
    assert list(SQL.all) == ["find", "maybe_find", "list_between", "make"]
    assert [query.kind for query in SQL.all.values()] == ["one", "maybe", "many", "exec"]
    assert SQL.list_between.parameters == ("low", "high")
    assert SQL.find.sql.startswith("SELECT x.number, 'not -- a comment'")
    assert SQL.find.sql.endswith("= $1")
    with pytest.raises(AttributeError, match="lose"):
        _ = SQL.lose


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-- name: a :one ()\nSELECT $1", "differ in parameters"),
        ("-- name: a :one (b, c)\nSELECT $1", "differ in parameters"),
        ("-- name: a :one (b, c)\nSELECT $1, $3", "differ in parameters"),
        ("-- name: a :one ()\nSELECT 1\n-- name: a :one ()\nSELECT 2", "given twice"),
        ("-- name: a :all ()\nSELECT 1", "not a query's header"),
        ("-- name: a\nSELECT 1", "not a query's header"),
        ("--name: a :one (b\nSELECT 1", "not a query's header"),
    ],
)
def test_a_header_that_lies_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        queries.parse(text)


async def test_each_kind_answers_in_its_own_way(module_database: str) -> None:
    connection = await asyncpg.connect(module_database)
    try:
        assert (await SQL.find(connection, number=2))["number"] == 2
        assert (await SQL.maybe_find(connection, number=2))["number"] == 2
        assert await SQL.maybe_find(connection, number=9) is None
        with pytest.raises(LookupError, match="query find found no row"):
            await SQL.find(connection, number=9)
        rows = await SQL.list_between(connection, high=3, low=2)  # by name, in any order
        assert [row["number"] for row in rows] == [2, 3]
        assert await SQL.list_between(connection, low=3, high=2) == []
        assert await SQL.make(connection) == "CREATE TABLE"
    finally:
        await connection.close()


async def test_names_must_be_those_of_the_header(module_database: str) -> None:
    connection = await asyncpg.connect(module_database)
    try:
        for wrong in ({}, {"numbers": 1}, {"number": 1, "more": 2}):
            with pytest.raises(TypeError, match="query find"):
                await SQL.find(connection, **wrong)
    finally:
        await connection.close()


# Every query of the tree.


def files() -> list[Path]:
    """Files of named queries for PostgreSQL; the sandbox keeps its record in SQLite."""
    found = []
    for path in sorted(ROOT.glob("clawback/**/*.sql")):
        is_ours = "sandbox" not in path.parts and "migrations" not in path.parts
        if is_ours and "-- name: " in path.read_text("utf-8"):
            found.append(path.relative_to(ROOT))
    return found


UNPREPARED = ("BEGIN", "COMMIT", "ROLLBACK", "SET ")


@pytest.mark.parametrize("path", files(), ids=str)
async def test_every_query_can_be_prepared(database: str, path: Path) -> None:
    connection = await asyncpg.connect(database)
    try:
        if "bench" in path.parts:  # its control has tables of its own
            await connection.execute((ROOT / "clawback/bench/control.sql").read_text("utf-8"))
        found = queries.parse((ROOT / path).read_text("utf-8"))
        assert found.all
        for query in found.all.values():
            if query.sql.upper().startswith(UNPREPARED):
                continue
            statement = await connection.prepare(query.sql)
            assert len(statement.get_parameters()) == len(query.parameters), query.name
    finally:
        await connection.close()


async def test_a_query_of_a_column_that_is_gone_cannot(module_database: str) -> None:
    connection = await asyncpg.connect(module_database)
    try:
        with pytest.raises(asyncpg.UndefinedColumnError):  # the control
            await connection.prepare("SELECT amount FROM payments")
    finally:
        await connection.close()

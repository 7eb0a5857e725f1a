"""Where SQL lives, who writes which table, and what a statement never asks the server for."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.tidy.schema import MIGRATIONS, tables, without_comments
from tests.tidy.sizes import functions
from tests.tidy.tree import Finding, Source, Tree, rule

LANE_SQL: Final = "clawback/lanes/sql/"
LANE_TABLES: Final = frozenset({
    "accounts", "attempts", "claims", "counters", "endpoints", "entries", "events", "facts",
    "heads", "idempotency_keys", "markers", "payments", "postings", "timeline",
})  # fmt: skip
"""And every other tenant table that a migration makes."""

STATEMENT: Final = re.compile(
    r"\A\s*(--[^\n]*\n\s*)*(?:"
    r"SELECT\s+\S|WITH\s+(RECURSIVE\s+)?\w+\s+(\([^)]*\)\s+)?AS\b|VALUES\s*\("
    r"|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\s|TRUNCATE\s+\w|COPY\s+\w+\s"
    r"|(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(UNIQUE\s+)?"
    r"(TABLE|DATABASE|ROLE|USER|FUNCTION|INDEX|SCHEMA|TYPE|SEQUENCE|TRIGGER|VIEW|EXTENSION)\b"
    r"|(GRANT|REVOKE)\s+.+\s(TO|FROM)\s|SET\s+(LOCAL|ROLE|SESSION|TRANSACTION)\b|LOCK\s+TABLE\b"
    r"|(BEGIN|COMMIT|ROLLBACK)\s*;?\s*\Z|(LISTEN|NOTIFY|UNLISTEN)\s+\w+\s*;?\s*\Z)"
    r"|\bSELECT\s.+\sFROM\s|\bINSERT\s+INTO\s+\w+\s*\(|\bDELETE\s+FROM\s+\w+\s+WHERE\b",
    re.DOTALL,
)
WRITES: Final = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+"
    r"(?:ONLY\s+)?(\w+)",
    re.IGNORECASE,
)
HEADER: Final = re.compile(r"-- name: [a-z][a-z0-9_]* :(one|maybe|many|exec) \([a-z0-9_, ]*\)")
CLOCKS: Final = re.compile(
    r"\b(random|now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\("
    r"|\b(current_timestamp|current_date|current_time|localtimestamp|localtime)\b",
    re.IGNORECASE,
)


def _texts(source: Source) -> Iterator[tuple[int, str]]:
    """The texts of a file: an f-string as one; no docstrings, nothing that is compared with."""
    inside: set[int] = set()
    for node in source.of(ast.JoinedStr):
        inside |= {id(part) for part in node.values}
        parts = [p.value if isinstance(p, ast.Constant) else "x" for p in node.values]
        yield node.lineno, "".join(str(part) for part in parts)
    for compared in source.of(ast.Compare):
        inside |= {id(part) for part in (compared.left, *compared.comparators)}
    for constant in source.of(ast.Constant):
        if isinstance(constant.value, str) and not {id(constant)} & (inside | source.docstrings):
            yield constant.lineno, constant.value


@rule(
    "sql-in-its-files",
    bad=(
        {"clawback/a.py": "x = 'SELECT 1'"},
        {"clawback/a.py": "x = f'UPDATE {table} SET a = 1'"},
        {"clawback/a.py": "await c.execute('COMMIT')"},
        {"clawback/a.py": "x = '''\n  INSERT INTO claims (a)\n  VALUES ($1)'''"},
        {"clawback/a.py": "x = 'SET ROLE clawback_app'"},
        {"clawback/a.py": "x = f'CREATE DATABASE {name}'"},
    ),
    good=(
        {
            "clawback/a.py": '"""SELECT things FROM here."""\nx = "Select payments from lists"\n'
            "y = tag != 'COMMIT'\nz = 'COMMIT was lost'\n",
        },
    ),
)
def sql_in_its_files(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        for line, text in _texts(source):
            if STATEMENT.search(text):
                about = " ".join(text.split())[:40]
                yield Finding(source.path, line, about, "SQL lives in .sql files")


@rule(
    "lane-tables",
    bad=(
        {"clawback/claims/queries.sql": "UPDATE claims SET status = 'released'"},
        {"clawback/work/queries.sql": "insert into events (shard) values (1)"},
        {
            "clawback/db/migrations/0002_x.sql": "CREATE TABLE evidence (shard int);",
            "clawback/claims/queries.sql": "DELETE FROM evidence",
        },
    ),
    good=(
        {
            "clawback/lanes/sql/apply.sql": "INSERT INTO claims (shard) VALUES (1)",
            "clawback/merchants/queries.sql": "INSERT INTO api_keys (key_id) VALUES ($1)",
            "clawback/claims/queries.sql": "-- name: x :many ()\nSELECT 1 FROM claims FOR UPDATE",
        },
    ),
)
def lane_tables(tree: Tree) -> Iterator[Finding]:
    owned = LANE_TABLES | {name for name, table in tables(tree).items() if table.is_tenant}
    for source in tree.files(".sql", under="clawback/"):
        if source.path.startswith((LANE_SQL, MIGRATIONS, "clawback/sandbox/")):
            continue
        text = without_comments(source.text)
        for found in WRITES.finditer(text):
            if found[1].lower() in owned:
                line = text.count("\n", 0, found.start()) + 1
                yield Finding(source.path, line, found[1], "only lanes/sql/ writes this table")


@rule(
    "sql-reads-no-clock",
    bad=(
        {"clawback/claims/queries.sql": "-- name: a :one ()\nSELECT now()"},
        {"clawback/lanes/sql/apply.sql": "SELECT random()"},
        {"clawback/db/migrations/0001_x.sql": "created_at timestamptz DEFAULT CURRENT_TIMESTAMP"},
        {
            "clawback/work/queries.sql": "-- name: lease_due :many ()\nSELECT now()\n"
            "-- name: other :one ()\nSELECT now()",
        },
    ),
    good=(
        {
            "clawback/work/queries.sql": "-- name: lease_due :many ()\nSELECT now()\n",
            "clawback/claims/queries.sql": "-- now() is never asked\nSELECT known_now($1)",
        },
    ),
)
def sql_reads_no_clock(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(".sql", under="clawback/"):
        line = 1
        for part in re.split(r"(?m)^(?=-- name:)", source.text):
            is_lease = source.path.startswith("clawback/work/") and "name: lease" in part
            text = without_comments(part)
            for found in () if is_lease else CLOCKS.finditer(text):
                place = line + text.count("\n", 0, found.start())
                what = found[0].strip("( ").lower()
                yield Finding(source.path, place, what, f"{what}: time and chance are handed in")
            line += part.count("\n")


@rule(
    "query-headers",
    bad=(
        {"clawback/claims/queries.sql": "-- name: load\nSELECT 1"},
        {"clawback/claims/queries.sql": "-- name: load :all (a)\nSELECT 1"},
        {"clawback/claims/queries.sql": "SELECT 1"},
    ),
    good=(
        {"clawback/claims/queries.sql": "-- name: load_claims :many (shard, ids)\nSELECT 1"},
        {"clawback/lanes/sql/batch.sql": "-- name: a :one (b,\n--   c)\n-- Why.\nSELECT 1"},
        {"clawback/lanes/sql/apply.sql": "CREATE FUNCTION f() ..."},
    ),
)
def query_headers(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(".sql", under="clawback/"):
        if source.path.startswith("clawback/sandbox/"):
            continue  # its record is SQLite's, read by its own few lines
        headers = list(_headers(source))
        for number, text in headers:
            if not HEADER.fullmatch(text):
                why = "a header reads `-- name: load_claims :many (shard, claim_ids)`"
                yield Finding(source.path, number, text, why)
        if source.path.endswith("/queries.sql") and not headers and source.text.strip():
            yield Finding(source.path, 1, "header", "a query has a name")


def _headers(source: Source) -> Iterator[tuple[int, str]]:
    """Each header with its line; one that goes on in further comment lines is put together."""
    for number, line in enumerate(source.lines):
        if not line.startswith("-- name:"):
            continue
        text, follow = line.strip(), number + 1
        while (
            ")" not in text and source.lines[follow : follow + 1] and "--" in source.lines[follow]
        ):
            text += " " + source.lines[follow].lstrip("- ").strip()
            follow += 1
        yield number + 1, text


@rule(
    "no-statement-loops",
    bad=(
        {
            "clawback/lanes/store.py": "async def apply(self):\n    for row in rows:\n"
            "        await self.c.execute(q, row)",
        },
        {
            "clawback/lanes/sql/apply.sql": "FOR r IN SELECT * FROM x LOOP\n  UPDATE y;\nEND LOOP;",
        },
    ),
    good=(
        {
            "clawback/lanes/store.py": "async def apply(self):\n    x = [f(r) for r in rows]\n"
            "    await self.c.execute(q, x)\nasync def retry(self):\n    while True:\n"
            "        await self.c.execute(q)",
        },
    ),
)
def no_statement_loops(tree: Tree) -> Iterator[Finding]:
    text = "one row or a thousand: arrays in, one statement"
    for source in tree.files("lanes/store.py"):
        for function in functions(source):
            if not function.name.lstrip("_").startswith(("apply", "load")):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.For | ast.AsyncFor | ast.While) and any(
                    isinstance(inner, ast.Await) for inner in ast.walk(node)
                ):
                    yield Finding(source.path, node.lineno, function.name, text)
    for source in tree.files(".sql", under=LANE_SQL):
        for number, line in enumerate(without_comments(source.text).splitlines(), 1):
            if re.search(r"\bLOOP\b", line, re.IGNORECASE) and "END" not in line.upper():
                yield Finding(source.path, number, "loop", text)

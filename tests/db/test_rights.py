"""What the runtime's role may do: look, and call the lanes' functions; nothing else to the books.

Entries and postings refuse changes by everybody who is bound by triggers, the owner too.
"""

import asyncpg
import pytest

from clawback.db import pool
from clawback.ids import BookId
from clawback.route import BookRef
from tests.support import books
from tests.support.books import open_book, open_lanes, proved

LEDGER = ("entries", "postings", "accounts", "heads", "claims", "payments", "events", "facts",
          "attempts", "idempotency_keys", "markers", "evidence", "reviews", "acts",
          "files")  # fmt: skip
FORBIDDEN = (
    "UPDATE {} SET shard = shard",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "INSERT INTO {} SELECT * FROM {} LIMIT 1",
    "COPY {} FROM PROGRAM 'true'",
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "DROP TABLE {}",
    "CREATE INDEX mine ON {} (shard)",
)
BOOK = BookRef(0, BookId("bk_00000001"), "MCH-1", "MCH-1", "test")


@pytest.fixture
async def filled(database: str) -> str:
    """A database with a book that has entries."""
    book = await open_book(database)
    async with open_lanes(database) as lanes:
        await books.take_payment(lanes, book)
    return database


async def _refused(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except asyncpg.PostgresError:
        return True
    return False


async def test_the_runtime_role_writes_by_the_functions_only(filled: str) -> None:
    connection = await pool.connect(filled, application_name="test of rights")
    try:
        assert await connection.fetchval("SELECT current_user") == "clawback_app"
        allowed = [
            statement
            for table in LEDGER
            for form in FORBIDDEN
            if not await _refused(connection, statement := form.replace("{}", table))
        ]
        assert allowed == []
        more = (
            "SET session_replication_role = replica",
            "CREATE TABLE mine (a int)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "ALTER ROLE clawback_app SUPERUSER",
            "SELECT lane_apply_heads_v1(0, NULL, NULL, NULL, NULL)",
            "UPDATE books SET shard = 1",
            "UPDATE books SET mode = 'live'",
            "UPDATE api_keys SET book_id = 'bk_other', scopes = NULL",
            "UPDATE api_keys SET digest = digest",
            "DELETE FROM api_keys",
            "DELETE FROM books",
        )
        assert [one for one in more if not await _refused(connection, one)] == []
        counted = [f"SELECT count(*) FROM {table}" for table in LEDGER]  # noqa: S608 - our names
        assert all([await connection.fetchval(one) is not None for one in counted])
    finally:
        await connection.close()
    async with open_lanes(filled) as lanes:  # the control: by the functions it does write
        await books.take_payment(lanes, BOOK)
    await proved(filled)


async def test_entries_postings_and_acts_refuse_their_owner_too(filled: str) -> None:
    owner = await asyncpg.connect(filled)
    try:
        for table in ("entries", "postings", "acts"):
            for form in ("UPDATE {} SET shard = shard", "DELETE FROM {}", "TRUNCATE {}"):
                assert await _refused(owner, form.replace("{}", table)), (table, form)
        assert await _refused(owner, "SET session_replication_role = replica")
        # The control: a table without such a trigger takes the same statement.
        assert not await _refused(owner, "DELETE FROM markers")
    finally:
        await owner.close()


async def test_a_lone_posting_is_refused_by_the_function(filled: str) -> None:
    """Legs that do not balance, one leg, and legs of an entry that is not there."""
    wrong = (
        '[{"leg":1,"amount":5,"seq":2,"balance_after":500005}]',
        (
            '[{"leg":1,"amount":5,"seq":2,"balance_after":5},'
            '{"leg":2,"amount":-4,"seq":3,"balance_after":1}]'
        ),
    )
    entry = (
        '[{"book_id":"bk_00000001","height":2,"entry_id":"ent_x","type":"settle","cause":"c",'
        '"created_at":"2026-05-12T20:00:00Z","effective_at":"2026-05-12T20:00:00Z",'
        f'"previous_hash":"{"0" * 64}","hash":"{"1" * 64}"}}]'
    )
    connection = await pool.connect(filled, application_name="test of rights")
    try:
        for postings in wrong:
            legs = postings.replace(
                '{"leg"',
                '{"book_id":"bk_00000001","height":2,"currency":"USD","account":"available","leg"',
            )
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(_APPLY, entry, legs, [0] * 8 + [1] + [0] * 7)
    finally:
        await connection.close()
    await proved(filled)


_APPLY = """
SELECT lane_apply_v1(0, NULL, now(), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, $1::json,
    $2::json, NULL, NULL, NULL, NULL, NULL, NULL, $3::integer[])
"""

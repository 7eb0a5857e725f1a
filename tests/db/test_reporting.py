"""The views for accountants: as documented, adding up, and all that their role can read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from clawback.currencies import EXPONENTS, book_exponent
from clawback.db import pool
from clawback.money import major_text
from clawback.payments.model import SettleDue
from tests.holder import ROOT
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund

READER: Final = "clawback_reader"
PAGE: Final = Path("docs/reference/sql-views.md")
SECRETS: Final = re.compile(
    r"digest|secret|sealed|hash_key|payer|user_name|user_email|user_phone|document|details|token"
)
"""Words of columns that no view may have."""
FIRST: Final = "SELECT * FROM {} LIMIT 1"
MINE: Final = "SELECT * FROM reporting.{} WHERE merchant_id = 'MCH-1' AND mode = 'test'"
MAJOR: Final = "SELECT reporting.major({}, '{}') AS n"


def documented() -> dict[str, list[tuple[str, str]]]:
    """Columns and types of each view, as the page says."""
    found: dict[str, list[tuple[str, str]]] = {}
    for part in re.split(r"(?m)^## reporting\.", (ROOT / PAGE).read_text(encoding="utf-8"))[1:]:
        name, _, text = part.partition("\n")
        same = re.search(r"The columns of reporting\.(\w+)", text)
        found[name] = list(found[same[1]]) if same else list(_columns(text))
    return found


def _columns(text: str) -> Iterator[tuple[str, str]]:
    for names, kind in re.findall(r"(?m)^\| (`.*) \| (\w+) \|$", text):
        yield from ((name, kind) for name in re.findall(r"`(\w+)`", names))


@pytest.fixture
async def filled(database: str) -> str:
    """A database with two merchants' books; a settled payment and a refund in one."""
    book, other = await open_book(database, settle_hours=0), await open_book(database, 2)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        await lanes.submit(book, SettleDue(payment_id=paid), None)
        await lanes.submit(book, refund(paid, "10"), None)
        await books.take_payment(lanes, other)
    return database


async def ask(dsn: str, query: str, role: str | None = READER) -> list[Any]:
    """What a role finds."""
    connection = await pool.connect(dsn, application_name="test of views", role=role)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def test_the_page_and_the_database_agree(database: str) -> None:
    rows = await ask(
        database,
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'reporting' ORDER BY table_name, ordinal_position",
    )
    short = {"timestamp with time zone": "timestamptz", "character varying": "text"}
    there: dict[str, list[tuple[str, str]]] = {}
    for view, column, kind in rows:
        there.setdefault(view, []).append((column, short.get(kind, kind)))
    assert there == documented()
    assert all(columns[:3] == [("merchant_id", "text"), ("mode", "text"), ("book_id", "text")]
               for columns in there.values())  # fmt: skip
    names = [name for columns in there.values() for name, _ in columns]
    assert not [name for name in names if SECRETS.search(name)]
    assert SECRETS.search("payer_details"), "the control"


async def test_the_reader_reads_the_views_and_nothing_else(filled: str) -> None:
    for view in documented():
        assert await ask(filled, FIRST.format(f"reporting.{view}")) is not None
    tables = await ask(
        filled,
        "SELECT relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'm', 'p')",
        role=None,
    )
    assert len(tables) > 20
    for (table,) in tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(filled, FIRST.format(table))
    for statement in (
        "SELECT lane_open_book_v1(0, 'bk_x')",
        "SELECT lane_apply_payouts_v1(0, '[]')",
        "UPDATE reporting.balances SET balance = 0",
        "DELETE FROM reporting.journal",
        "INSERT INTO reporting.payouts DEFAULT VALUES",
        "CREATE VIEW reporting.mine AS SELECT 1",
        "CREATE TABLE public.mine (a int)",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await ask(filled, statement)


async def test_the_views_say_what_the_books_say(filled: str) -> None:
    journal = await ask(filled, MINE.format("journal"))
    balances = await ask(filled, MINE.format("balances"))
    for row in balances:
        legs = [one for one in journal if (one["account"], one["currency"])
                == (row["account"], row["currency"])]  # fmt: skip
        assert sum(one["amount"] for one in legs) == row["balance"]
        assert sum(one["credit"] - one["debit"] for one in legs) == row["balance"]
        assert max(one["seq"] for one in legs) == row["postings"]
    trial = await ask(
        filled,
        "SELECT currency, sum(debit), sum(credit) FROM reporting.trial_balance"
        " WHERE merchant_id = 'MCH-1' GROUP BY currency ORDER BY currency",
    )
    assert [row[0] for row in trial] == ["MXN", "USD"]
    assert all(row[1] == row[2] > 0 for row in trial)
    (claim,) = await ask(filled, "SELECT * FROM reporting.refunds")
    assert (str(claim["amount"]), str(claim["amount_usd"])) == ("10.00", "0.5806")
    assert [
        row["claim_id"] for row in await ask(filled, "SELECT * FROM reporting.open_claims")
    ] == [claim["claim_id"]]
    payments = await ask(filled, "SELECT * FROM reporting.payments ORDER BY merchant_id")
    assert [str(row["captured"]) for row in payments] == ["861.18", "861.18"]
    heads = await ask(filled, "SELECT * FROM reporting.books ORDER BY merchant_id")
    assert [row["entries"] for row in heads] == [3, 1]
    assert {str(row["gross_volume_usd"]) for row in heads} == {"50.0000"}
    report = await proved(filled)
    assert {row["head_hash"] for row in heads} == set(report.heads.values())


async def test_amounts_are_in_major_units_of_every_currency(database: str) -> None:
    for currency in EXPONENTS:
        for minor in (0, 1, -1, 12_345, -999_999_999_999_999):
            (row,) = await ask(database, MAJOR.format(minor, currency))
            assert row["n"] == type(row["n"])(major_text(minor, book_exponent(currency)))


async def test_the_example_queries_of_the_page_run(filled: str) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    queries = [one for one in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "SELECT" in one]
    assert queries
    for query in queries:
        assert await ask(filled, query) == []

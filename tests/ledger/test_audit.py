"""The audit finds what its owner can still do: each check is tried on a book with one wrong row.

A real book is made once through the lanes; each corruption is planted in a copy of its database,
past triggers and rights. The check that is named must find it, and name the row.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import asyncpg
import pytest

from clawback.claims.fold import RecordOutcome
from clawback.db.embedded import EmbeddedPostgres
from clawback.ids import ClaimId
from clawback.ledger.audit import CHAIN, CHECKS, audit
from tests.conftest import new_database, superuser_dsn_of
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund


class Corruption(NamedTuple):
    """What is done to the data, and a word of the row that must be named."""

    statement: str
    word: str


CORRUPTIONS: Final = {
    "entries_balance": Corruption(
        "UPDATE postings SET amount = amount + 1 WHERE height = 1 AND leg = 1", '"sum":1'
    ),
    "entries_have_postings": Corruption("DELETE FROM postings WHERE height = 1", '"height":1'),
    "balances_equal_postings": Corruption(
        "UPDATE accounts SET balance = balance + 1 WHERE name = 'pending'", '"account":"pending"'
    ),
    "sequence_gapless": Corruption(
        "UPDATE postings SET balance_after = balance_after + 1"
        " WHERE account = 'pending' AND seq = 1",
        '"account":"pending"',
    ),
    "frozen_equals_claims": Corruption(
        "UPDATE accounts SET balance = balance + 1 WHERE name = 'frozen'", '"frozen":'
    ),
    "payable_equals_claims": Corruption(
        "INSERT INTO accounts SELECT shard, book_id, 'USD', 'payable', 5, 1, created_at"
        " FROM entries WHERE height = 1"
        " ON CONFLICT (shard, book_id, currency, name) DO UPDATE SET balance = 5",
        '"claimsPayable":',
    ),
    "parts_equal_payments": Corruption(
        "UPDATE payments SET pending_usd_e4 = pending_usd_e4 - 1 WHERE pending_usd_e4 > 0",
        '"paymentsPending":',
    ),
    "cap_holds": Corruption(
        "UPDATE payments SET refunded_minor = refunded_minor + 1 WHERE refunded_minor > 0",
        '"claimsRefunded":1000',
    ),
    "disputes_known": Corruption(
        "UPDATE payments SET open_dispute_id = 'CLM-MP331G7R-NONE'", '"newest":null'
    ),
    "one_case_each": Corruption(
        "UPDATE claims SET kind = 'chargeback', provider_reference = 'case', payment_id = claim_id,"
        " forced_share_minor = claimed_share_minor, claimed_share_minor = 0",
        '"case":"case"',
    ),
    "loss_equals_claims": Corruption(
        "UPDATE claims SET sources = '[[\"loss\", 5]]' WHERE status = 'released'", '"claims":5'
    ),
    "claims_worth": Corruption(
        "UPDATE claims SET claimed_before_usd_e4 = claimed_before_usd_e4 + 1"
        " WHERE status = 'released'",
        '"amountUsd":',
    ),
    "claims_equal_postings": Corruption(
        "UPDATE claims SET frozen_usd_e4 = frozen_usd_e4 - 1, missing_usd_e4 = missing_usd_e4 + 1"
        " WHERE status = 'pending' AND frozen_usd_e4 > 0",
        '"postedFrozen":',
    ),
    "heads_agree": Corruption("UPDATE heads SET waiting = waiting + 1", '"claimsWaiting":'),
    "counters_agree": Corruption(
        "UPDATE heads SET gross_volume_usd_e4 = gross_volume_usd_e4 + 1", '"postedGross":'
    ),
    "events_gapless": Corruption("DELETE FROM events WHERE number = 2", '"before":1'),
    "versions_gapless": Corruption(
        "UPDATE claims SET version = version + 1 WHERE status = 'released'", '"status":"released"'
    ),
    "one_reference_each": Corruption(
        "UPDATE attempts SET generation = generation + 1, proof = 'none' WHERE number = 2",
        '"generations":2',
    ),
    "releases_have_facts": Corruption("DELETE FROM facts", '"status":"released"'),
    "reviews_have_two_principals": Corruption(
        "UPDATE facts SET source = 'review', type = 'review.paid' WHERE type = 'refund.settled'",
        '"type":"review.paid"',
    ),
    "waiting_are_served": Corruption(
        "UPDATE heads SET waiting = 1; INSERT INTO accounts"
        " SELECT shard, book_id, 'USD', 'available', 5, 1, now() FROM heads",
        '"available":5',
    ),
    CHAIN: Corruption(
        "UPDATE entries SET cause = cause || 'x' WHERE height = 1", '"problem":"the entry does not'
    ),
}


@pytest.fixture(scope="module")
def template(server: EmbeddedPostgres) -> Iterator[str]:
    """The name of a database with a book in which something of everything has happened."""
    with asyncio.Runner() as runner:
        holding = _made(server)
        name = runner.run(holding.__aenter__())
        try:
            yield name
        finally:
            runner.run(holding.__aexit__(None, None, None))


@asynccontextmanager
async def _made(server: EmbeddedPostgres) -> AsyncIterator[str]:
    async with new_database(server) as dsn:
        book = await open_book(dsn)
        async with open_lanes(dsn) as lanes:
            paid = await books.take_payment(lanes, book)
            await lanes.submit(book, refund(paid, "20"), None)
            name = ClaimId("CLM-MP331G7R-LAST")
            await lanes.submit(book, refund(paid, "10", name), None)
            for number, status in ((1, "unknown"), (2, "settled")):
                await lanes.submit(book, books.start(name), None)
                told: RecordOutcome = books.outcome(name, 1000, status, number)
                await lanes.submit(book, told, None)
                await lanes.submit(book, books.capture(paid), None)
                await _due(dsn)
        await proved(dsn)
        yield dsn.split("@/")[1].split("?")[0]


async def _due(dsn: str) -> None:
    """What waits for its next look is due now."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE claims SET due_at = created_at WHERE due_at IS NOT NULL")
    finally:
        await connection.close()


async def _plant(server: EmbeddedPostgres, database: str, statement: str) -> None:
    connection = await asyncpg.connect(superuser_dsn_of(server, database))
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("check", CORRUPTIONS)
async def test_a_wrong_row_is_found_and_named(
    server: EmbeddedPostgres, template: str, check: str
) -> None:
    async with new_database(server, template=template) as dsn:
        await _plant(server, dsn.split("@/")[1].split("?")[0], CORRUPTIONS[check].statement)
        report = await audit(dsn)
    assert not report.clean
    found = next(one for one in report.checks if one.name == check)
    assert not found.ok
    rows = [json.dumps(json.loads(bytes(row)), separators=(",", ":")) for row in found.rows]
    assert any(CORRUPTIONS[check].word in row for row in rows), rows


async def test_what_comes_after_an_audit_has_begun_is_not_seen_by_any_of_its_checks(
    server: EmbeddedPostgres, template: str
) -> None:
    """All connections share one snapshot; an audit that begins later sees the wrong row."""
    check = CHECKS[0]
    async with new_database(server, template=template) as dsn:
        name = dsn.split("@/")[1].split("?")[0]
        plant = _plant(server, name, CORRUPTIONS[check].statement)
        begun: list[str] = []

        def told(check: str, *_: int) -> None:
            if not begun:
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(asyncio.run, plant).result()
            begun.append(check)

        report = await audit(dsn, told)
        assert report.clean, [one.name for one in report.checks if not one.ok]
        assert begun == [CHAIN, *(name for name in CHECKS if name != CHAIN), "done"]
        assert not (await audit(dsn)).clean


async def test_an_untouched_copy_is_clean(server: EmbeddedPostgres, template: str) -> None:
    async with new_database(server, template=template) as dsn:
        report = await proved(dsn)
    assert report.counts["claims"] == 2
    assert report.counts["entries"] >= 4


def test_every_check_has_been_seen_to_fail() -> None:
    assert CORRUPTIONS.keys() == {*CHECKS}

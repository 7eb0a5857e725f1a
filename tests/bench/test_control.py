"""The control writes the same rows as a real refund: otherwise the ratios would mean nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from clawback import tables
from clawback.bench import control
from clawback.bench.load import AMOUNT_MINOR
from clawback.bench.preload import Pool, capture, open_merchants, payment_id
from clawback.claims.model import OpenRefund
from clawback.ids import ClaimId, Mint
from clawback.lanes.lanes import Lanes
from clawback.money import Amount
from clawback.route import Answer, IdempotencyKey

pytestmark = pytest.mark.anyio

ANSWER = b'{"refundId":"CLM-ABCDEFGH-0001"}'
NAMED_ANEW: dict[str, set[str]] = {
    "heads": {"hash"},
    "payments": {"updated_at"},
    "accounts": {"updated_at"},
    "claims": {"claim_id", "requested_by", "created_at", "updated_at", "due_at", "expected_by"},
    "entries": {"entry_id", "cause", "claim_id", "created_at", "effective_at", "hash"},
    "postings": set(),
    "events": {"event_id", "object_id", "actor", "created_at"},
    "idempotency_keys": {
        "key", "fingerprint", "object_id", "location", "created_at", "expires_at",
    },
}  # fmt: skip
"""Columns with names, hashes and times: their values differ, but both sides set them."""

CONTROL = """
SELECT bench_control.refund(
    0, 'bk_000000000000', 'TXN-00000000-BNCH', 'CLM-00000000-BNCH', $1, 'refund-0',
    '2026-11-23T12:00:00Z', $2, $3
)
"""

Made = tuple[asyncpg.Connection, Pool, str]


@pytest.fixture
async def made(database: str) -> AsyncIterator[Made]:
    """Two merchants with payments, and the control's copy of them."""
    connection = await asyncpg.connect(database)
    merchants = await open_merchants(connection, 2)
    pool = Pool("spread", 0, 200, merchants)
    await capture(database, [pool], allow_unsafe=True)
    await control.install(connection)
    yield connection, pool, database
    await connection.close()


async def _refund_really(dsn: str, pool: Pool) -> None:
    """Refund the pool's first payment through the lanes."""
    lanes = Lanes(dsn, 2, tables.RULES, Mint(), allow_unsafe=True)
    lanes.start()
    answer = await lanes.submit(
        pool.merchants[0].book,
        OpenRefund(
            payment_id=payment_id(pool.first),
            claim_id=ClaimId("CLM-ABCDEFGH-0001"),
            amount=Amount(units=AMOUNT_MINOR, scale=2),
            reason="requested_by_customer",
            expected_remaining=None,
            actor="key:key_0123456789ab",
        ),
        lambda _: Answer(201, ANSWER, "/api/v1/claims/CLM-ABCDEFGH-0001"),
        IdempotencyKey("POST /payments/{id}/refund", "refund-0", "a" * 64),
    )
    await lanes.drain(1.0)
    assert isinstance(answer, Answer)


async def _rows(connection: asyncpg.Connection, schema: str, table: str) -> list[dict[str, Any]]:
    """The rows of the first book, as they can be compared."""
    rows = await connection.fetch(
        f"SELECT to_json(t)::text FROM {schema}.{table} AS t"  # noqa: S608 - names of ours
        f" WHERE book_id = 'bk_{0:012d}' ORDER BY t::text"
    )
    return [json.loads(row[0]) for row in rows]


async def _written(connection: asyncpg.Connection, schema: str, table: str) -> list[dict[str, Any]]:
    """What one refund wrote or changed; grown tables hold the captures' rows in public only."""
    rows = await _rows(connection, schema, table)
    match table:
        case "entries":
            return [row for row in rows if row["type"] == "freeze"]
        case "postings":
            newest = max(row["height"] for row in rows)
            return [row for row in rows if row["height"] == newest]
        case "events":
            return [row for row in rows if row["type"] == "claim.opened"]
        case "accounts":
            return [row for row in rows if row["name"] in {"pending", "frozen"}]
        case "payments":
            return [row for row in rows if row["payment_id"] == payment_id(0)]
        case _:
            return rows


@pytest.mark.parametrize("table", NAMED_ANEW)
async def test_control_writes_the_rows_of_a_real_refund(made: Made, table: str) -> None:
    connection, pool, dsn = made
    await _refund_really(dsn, pool)
    bodies = await control.read_bodies(connection)
    assert bodies.answer == ANSWER.decode()
    await connection.execute(CONTROL, AMOUNT_MINOR, bodies.event, bodies.answer)
    ours = await _written(connection, "public", table)
    theirs = await _written(connection, "bench_control", table)
    assert len(ours) == len(theirs) == {"postings": 2, "accounts": 2}.get(table, 1)
    for real, copied in zip(ours, theirs, strict=True):
        assert {name for name, value in real.items() if value is None} == {
            name for name, value in copied.items() if value is None
        }
        for name in real.keys() - NAMED_ANEW[table]:
            assert real[name] == copied[name], (table, name)


async def test_control_has_the_same_indexes_checks_and_fill_factors(made: Made) -> None:
    connection, _, _ = made
    shape = """
        SELECT c.relname, c.reloptions,
            (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid) AS indexes,
            (SELECT array_agg(x.said ORDER BY x.said)
             FROM (SELECT replace(pg_get_constraintdef(k.oid), ' NOT VALID', '') AS said
                   FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype <> 'n') AS x
            ) AS checks,
            (SELECT array_agg(a.attname::text || a.attnotnull ORDER BY a.attnum)
             FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns
        FROM pg_class AS c
        WHERE c.relkind = 'r' AND c.relnamespace = $1::text::regnamespace
        ORDER BY c.relname
    """
    real = {row["relname"]: row for row in await connection.fetch(shape, "public")}
    copies = await connection.fetch(shape, "bench_control")
    assert {row["relname"] for row in copies} == set(NAMED_ANEW)
    for row in copies:
        assert row == real[row["relname"]]


async def test_pgbench_runs_the_control_and_each_refund_is_stored_once(made: Made) -> None:
    connection, pool, dsn = made
    bodies = control.Bodies("{}", "{}")
    sample, count = await control.Control(dsn, 2, bodies).run(pool, 4, 0.3)
    stored = await connection.fetchval("SELECT count(*) FROM bench_control.claims")
    keys = await connection.fetchval("SELECT count(*) FROM bench_control.idempotency_keys")
    assert stored == keys == count
    assert 0 < sample.count < count
    assert sample.p50_us <= sample.p99_us


async def test_control_holds_the_cap(made: Made) -> None:
    connection, _, _ = made
    with pytest.raises(asyncpg.RaiseError, match="refund_exceeds_remaining"):
        await connection.execute(CONTROL, 86_119, "{}", "{}")


async def test_pgbench_that_fails_is_told(made: Made) -> None:
    _, pool, dsn = made
    gone = dsn.replace("@/", "@/no_such_")
    with pytest.raises(control.ControlFailed, match="no_such_"):
        await control.Control(gone, 2, control.Bodies("{}", "{}")).run(pool, 1, 0.1)

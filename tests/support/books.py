"""Books in a real database and the commands that fill them, for tests below HTTP.

Names of payments and claims are handed out here, so that a list of commands can be run again, cut
in other batches or through other lanes, and must leave the same rows.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import asyncpg

from clawback.claims.fold import AttemptStarted, RecordOutcome, Report, StartAttempt
from clawback.claims.model import OpenRefund
from clawback.currencies import Currency
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, Mint, PaymentId, ShopId, base36
from clawback.lanes.lane import Lane
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Claim, Payment, PaymentDetails
from clawback.lanes.store import Store
from clawback.lanes.working import Rules
from clawback.ledger.audit import Report as AuditReport
from clawback.ledger.audit import audit
from clawback.money import read_amount
from clawback.payments.model import CreatePayment, RecordCharge
from clawback.route import Answer, BookRef
from clawback.tables import RULES

START: Final = datetime(2026, 5, 12, 20, 0, tzinfo=UTC)
KEY: Final = "key:key_test"
PROVIDER: Final = "provider:sandbox"
SHOP: Final = ShopId("SHP-MP2Z7QK4-5T1C")
CAPTURED: Final = 86_118
"""What 50 USD are in MXN, in centavos."""

_NUMBERS: Final[Iterator[int]] = itertools.count(1)
_TABLES: Final = """
SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'public' AND relkind = 'r' AND relname <> 'markers' ORDER BY relname
"""
_HASH: Final = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} AS t"
_BOOK: Final = """
INSERT INTO books (book_id, shard, merchant_id, mode, api_version, approval_threshold_usd_e4,
    require_idempotency_key, idempotency_hours, reserve_percent_e4, reserve_days, settle_hours,
    credit_line_usd_e4, dispute_fee_usd_e4, fees, created_at)
VALUES ($1, $2, $3, 'test', '2026-05-12', NULL, false, 24, $4, 90, $5, $6, 150000, '{}', $7)
"""


async def open_book(
    dsn: str,
    number: int = 1,
    *,
    shard: int = 0,
    reserve_percent_e4: int = 0,
    settle_hours: int = 48,
    credit_line_usd_e4: int = 0,
) -> BookRef:
    """A new merchant's test book."""
    merchant, book = f"MCH-{number}", BookId(f"bk_{number:08d}")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("INSERT INTO merchants VALUES ($1, $1, $2)", merchant, START)
        await connection.execute(
            _BOOK,
            book,
            shard,
            merchant,
            reserve_percent_e4,
            settle_hours,
            credit_line_usd_e4,
            START,
        )
        await connection.execute("SELECT lane_open_book_v1($1, $2)", shard, book)
    finally:
        await connection.close()
    return BookRef(shard, book, merchant, merchant, "test")


@asynccontextmanager
async def open_lanes(dsn: str, rules: Rules = RULES, *, shards: int = 2) -> AsyncIterator[Lanes]:
    """Lanes as one process has them."""
    lanes = Lanes(dsn, shards, rules, Mint())
    lanes.start()
    try:
        yield lanes
    finally:
        await lanes.drain(10)


@asynccontextmanager
async def bare_lane(dsn: str, rules: Rules = RULES) -> AsyncIterator[Lane]:
    """A lane that nobody runs, so that a test can cut its batches itself."""
    store = Store(dsn, "lane under test")
    try:
        yield Lane(store, rules, Mint())
    finally:
        await store.drop()


async def hashes(dsn: str) -> dict[str, str]:
    """A hash of all rows of each table but the batches' markers."""
    connection = await asyncpg.connect(dsn)
    try:
        names = [row["relname"] for row in await connection.fetch(_TABLES)]
        return {name: await connection.fetchval(_HASH.format(name)) for name in names}
    finally:
        await connection.close()


async def until_somebody_waits(dsn: str, many: int = 1) -> None:
    """Return once so many sessions of this database wait for a lock."""
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(1000):
        if (await look(dsn, waits))[0][0] >= many:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


async def look(dsn: str, query: str, *values: object) -> list[asyncpg.Record]:
    """What a query of the owner's finds."""
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def proved(dsn: str) -> AuditReport:
    """The audit's report, which must be clean."""
    report = await audit(dsn)
    assert report.clean, [check for check in report.checks if not check.ok]
    return report


def number() -> str:
    """The tail of a name that nobody has yet."""
    return base36(next(_NUMBERS), 4)


def create(usd_e4: int = 500_000, local_minor: int = CAPTURED) -> CreatePayment:
    """A payment to be, in MXN."""
    return CreatePayment(
        payment_id=PaymentId(f"TXN-MP331BTF-{number()}"),
        shop_id=SHOP,
        amount_usd_e4=usd_e4,
        currency=Currency("MXN"),
        amount_minor=local_minor,
        provider="sandbox",
        provider_account="default",
        method_id="sbx_spei",
        method="spei",
        country="MX",
        default_fee=(0, 0),
        merchant_order_id=None,
        details=PaymentDetails(fx_rate="17.2236", fx_at=START, fx_source="test"),
        lease_until=START,
        actor=KEY,
    )


def capture(
    payment_id: PaymentId, status: str = "completed", local_minor: int = CAPTURED
) -> RecordCharge:
    """The provider says that it was paid."""
    return RecordCharge(
        payment_id=payment_id,
        status=status,
        actor=PROVIDER,
        amount_minor=local_minor,
        currency="MXN",
        window_days=180,
    )


def refund(payment_id: PaymentId, amount: str | None, claim_id: str | None = None) -> OpenRefund:
    """A refund to be, in major units."""
    return OpenRefund(
        payment_id=payment_id,
        claim_id=ClaimId(claim_id or f"CLM-MP331G7R-{number()}"),
        amount=None if amount is None else read_amount(amount),
        reason=None,
        expected_remaining=None,
        actor=KEY,
    )


def start(claim_id: ClaimId, at: datetime = START) -> StartAttempt:
    """The worker takes the claim's next step."""
    return StartAttempt(
        claim_id=claim_id,
        attempt_id=f"att_{number()}",
        real_now=at,
        lease_seconds=30,
        actor="worker",
    )


def outcome(claim_id: ClaimId, amount_minor: int, status: str, attempt: int = 1) -> RecordOutcome:
    """How an attempt ended."""
    return RecordOutcome(
        claim_id=claim_id,
        number=attempt,
        report=Report(status=status, amount_minor=amount_minor, currency="MXN"),
        fact_id=f"fct_{number()}",
        real_now=START,
        actor=PROVIDER,
    )


def shown(made: object) -> Answer:
    """A short answer that names what was made, and how it stands."""
    match made:
        case Claim():
            said = str(made.claim_id)
        case Payment():
            said = f"{made.payment_id} {made.status} {made.claimed_minor}"
        case AttemptStarted():
            said = f"{made.claim.claim_id} {made.claim.status} {made.claim.attempts}"
        case _:
            said = type(made).__name__
    return Answer(201, said.encode())


async def take_payment(lanes: Lanes, book: BookRef, local_minor: int = CAPTURED) -> PaymentId:
    """A captured payment of 50 USD."""
    wanted = create(local_minor=local_minor)
    for command in (wanted, capture(wanted.payment_id, local_minor=local_minor)):
        done = await lanes.submit(book, command, None)
        assert not isinstance(done, Refused), done
    return wanted.payment_id

"""A notice is acknowledged once it is stored, and stored once, however often it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from clawback.claims import notices
from clawback.clock import real_now
from clawback.db import pool
from clawback.egress import Egress
from clawback.errors import Refused
from clawback.ids import ClaimId
from clawback.providers import port
from clawback.providers.sandbox import SandboxProvider
from clawback.route import Answer, BookRef, ProviderAccount, ProviderCall
from clawback.sandbox import protocol
from clawback.signatures import signed_headers
from clawback.tables import Runtime
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund, shown

SECRET = "whsec_" + "c2VjcmV0" * 4
COPIES = 60


@asynccontextmanager
async def runtime(dsn: str) -> AsyncIterator[tuple[Runtime, BookRef, ClaimId]]:
    """What a process needs to take notices, and a refund that is on its way."""
    book = await open_book(dsn)
    readers = await pool.create_reader_pool(dsn, size=4, application_name="reader under test")
    writers = await pool.create_writer_pool(dsn, application_name="writer under test")
    account = ProviderAccount(SandboxProvider("http://127.0.0.1:9", "bearer"), "test", (SECRET,))
    egress = Egress(allow_loopback=False)
    try:
        async with open_lanes(dsn) as lanes:
            accounts = {("sandbox", "default"): account}
            made = Runtime(lanes, (readers, writers, readers), accounts, None, egress, "http://x")
            paid = await books.take_payment(lanes, book)
            sent = refund(paid, "10")
            await lanes.submit(book, sent, shown)
            await lanes.submit(book, books.start(sent.claim_id, real_now()), shown)
            yield made, book, sent.claim_id
    finally:
        await egress.close()
        await readers.close()
        await writers.close()
    await proved(dsn)


def notice(made: Runtime, claim_id: str, event: str = "ntc_1") -> ProviderCall:
    """The provider tells that the money has left."""
    now = real_now()
    told = protocol.Notice(
        id=event, type="refund.settled", created_at=now, book="b",
        reference=port.refund_reference(claim_id, 0, 0),
        charge_reference=port.charge_reference("TXN-MP331BTF-0001", 0),
        provider_reference="sbx_rf_1", amount_minor=1_000, currency="MXN", status="settled",
        rail_reference=None, reason=None, at=now,
    )  # fmt: skip
    body = msgspec.json.encode(told)
    headers = dict(signed_headers(SECRET, message_id=event, at=now, body=body))
    return ProviderCall("sandbox", "default", headers, body, now, made, lambda: None)


async def facts(dsn: str) -> int:
    return int((await books.look(dsn, "SELECT count(*) FROM facts"))[0][0])


async def test_a_notice_is_acknowledged_once_it_is_stored(database: str) -> None:
    async with runtime(database) as (made, _, claim_id):
        holder = await asyncpg.connect(database)
        await holder.execute("BEGIN")
        await holder.fetch("SELECT FROM heads FOR UPDATE")
        told = asyncio.create_task(notices.receive(notice(made, claim_id)))
        await books.until_somebody_waits(database)
        await asyncio.sleep(0.1)
        assert not told.done(), "acknowledged, and nothing is stored"
        assert await facts(database) == 0
        await holder.execute("COMMIT")
        await holder.close()
        assert await told == notices.RECEIVED
        assert await facts(database) == 1


async def test_a_notice_that_cannot_be_stored_is_not_acknowledged(database: str) -> None:
    """The provider sends it again, and then it is one fact."""
    async with runtime(database) as (made, _, claim_id):
        owner = await asyncpg.connect(database)
        await owner.execute("ALTER TABLE facts ADD CONSTRAINT no_room CHECK (false) NOT VALID")
        refused = await notices.receive(notice(made, claim_id))
        assert isinstance(refused, Refused)
        assert refused.code == "internal_error"
        await owner.execute("ALTER TABLE facts DROP CONSTRAINT no_room")
        await owner.close()
        for _ in range(2):
            assert await notices.receive(notice(made, claim_id)) == notices.RECEIVED
        assert await facts(database) == 1


@pytest.mark.parametrize("known", [True, False], ids=["of a claim", "of what is not there"])
async def test_many_copies_of_a_notice_at_once_are_one_fact(database: str, *, known: bool) -> None:
    async with runtime(database) as (made, _, claim_id):
        name = claim_id if known else "CLM-MP331G7R-NONE"
        told = await asyncio.gather(*(notices.receive(notice(made, name)) for _ in range(COPIES)))
        assert all(isinstance(one, Answer) for one in told)
        assert await facts(database) == 1
        events = await books.look(database, "SELECT type FROM events WHERE type LIKE 'claim.rel%'")
        assert len(events) == known

"""The worker's way to a provider: nothing is asked before the attempt is on record.

The provider is one that looks around when it is called: at the stored attempts, at open
transactions, and whether the merchant can still withdraw. The lane's COMMIT is held, or lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from clawback.claims.ending import CancelRefund
from clawback.claims.jobs import send_refund
from clawback.clock import real_now
from clawback.errors import Refused
from clawback.ids import ClaimId
from clawback.lanes.lanes import Lanes
from clawback.providers import port
from clawback.route import BookRef
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund, shown
from tests.support.proxies import proxied

OPEN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND application_name LIKE '%lane%'"
)
HEAD_SECONDS = 6.0
"""Longer than a lane waits for a lock."""


class Watching:
    """A provider that pays at once and writes down what it sees when it is asked to."""

    name = "sandbox"

    def __init__(self, dsn: str, lanes: Lanes, book: BookRef) -> None:
        self._dsn, self._lanes, self._book = dsn, lanes, book
        self.attempts: list[int] = []
        self.open_transactions: list[int] = []
        self.canceled: list[str] = []
        self.holds_head = False

    async def refund(self, request: port.RefundRequest) -> port.Outcome:
        rows = await books.look(self._dsn, "SELECT claim_id FROM attempts WHERE outcome IS NULL")
        self.attempts.append(len(rows))
        self.open_transactions.append((await books.look(self._dsn, OPEN))[0][0])
        for row in rows:
            cancel = CancelRefund(claim_id=ClaimId(row["claim_id"]), reason=None, actor=books.KEY)
            told = await self._lanes.submit(self._book, cancel, shown)
            self.canceled.append(told.code if isinstance(told, Refused) else "canceled")
        if self.holds_head:
            holder = await asyncpg.connect(self._dsn)
            await holder.execute("BEGIN")
            await holder.fetch("SELECT FROM heads FOR UPDATE")
            asyncio.get_running_loop().call_later(HEAD_SECONDS, holder.terminate)
        return port.Settled(
            provider_reference="p_1",
            rail_reference=None,
            amount_minor=request.amount_minor,
            currency=request.currency,
            settled_at=request.book_time,
        )


class Desk:
    """A worker's lanes, a due claim, and the provider."""

    def __init__(self, dsn: str, lanes: Lanes, book: BookRef, claim_id: ClaimId) -> None:
        self.dsn, self.lanes, self.book, self.claim_id = dsn, lanes, book, claim_id
        self.provider = Watching(dsn, lanes, book)

    def send(self) -> "asyncio.Task[None]":
        """The worker takes the claim's next step."""
        return asyncio.create_task(
            send_refund(
                self.lanes,
                cast("port.Provider", cast("Any", self.provider)),
                cast("Any", None),
                None,
                self.book,
                self.claim_id,
                0,
            )
        )

    async def status(self) -> str:
        return str((await books.look(self.dsn, "SELECT status FROM claims"))[0][0])


@asynccontextmanager
async def desk(dsn: str, through: str) -> AsyncIterator[Desk]:
    """A claim that is due, and lanes that reach the database through this address."""
    book = await open_book(dsn)
    async with open_lanes(through) as lanes:
        paid = await books.take_payment(lanes, book)
        due = refund(paid, "10")
        await lanes.submit(book, due, shown)
        yield Desk(dsn, lanes, book, due.claim_id)
    await proved(dsn)


def saw_it_stored(provider: Watching) -> None:
    """Called once, its attempt on record, no transaction open, and too late to withdraw."""
    assert provider.attempts == [1]
    assert provider.open_transactions == [0]
    assert provider.canceled == ["claim_in_flight"]


async def test_no_call_before_the_attempt_is_committed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(database, database) as one:
        store = one.lanes._lanes[0]._store
        usual, reached, go = store.commit, asyncio.Event(), asyncio.Event()

        async def held() -> None:
            reached.set()
            await go.wait()
            await usual()

        monkeypatch.setattr(store, "commit", held)
        sending = one.send()
        await reached.wait()
        await asyncio.sleep(0.2)
        assert one.provider.attempts == [], "called while COMMIT is still to be sent"
        go.set()
        await sending
        saw_it_stored(one.provider)
        assert await one.status() == "released"


@pytest.mark.parametrize("fault", ["cut while it runs", "cut, never sent", "cut after it"])
async def test_no_call_while_the_commit_of_the_attempt_is_in_doubt(
    database: str, fault: str
) -> None:
    async with proxied(database) as (through, proxy), desk(database, through) as one:
        proxy.fault = fault
        await one.send()
        assert proxy.fired == {fault: 1}
        saw_it_stored(one.provider)
        assert await one.status() == "released"


async def test_two_workers_at_one_claim_make_one_call(database: str) -> None:
    async with desk(database, database) as one, open_lanes(database) as others:
        two = Desk(one.dsn, others, one.book, one.claim_id)
        await asyncio.gather(one.send(), two.send())
        assert len(one.provider.attempts) + len(two.provider.attempts) == 1
        assert await one.status() == "released"


async def test_a_claim_that_was_withdrawn_is_not_sent(database: str) -> None:
    async with desk(database, database) as one:
        cancel = CancelRefund(claim_id=one.claim_id, reason=None, actor=books.KEY)
        assert not isinstance(await one.lanes.submit(one.book, cancel, shown), Refused)
        await one.send()
        assert one.provider.attempts == []
        assert await one.status() == "canceled"


async def test_an_attempt_that_was_committed_and_not_made_is_looked_up_first(
    database: str,
) -> None:
    """A worker died between its COMMIT and the socket; its lease runs out, the next one asks."""
    async with desk(database, database) as one:
        begun = books.start(one.claim_id, real_now())
        await one.lanes.submit(one.book, begun, shown)
        await one.send()
        assert one.provider.attempts == [], "the lease still runs"
        past = "UPDATE attempts SET lease_until = now() - interval '1 second'"
        await books.look(database, past)
        await books.look(database, "UPDATE claims SET due_at = now() - interval '1 second'")
        looked = await one.lanes.submit(one.book, books.start(one.claim_id, real_now()), shown)
        assert not isinstance(looked, Refused)
        rows = await books.look(database, "SELECT operation, outcome FROM attempts ORDER BY number")
        assert [tuple(row) for row in rows] == [("refund", "unknown"), ("lookup", None)]


@pytest.mark.long
async def test_an_answer_is_kept_while_the_book_cannot_be_reached(database: str) -> None:
    """The provider has paid, and its book is out of reach for longer than a lane waits."""
    async with desk(database, database) as one:
        one.provider.holds_head = True
        await one.send()
        saw_it_stored(one.provider)
        assert await one.status() == "released"

"""Finds what is due and starts it: claims, payments, and books whose waiting claims go on.

One look at the database finds what is due in all shards; each thing is worked on once at a time
in this process, as many at once as the settings allow. Two workers may find the same thing: the
book's lane gives it to one of them. How often the database is asked, `pace.py` says. A book whose
clock is being moved is left alone: who moves it does here, by `do`, what falls due in it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock, logs
from clawback.balances.model import TopUp
from clawback.claims.jobs import send_refund
from clawback.db import pool, queries
from clawback.ids import BookId, ClaimId
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Payment
from clawback.payments.jobs import go_on
from clawback.providers.port import Provider
from clawback.route import BookRef
from clawback.seal import Seal
from clawback.work.pace import Pace

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "due.sql")
PER_BOOK: Final = 50

_PAYMENT: Final = msgspec.json.Decoder(Payment)

Reader = Callable[[], "AbstractAsyncContextManager[PoolConnectionProxy]"]
Providers = Callable[[str, str], Provider]

log = logs.get_logger()


class Schedule:
    """Runs what is due until it is stopped."""

    def __init__(
        self,
        lanes: Lanes,
        reader: Reader,
        providers: Providers,
        seal: Callable[[], Seal | None],
        *,
        concurrency: int,
    ) -> None:
        """At most `concurrency` things are worked on at once."""
        self._seal = seal
        self._lanes = lanes
        self._reader = reader
        self._providers = providers
        self._room = asyncio.Semaphore(concurrency)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._pace = Pace()

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping.set()

    async def run(self) -> None:
        """Look, start, look again; returns once stopped and all that was started has ended."""
        while not self._stopping.is_set():
            try:
                found = await self._look()
            except pool.AWAY as error:
                log.warning("look_failed", error=repr(error))
                await asyncio.sleep(0.5)
                continue
            await self._pace.wait(found, stop=self._stopping)
        if self._running:
            await asyncio.wait(self._running.values())

    async def _look(self) -> int:
        now = clock.real_now()
        async with self._reader() as session:
            with self._pace.looking():
                shards = [row["shard"] for row in await self.shards(session)]
                claims = await SQL.due_claims(session, shards=shards, real_now=now, limit=PER_BOOK)
                payments = await SQL.due_payments(
                    session, shards=shards, real_now=now, limit=PER_BOOK
                )
                top_ups = await SQL.due_top_ups(session, shards=shards)
        for row in top_ups:
            self._lanes.post(book_of(row), TopUp())
        return await self._start_claims(claims) + await self._start_payments(payments)

    async def shards(self, connection: "Connection | PoolConnectionProxy") -> "Sequence[Record]":
        """The shards that hold books."""
        rows: Sequence[Record] = await SQL.shards(connection)
        return rows

    async def do(self, book: BookRef, row: "Record", offset_seconds: int) -> None:
        """Take the next step of a due claim or payment; its failure is told in the log."""
        if row["what"] == "payment":
            work = self._payment_work(book, row, offset_seconds)
        else:
            work = self._claim_work(book, row["name"], row, offset_seconds)
        await self.guarded(f"{book.book_id}:{row['name']}", work)

    async def wait_for(self, book: BookRef) -> None:
        """Until nothing of this book is being worked on here."""
        ours = [task for name, task in self._running.items() if name.startswith(book.book_id)]
        if ours:
            await asyncio.wait(ours)

    async def _start_claims(self, rows: "Sequence[Record]") -> int:
        started = 0
        for row in rows:
            book, name = book_of(row), row["claim_id"]
            work = self._claim_work(book, name, row, row["clock_offset_seconds"])
            started += await self._start(f"{book.book_id}:{name}", work)
        return started

    def _claim_work(
        self, book: BookRef, name: str, row: "Record", offset_seconds: int
    ) -> Coroutine[None, None, None]:
        provider = self._providers(row["provider"], row["provider_account"])
        claim_id = ClaimId(name)
        return send_refund(
            self._lanes, provider, self._reader, self._seal(), book, claim_id, offset_seconds
        )

    async def _start_payments(self, rows: "Sequence[Record]") -> int:
        started = 0
        for row in rows:
            book = book_of(row)
            name = _PAYMENT.decode(row["row"]).payment_id
            work = self._payment_work(book, row, row["clock_offset_seconds"])
            started += await self._start(f"{book.book_id}:{name}", work)
        return started

    def _payment_work(
        self, book: BookRef, row: "Record", offset_seconds: int
    ) -> Coroutine[None, None, None]:
        payment = _PAYMENT.decode(row["row"])
        provider = self._providers(payment.provider, payment.provider_account)
        return go_on(self._lanes, provider, book, payment, offset_seconds)

    async def _start(self, name: str, work: Coroutine[None, None, None]) -> int:
        """Start it, unless it is being worked on already; waits for room."""
        if name in self._running or self._stopping.is_set():
            work.close()
            return 0
        await self._room.acquire()
        self._running[name] = asyncio.create_task(self._do(name, work))
        return 1

    async def _do(self, name: str, work: Coroutine[None, None, None]) -> None:
        try:
            await self.guarded(name, work)
        finally:
            self._running.pop(name, None)
            self._room.release()

    async def guarded(self, name: str, work: Coroutine[None, None, None]) -> None:
        """Do it; a failure is told in the log and gives others a moment's peace."""
        try:
            await work
        except Exception:
            log.exception("work_failed", name=name)
            await asyncio.sleep(1)


def book_of(row: "Record") -> BookRef:
    """The book that a row tells of."""
    return BookRef(
        shard=row["shard"],
        book_id=BookId(row["book_id"]),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
        former_shards=tuple(row["former_shards"]),
    )

"""A book, lanes and the worker's deliveries in this process, and receivers on loopback to look at.

Everything is real: the database, the lanes, the sockets. A receiver answers as its script says and
keeps every request as it came; each that comes under a known secret is verified with the public
Standard Webhooks library, body and headers, and one that fails ends the test. The book's clock is
moved by its head row.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from clawback import clock, seal
from clawback.db import pool
from clawback.egress import Egress
from clawback.errors import Refused
from clawback.ids import opaque
from clawback.lanes.lanes import Lanes
from clawback.outbound import Timeouts
from clawback.route import BookRef, Kept
from clawback.seal import Seal, of_endpoint
from clawback.webhooks.model import Changed, CreateEndpoint
from clawback.work.deliveries import Deliveries
from tests.support.books import KEY, open_book, open_lanes, take_payment

SECRET: Final = "whsec_Y2xhd2JhY2stY29udHJhY3QtdGVzdC1zZWNyZXQtMzI="
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Got(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime


Script = Callable[[Got], Awaitable[bytes | None]]
"""The answer's bytes; None cuts the connection without one."""


class Receiver:
    """A server on loopback that keeps what it gets."""

    def __init__(self, script: Script) -> None:
        """`script` answers each request."""
        self.script = script
        self.verified = 0
        self.forged: list[Got] = []
        self.got: list[Got] = []
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks"

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until the end of the test."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """Cut what is open."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")[:-2]
                headers = dict(line.lower().split(": ", 1) for line in lines)
                raw = dict(line.split(": ", 1) for line in lines)
                headers |= {name.lower(): value for name, value in raw.items()}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                got = Got(first.split()[1], headers, body, clock.real_now())
                self.got.append(got)
                self._verify(got)
                answer = await self.script(got)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()

    def _verify(self, got: Got) -> None:
        """What any receiver would do that uses the public library."""
        try:
            Webhook(SECRET).verify(got.body, got.headers)
        except (ValueError, WebhookVerificationError):
            self.forged.append(got)
        else:
            self.verified += 1


def answering(*answers: bytes, last: bytes = OK) -> Script:
    """One answer after another, then the last for ever."""
    left = list(answers)

    async def script(_: Got) -> bytes:
        return left.pop(0) if left else last

    return script


def status(code: int, *headers: str) -> bytes:
    """An answer with a status, and headers."""
    lines = [f"HTTP/1.1 {code} X", "content-length: 0", *headers]
    return "\r\n".join((*lines, "", "")).encode()


async def hanging(_: Got) -> bytes:
    """Never answers."""
    await asyncio.sleep(3600)
    return OK


@asynccontextmanager
async def receiving(script: Script | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(script or answering())
    server = await asyncio.start_server(receiver.accept, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.close()
    assert receiver.forged == [], "the public library does not accept it"


class Stage:
    """A book with lanes, and a database to look into."""

    def __init__(self, dsn: str, book: BookRef, lanes: Lanes, sealed: Seal) -> None:
        """Made by `staged`."""
        self.dsn = dsn
        self.book = book
        self.lanes = lanes
        self.seal = sealed

    async def endpoint(
        self, url: str | None, *events: str, secret: str = SECRET, book: BookRef | None = None
    ) -> str:
        """A new endpoint's id; it listens to everything unless told otherwise."""
        where, name = book or self.book, opaque("wh_")
        sealed = self.seal.close_text(secret, about=of_endpoint(where.book_id, name))
        command = CreateEndpoint(
            endpoint_id=name,
            url=url,
            url_rule=None,
            events=events or ("*",),
            description=None,
            sealed_secret=sealed,
            actor=KEY,
        )
        done = await self.lanes.submit(where, command, Kept[Changed]())
        assert not isinstance(done, Refused), done
        return name

    async def pay(self, count: int = 1, book: BookRef | None = None) -> None:
        """Payments, each with two events: created, completed."""
        for _ in range(count):
            await take_payment(self.lanes, book or self.book)

    async def look(self, query: str, *values: object) -> list[Any]:
        """What a query of the owner's finds."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    async def deliveries(self, endpoint_id: str) -> list[Any]:
        """An endpoint's deliveries by event number."""
        query = "SELECT * FROM deliveries WHERE endpoint_id = $1 ORDER BY event_number"
        return await self.look(query, endpoint_id)

    async def move_clock(self, seconds: float) -> None:
        """Move the book's clock forward."""
        await self.look(
            "UPDATE heads SET clock_offset_seconds = clock_offset_seconds + $1 WHERE book_id = $2",
            int(seconds),
            self.book.book_id,
        )

    async def until(
        self, what: str, look: Callable[[], Awaitable[object]], seconds: float = 20
    ) -> None:
        """Look until it is so."""
        end = clock.monotonic() + seconds
        while not await look():
            assert clock.monotonic() < end, f"not within {seconds} s: {what}"
            await asyncio.sleep(0.02)

    async def until_status(self, endpoint_id: str, *wanted: str, attempts: int = 1) -> None:
        """Until every delivery of an endpoint has one of these statuses."""

        async def look() -> bool:
            rows = await self.deliveries(endpoint_id)
            return bool(rows) and all(
                row["status"] in wanted and row["attempts"] >= attempts for row in rows
            )

        await self.until(f"all {wanted}", look)

    @asynccontextmanager
    async def delivering(
        self, *, egress: Egress | None = None, seconds: float = 10.0, concurrency: int = 256
    ) -> AsyncIterator[Deliveries]:
        """Deliveries that run; `seconds`: how long a try may take."""
        each = Timeouts(connect=seconds, write=seconds, read=seconds, total=seconds)
        way = egress or Egress(allow_loopback=True, timeouts=each)
        connections = await pool.create_writer_pool(self.dsn, application_name="deliveries", size=4)
        made = Deliveries(self.lanes, connections, way, lambda: self.seal, concurrency=concurrency)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            made.stop()
            await task
            await way.close()
            await connections.close()


def new_seal() -> Seal:
    """A seal with a key of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seal.key"
        seal.create(path)
        return seal.load(path)


@asynccontextmanager
async def staged(dsn: str) -> AsyncIterator[Stage]:
    """A book and its lanes."""
    book = await open_book(dsn)
    async with open_lanes(dsn) as lanes:
        yield Stage(dsn, book, lanes, new_seal())

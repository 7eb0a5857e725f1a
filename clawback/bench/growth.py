"""What growth costs: refunds and reads before and after the same books were filled.

The same cells are measured on the same service twice, with many whole lives of refunds written in
between. Reads go one at a time over one connection, of one merchant whose books are filled too.
"""

import asyncio
import http.client
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.bench import fill
from clawback.bench.preload import Merchant
from clawback.bench.rounds import CLOSED, HOT, SPREAD, Cell, Rounds
from clawback.bench.sql import SQL

if TYPE_CHECKING:
    from asyncpg import Connection

TIMES: Final = 3
"""How often a rate of refunds is measured; the median counts."""

READS: Final = 200
EARLY: Final = 50
"""Lives in each book before anything is measured, a tenth of all at the most."""
WIDEST: Final = 256


class ReadFailed(Exception):
    """A read was not answered with 200; the message says which."""


class Before(msgspec.Struct, frozen=True):
    """One state of the books: refunds a second by pool, and each read's median in microseconds."""

    refunds: dict[str, float]
    reads_us: dict[str, float]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """What so many `claims` more cost. Ratios are after to before; of reads the worst is told."""

    claims: int
    filled_per_second: float
    before: Before
    after: Before
    refunds: float
    reads: float


async def measure(
    rounds: Rounds,
    connection: "Connection",
    dsn: str,
    port: int,
    merchants: Sequence[Merchant],
    claims: int,
    seconds: float,
) -> Growth:
    """Measure, fill the merchants' books with so many claims, and measure again.

    Some of them are there from the start, so that the same kind of claim is read both times.
    """
    early = max(1, min(claims // 10, EARLY * len(merchants)))
    await fill.fill(dsn, merchants, early)
    before = await _state(rounds, port, merchants[0], seconds)
    begin = clock.monotonic()
    await fill.fill(dsn, merchants, claims - early, first=fill.FIRST + early)
    took = clock.monotonic() - begin
    await SQL.vacuum(connection)
    after = await _state(rounds, port, merchants[0], seconds)
    return Growth(
        claims=claims,
        filled_per_second=round((claims - early) / took),
        before=before,
        after=after,
        refunds=round(min(after.refunds[pool] / before.refunds[pool] for pool in after.refunds), 3),
        reads=round(max(after.reads_us[one] / before.reads_us[one] for one in after.reads_us), 3),
    )


async def _state(rounds: Rounds, port: int, merchant: Merchant, seconds: float) -> Before:
    refunds: dict[str, float] = {}
    for pool in (SPREAD, HOT):
        await rounds.refund(Cell(CLOSED, pool, WIDEST), seconds / 2)
        samples = [
            (await rounds.refund(Cell(CLOSED, pool, WIDEST), seconds)).sample.rate
            for _ in range(TIMES)
        ]
        refunds[pool] = round(median(samples))
    return Before(refunds, await asyncio.to_thread(_read, port, merchant.key))


def _read(port: int, key: str) -> dict[str, float]:
    """The median of each read, in microseconds. Raises: ReadFailed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {key}"}

    def get(path: str) -> bytes:
        connection.request("GET", f"/api/v1{path}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != HTTPStatus.OK:
            raise ReadFailed(f"GET {path} was answered {answer.status}: {body[:500]!r}")
        return body

    found: dict[str, float] = {}
    newest = get("/payments?limit=50"), get("/claims?status=released&limit=50")
    for name, paths in _paths(*newest):
        took = []
        for number in range(READS):
            begin = clock.monotonic()
            get(paths[number % len(paths)])
            took.append(clock.monotonic() - begin)
        found[name] = round(median(took) * 1e6)
    connection.close()
    return found


class _Named(msgspec.Struct, frozen=True):
    id: str


class _Listed(msgspec.Struct, frozen=True):
    data: list[_Named]


def _paths(payments: bytes, claims: bytes) -> Iterator[tuple[str, list[str]]]:
    """What is read, by name."""
    listed = msgspec.json.Decoder(_Listed)
    yield "payment", [f"/payments/{one.id}" for one in listed.decode(payments).data]
    yield "claim", [f"/claims/{one.id}" for one in listed.decode(claims).data]
    yield "payments", ["/payments?limit=20"]
    yield "claims", ["/claims?limit=20"]
    yield "claims by status", ["/claims?limit=20&status=released"]
    yield "entries", ["/ledger/entries?limit=20"]
    yield "balance", ["/me/balance"]

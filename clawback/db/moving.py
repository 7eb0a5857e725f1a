"""Moving a book to another database: held still here, copied whole, read back there.

A book is held by putting its head row away (`lanes/sql/moving.sql`), and stays held once it is
there, for a book that two deployments write gives money back twice. Its rows are streamed by COPY
into one transaction of the target, are read back before that commits, and must be the same rows but
for the shard. So a book is on the target whole or not at all, and whoever is interrupted runs the
copy again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from clawback import clock
from clawback.db import pool, queries
from clawback.ids import base36, home_shard

if TYPE_CHECKING:
    from asyncpg import Connection

SQL: Final = queries.load(__package__, "moving.sql")
TABLES: Final = (
    "payments", "claims", "attempts", "facts", "accounts", "entries", "postings", "events",
    "idempotency_keys", "payouts", "reviews", "evidence", "files", "acts", "endpoints",
    "endpoint_failures", "deliveries", "fan_outs", "replays", "inbox", "heads",
)  # fmt: skip
"""Every table whose rows belong to a book; the head last."""
SMALL: Final = ("merchants", "shops", "books", "api_keys", "provider_accounts", "roles")
"""What the rows of a book refer to, in the order in which it can be written."""
NAMES_AT_ONCE: Final = 5_000
PIECES: Final = 8
_MASK: Final = (1 << 128) - 1


class CannotMove(Exception):
    """A book cannot be moved; nothing of it is on the target. The text says why."""


class Taken(CannotMove):
    """Something in this shard has the same name."""


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A book of a database; `bound_for` names where it is held for, None: it is not held."""

    book_id: str
    shard: int
    merchant_id: str
    mode: str
    former_shards: tuple[str, ...]
    bound_for: str | None


class Moved(msgspec.Struct, frozen=True, rename="camel"):
    """What a copy of one book came to."""

    book: str
    merchant: str
    mode: str
    from_shard: int
    shard: int
    rows: int


class Tally:
    """How many rows passed and, in no order, which; the shard aside."""

    def __init__(self) -> None:
        """Nothing has passed."""
        self.rows = 0
        self.digest = 0

    def add(self, rest: bytes) -> None:
        """Count a row, given from behind its shard."""
        self.rows += 1
        one = int.from_bytes(blake2b(rest, digest_size=16).digest())
        self.digest = (self.digest + one) & _MASK

    def is_same(self, other: "Tally") -> bool:
        """Whether the same rows passed."""
        return (self.rows, self.digest) == (other.rows, other.digest)


async def connect(dsn: str) -> "Connection":
    """A connection of the database's owner that writes every value in one form."""
    connection = await pool.connect(dsn, application_name="clawback db copy", role=None)
    await SQL.write_plainly(connection)
    return connection


async def list_books(session: "Connection") -> list[Book]:
    """All books of a database."""
    rows = await SQL.list_books(session)
    return [msgspec.convert(dict(row), Book, strict=False) for row in rows]


async def identity(session: "Connection") -> str:
    """What tells this database from every other."""
    return str((await SQL.identity(session))["identity"])


async def hold(source: "Connection", book: Book, bound_for: str) -> None:
    """Hold a book still, for good: what runs on it is waited for, what comes is refused."""
    await SQL.hold_book(
        source,
        shard=book.shard,
        book_id=book.book_id,
        at=clock.real_now(),
        bound_for=bound_for,
    )


async def let_go(source: "Connection", book: Book) -> None:
    """Let a book go on where it was held. Whoever calls knows that it is nowhere else."""
    await SQL.let_book_go(source, shard=book.shard, book_id=book.book_id)


async def move(source: "Connection", target: "Connection", book: Book) -> Moved:
    """Copy a held book into the open transaction of the target, to the first shard that takes it.

    Raises: CannotMove if none does, or if what is read back differs.
    """
    order = [row["shard"] for row in await SQL.shards(target, mode=book.mode)]
    if book.shard in order and len(order) == len(await SQL.shards(source, mode=book.mode)):
        order = [book.shard, *(shard for shard in order if shard != book.shard)]
    for shard in order:
        try:
            async with target.transaction():
                return await _move_to(source, target, book, shard)
        except Taken:
            continue
    raise CannotMove(
        f"book {book.book_id} finds no shard: in each, another book has something of the same name"
        if order
        else "the target has no shards"
    )


async def _move_to(source: "Connection", target: "Connection", book: Book, shard: int) -> Moved:
    former = await _former(source, book, shard)
    await _check_names(source, target, book, shard, former)
    await _write_small(source, target, book, shard, former)
    tallies = {name: await _carry(source, target, name, book, shard) for name in TABLES}
    for name, tally in tallies.items():
        written = await read(target, name, shard, book.book_id)
        if not tally.is_same(written):
            raise CannotMove(
                f"{name} of book {book.book_id}: what was written is not what was read"
            )
    return Moved(
        book=book.book_id,
        merchant=book.merchant_id,
        mode=book.mode,
        from_shard=book.shard,
        shard=shard,
        rows=sum(tally.rows for tally in tallies.values()),
    )


async def _former(source: "Connection", book: Book, shard: int) -> tuple[str, ...]:
    """The shards that the book's references carry beside the one that it gets."""
    stamp = (await SQL.last_stamp(source, shard=book.shard, book_id=book.book_id))["stamp"]
    if stamp is None or shard == book.shard:
        return book.former_shards
    return (*book.former_shards, stamp + base36(book.shard, 2))


async def _check_names(
    source: "Connection", target: "Connection", book: Book, shard: int, former: Sequence[str]
) -> None:
    """That no other book has a payment or claim whose references are those of one of this book.

    Names are one's own in a shard only; a reference carries the shard in which it was made. In the
    shard itself the keys tell. Raises: CannotMove.
    """
    others = {one.book_id: one for one in await list_books(target)}
    homes = {int(one[8:], 36) for one in former} | {shard}
    places = {
        one.shard
        for one in others.values()
        if homes & {one.shard, *(int(left[8:], 36) for left in one.former_shards)}
    }
    for place in sorted(places - {shard}):
        for listed, found in (
            (SQL.payment_names, SQL.same_payments),
            (SQL.claim_names, SQL.same_claims),
        ):
            after = ""
            while names := [
                row["name"]
                for row in await listed(
                    source,
                    shard=book.shard,
                    book_id=book.book_id,
                    after=after,
                    limit=NAMES_AT_ONCE,
                )
            ]:
                after = names[-1]
                for row in await found(target, shard=place, book_id=book.book_id, names=names):
                    other, name = others[row["book_id"]], row["name"]
                    home = home_shard(name, other.shard, other.former_shards)
                    if home == home_shard(name, shard, former):
                        raise CannotMove(f"{name} is there already, in book {other.book_id}")


async def _write_small(
    source: "Connection", target: "Connection", book: Book, shard: int, former: Sequence[str]
) -> None:
    try:
        for name in SMALL:
            rows = (await SQL.all[f"read_{name}"](source, book_id=book.book_id))["rows"]
            if rows is None:
                continue
            if name == "books":
                row = msgspec.json.decode(rows)[0]
                placed = {**row, "shard": shard, "former_shards": former}
                rows = msgspec.json.encode([placed]).decode()
            await SQL.all[f"write_{name}"](target, rows=rows)
    except asyncpg.UniqueViolationError as error:
        text = f"book {book.book_id} meets another of its kind there ({error.constraint_name})"
        raise CannotMove(text) from error


async def copy_people(source: "Connection", target: "Connection") -> int:
    """Copy the people of the dashboard, if the target has none; returns how many."""
    if (await SQL.count_people(target))["people"]:
        return 0
    rows = (await SQL.read_people(source))["rows"]
    if rows is None:
        return 0
    await SQL.write_people(target, rows=rows)
    return int((await SQL.count_people(target))["people"])


async def read(session: "Connection", name: str, shard: int, book_id: str) -> Tally:
    """The tally of a book's rows in one table."""
    tally, left = Tally(), b""

    async def take(piece: bytes) -> None:
        nonlocal left
        *lines, left = (left + piece).split(b"\n")
        for line in lines:
            tally.add(line[line.index(b"\t") :])

    await session.copy_from_query(SQL.all[f"read_{name}"].sql, shard, book_id, output=take)
    return tally


async def _carry(
    source: "Connection", target: "Connection", name: str, book: Book, shard: int
) -> Tally:
    """Stream a book's rows of one table from here to there. Raises: Taken."""
    query = SQL.all[f"read_{name}"].sql
    columns = [one.name for one in (await source.prepare(query)).get_attributes()]
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES)
    tally = Tally()

    async def read_all() -> None:
        try:
            await source.copy_from_query(query, book.shard, book.book_id, output=queue.put)
        finally:
            await queue.put(None)

    reading = asyncio.create_task(read_all())
    try:
        await target.copy_to_table(
            name, source=_placed(queue, str(shard).encode(), tally), columns=columns
        )
    except asyncpg.UniqueViolationError as error:
        raise Taken(f"{name} of book {book.book_id}: {error.constraint_name}") from error
    finally:
        while not reading.done():
            if queue.empty():
                await asyncio.wait({reading}, timeout=0.01)
            else:
                queue.get_nowait()
        await reading
    return tally


async def _placed(
    queue: "asyncio.Queue[bytes | None]", shard: bytes, tally: Tally
) -> AsyncIterator[bytes]:
    """The rows that come through a queue, in another shard."""
    left = b""
    while (piece := await queue.get()) is not None:
        *lines, left = (left + piece).split(b"\n")
        placed = []
        for line in lines:
            rest = line[line.index(b"\t") :]
            tally.add(rest)
            placed.append(shard + rest + b"\n")
        if placed:
            yield b"".join(placed)

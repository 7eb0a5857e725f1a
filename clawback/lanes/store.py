"""A lane's connection to PostgreSQL: one batch is begin, load, apply, commit.

Rows cross as JSON text made and read by msgspec, so that ints stay ints and one call carries all
changes. Every database error leaves here as one of the four kinds of `failures.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from clawback.db import pool, queries
from clawback.ids import BookId
from clawback.lanes import endpoints, evidence, payouts
from clawback.lanes.command import Reads, wanted_rows
from clawback.lanes.failures import GONE, CommitUnknown, Lost, Retry, told_apart
from clawback.lanes.records import Changes, Record, Rows

SQL: Final = queries.load(__package__, "sql/batch.sql")
_ROWS: Final = msgspec.json.Decoder(Rows)
_WRITTEN: Final = [
    name for name in Changes.__struct_fields__ if name not in {"webhooks", "evidence", "payouts"}
]
_ENCODER: Final = msgspec.json.Encoder()


def _rows(records: Sequence[Record]) -> str | None:
    return _ENCODER.encode(records).decode() if records else None


async def read_rows(
    connection: asyncpg.Connection,
    shard: int,
    books: Iterable[BookId],
    reads: Sequence[tuple[BookId, Reads]],
    keys: Sequence[tuple[BookId, str, str]],
) -> Rows:
    """Lock the head rows and read what is asked for, in the transaction that is open."""
    row = await SQL.load(
        connection,
        shard=shard,
        books=sorted(books),
        **wanted_rows(reads),
        key_books=[book for book, _, _ in keys],
        key_routes=[route for _, route, _ in keys],
        keys=[key for _, _, key in keys],
    )
    return _ROWS.decode(row["rows"])


async def write_rows(
    connection: asyncpg.Connection, shard: int, marker: str | None, at: datetime, changes: Changes
) -> None:
    """Write the rows of the lanes' own tables in one call, in the transaction that is open."""
    tables = {name: getattr(changes, name) for name in _WRITTEN}
    await SQL.apply(
        connection,
        shard=shard,
        marker=marker,
        at=at,
        **{name: _rows(rows) for name, rows in tables.items()},
        counts=[len(rows) for rows in tables.values()],
    )


class Store:
    """One connection, owned by one lane."""

    def __init__(self, dsn: str, name: str, *, allow_unsafe: bool = False) -> None:
        """Connect on first use."""
        self._dsn = dsn
        self._name = name
        self._allow_unsafe = allow_unsafe
        self._connection: asyncpg.Connection | None = None

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await pool.connect_lane(
                    self._dsn, self._name, allow_unsafe=self._allow_unsafe
                )
            except asyncpg.PostgresError as error:
                raise Lost(repr(error)) from error
        return self._connection

    def _held(self) -> asyncpg.Connection:
        """The connection of the batch under way: on another one it would have no transaction."""
        if self._connection is None or self._connection.is_closed():
            raise Lost("the connection has ended")
        return self._connection

    async def begin(self) -> None:
        """Open a transaction, on a new connection if need be. Raises: Lost."""
        with told_apart():
            await SQL.begin(await self._connected())

    async def load(
        self,
        shard: int,
        books: Iterable[BookId],
        reads: Sequence[tuple[BookId, Reads]],
        keys: Sequence[tuple[BookId, str, str]],
    ) -> Rows:
        """Lock the head rows in key order, then read what is asked for under them.

        Raises: Retry, LockedOut, Lost.
        """
        with told_apart():
            rows = await read_rows(self._held(), shard, books, reads, keys)
            webhooks = await endpoints.load(self._held(), shard, reads)
            exhibits = await evidence.load(self._held(), shard, reads)
            paid = await payouts.load(self._held(), shard, reads)
        return msgspec.structs.replace(rows, webhooks=webhooks, evidence=exhibits, payouts=paid)

    async def apply(self, shard: int, marker: str | None, at: datetime, changes: Changes) -> None:
        """Write everything in one call, with the batch's marker in its first.

        Raises: Retry, LockedOut, Lost.
        """
        with told_apart():
            await write_rows(self._held(), shard, marker, at, changes)
            await endpoints.write(self._held(), shard, changes.webhooks)
            await evidence.write(self._held(), shard, changes.evidence)
            await payouts.write(self._held(), shard, changes.payouts)

    async def commit(self) -> None:
        """Commit. Raises: CommitUnknown if no clear answer came, Retry on ROLLBACK, Lost."""
        connection = self._held()
        try:
            tag = await SQL.commit(connection)
        except (*GONE, asyncpg.PostgresError) as error:
            await self.drop()
            raise CommitUnknown(repr(error)) from error
        if tag != "COMMIT":
            raise Retry(None, RuntimeError(f"COMMIT answered {tag}"))

    async def rollback(self) -> None:
        """Give the batch up; a connection that cannot is dropped."""
        if self._connection is None or self._connection.is_closed():
            return
        try:
            await SQL.rollback(self._connection)
        except (*GONE, asyncpg.PostgresError):
            await self.drop()

    async def has_marker(self, shard: int, books: Iterable[BookId], marker: str) -> bool:
        """Whether the batch of this marker committed; waits until its backend has ended.

        Raises: Retry, LockedOut, or Lost, which here stands for every other reason too: whoever
        could not look must not go on as if there were nothing.
        """
        try:
            with told_apart():
                row = await SQL.find_marker(
                    await self._connected(), shard=shard, books=sorted(books), marker=marker
                )
        except asyncpg.PostgresError as error:
            raise Lost(repr(error)) from error
        return bool(row["found"])

    async def drop(self) -> None:
        """Close the connection without a word; a doubtful one is never used again."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

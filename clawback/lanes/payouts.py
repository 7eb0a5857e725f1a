"""Payouts in a batch: their rows, what a command sees of them, how they are written.

Only commands that ask for `payouts` load any, by a call of their own under the same head rows, and
only batches that record one write it, by another: a batch of refunds makes neither call. A payout
is known by the operator's reference and never changes.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.db import queries
from clawback.ids import BookId
from clawback.lanes.command import NotLoaded, Reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection

SQL: Final = queries.load(__package__, "sql/payout.sql")


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Money that the operator paid to the merchant; `height` is that of its entry."""

    book_id: BookId
    reference: str
    amount_usd_e4: int
    note: str | None
    height: int
    created_at: datetime


_LOADED: Final = msgspec.json.Decoder(tuple[Payout, ...])
_ENCODER: Final = msgspec.json.Encoder()


async def load(
    session: "Connection", shard: int, reads: "Sequence[tuple[BookId, Reads]]"
) -> tuple[Payout, ...] | None:
    """The payouts that are asked for, under the head rows of the batch; None if none is."""
    wanted = sorted({(book, one) for book, read in reads for one in read.payouts})
    if not wanted:
        return None
    row = await SQL.load_payouts(
        session,
        shard=shard,
        books=[book for book, _ in wanted],
        references=[reference for _, reference in wanted],
    )
    return _LOADED.decode(row["rows"] or "[]")


async def write(session: "Connection", shard: int, payouts: list[Payout]) -> None:
    """Write what the batch recorded, if it recorded anything."""
    if payouts:
        await SQL.apply_payouts(session, shard=shard, payouts=_ENCODER.encode(payouts).decode())


class BookPayouts:
    """One book's payouts in a batch: those that were looked for, and those that are new."""

    def __init__(self) -> None:
        """Nothing is loaded."""
        self.found: dict[str, Payout | None] = {}
        self.new: list[Payout] = []

    def fill(self, rows: tuple[Payout, ...], book_id: BookId, wanted: tuple[str, ...]) -> None:
        """Take loaded rows in; what was looked for and is not there is absent."""
        for one in rows:
            if one.book_id == book_id and one.reference in wanted:
                self.found.setdefault(one.reference, one)
        for reference in wanted:
            self.found.setdefault(reference, None)

    def find(self, reference: str) -> Payout | None:
        """The payout of this reference, or None."""
        if reference not in self.found:
            raise NotLoaded(Reads(payouts=(reference,)))
        return self.found[reference]

    def merge(self, payouts: list[Payout]) -> None:
        """An accepted command's payouts become part of the batch."""
        self.found |= {one.reference: one for one in payouts}
        self.new += payouts

    def take_changes(self, out: list[Payout]) -> None:
        """Hand over what is new since the last call."""
        out.extend(self.new)
        self.new = []

"""A ledger entry as every call shows it: wire words, major units.

The one place that knows the wire form of an entry (contract, section 9.2). Amounts are signed,
credit positive, with as many decimals as the books keep.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.currencies import book_exponent
from clawback.money import major

if TYPE_CHECKING:
    from asyncpg import Record

_LEGS: Final = msgspec.json.Decoder(list[tuple[str, str, int, int, int]])


class PostingWire(msgspec.Struct, frozen=True, rename="camel"):
    """One leg, credit positive, in major units."""

    account: str
    currency: str
    amount: msgspec.Raw
    balance_after: msgspec.Raw
    seq: int


class EntryWire(msgspec.Struct, frozen=True, rename="camel"):
    """A balanced fact and its place in the book's chain."""

    id: str
    type: str
    created_at: str
    effective_at: str
    claim_id: str | None
    transaction_id: str | None
    postings: list[PostingWire]
    height: int
    previous_hash: str
    hash: str


def show_entry(row: "Record") -> EntryWire:
    """An entry of a row with its legs in wire words."""
    return EntryWire(
        row["entry_id"],
        row["type"],
        clock.wire_time(row["created_at"]),
        clock.wire_time(row["effective_at"]),
        row["claim_id"],
        row["payment_id"],
        [
            PostingWire(
                account,
                currency,
                major(amount, book_exponent(currency)),
                major(after, book_exponent(currency)),
                seq,
            )
            for account, currency, amount, after, seq in _LEGS.decode(row["legs"])
        ],
        row["height"],
        row["previous_hash"],
        row["hash"],
    )

"""The hash chain of a book: each entry's hash covers the one before and all of its own postings.

The canonical form of an entry is a JSON array of its fields in a fixed order, times in Unix
milliseconds, postings in leg order (docs/reference/ledger.md). Anyone who has a book's entries can
compute the chain again with nothing but SHA-256; a changed, missing or inserted entry breaks it
from there on. The database's view `reporting.chain` makes the same text from the rows.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from clawback import clock

GENESIS: Final = "0" * 64
"""The hash before a book's first entry."""

_ENCODER: Final = msgspec.json.Encoder()

PostingFields = tuple[str, str, int, int, int]
"""currency, account, seq, amount, balance_after"""


class EntryFields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an entry's hash covers besides its postings and the hash before it."""

    book_id: str
    height: int
    entry_id: str
    type: str
    cause: str
    payment_id: str | None
    claim_id: str | None
    created_at: datetime
    effective_at: datetime


def entry_hash(previous: str, entry: EntryFields, postings: Sequence[PostingFields]) -> str:
    """The hash of an entry on top of `previous`: SHA-256, lower-case hexadecimal."""
    canonical = _ENCODER.encode(
        (
            previous,
            entry.book_id,
            entry.height,
            entry.entry_id,
            entry.type,
            entry.cause,
            entry.payment_id,
            entry.claim_id,
            clock.milliseconds(entry.created_at),
            clock.milliseconds(entry.effective_at),
            postings,
        )
    )
    return sha256(canonical).hexdigest()

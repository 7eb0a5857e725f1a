"""Checks an export of a book with nothing but the file: no database, no network, SHA-256 only.

Each line of an export is the very text that an entry's hash covers, and begins with the hash of
the line before; the last line names the head. So the chain is computed again from its first
line, with sums and running balances beside it, and the first row that does not hold is named. The
forms are those of docs/reference/ledger.md, from which anybody can write another verifier.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

import msgspec

from clawback.ledger.proof import GENESIS

Leg = tuple[str, str, int, int, int]
"""currency, account, seq, amount, balance_after"""
Row = tuple[
    str, str, int, str, str, str, str | None, str | None, int, int, tuple[Leg, ...]
]  # fmt: skip

_ROW: Final = msgspec.json.Decoder(Row)
_ENCODER: Final = msgspec.json.Encoder()
LEAST: Final = 2
"""Postings of an entry, in each of its currencies."""


class Broken(Exception):
    """Something does not hold; `row` says where: a line, an entry, a posting."""

    def __init__(self, row: str, problem: str) -> None:
        """Keep both."""
        super().__init__(f"{row} {problem}")
        self.row = row
        self.problem = problem


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An entry as its hash covers it, in the order of its text."""

    previous: str
    book_id: str
    height: int
    entry_id: str
    type: str
    cause: str
    payment_id: str | None
    claim_id: str | None
    created_ms: int
    effective_ms: int
    legs: tuple[Leg, ...]


class Head(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The last line of an export: which book, how many entries, the hash of the last one."""

    book_id: str
    height: int
    hash: str


See = Callable[[Entry, str], None]
"""Is shown each entry with its hash."""


def read_entry(text: bytes, row: str) -> Entry:
    """An entry from the text that its hash covers. Raises: Broken."""
    try:
        return Entry(*_ROW.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Broken(row, f"is no entry: {error}") from error


class Walk:
    """Follows a book from its first entry, line by line."""

    def __init__(self, see: See | None = None) -> None:
        """At the beginning of the chain."""
        self.head: Head | None = None
        self.height = 0
        self.hash = GENESIS
        self.accounts: dict[tuple[str, str], tuple[int, int]] = {}
        """Number of the last posting and balance, by currency and account."""
        self.book_id: str | None = None
        self._see = see

    def take(self, line: bytes) -> None:
        """The next line with its end. Raises: Broken."""
        if self.head is not None:
            raise Broken("the last line", "is followed by more")
        if not line.endswith(b"\n"):
            raise Broken(f"line {self.height + 1}", "has no end")
        if line.startswith(b"{"):
            self._end(line)
            return
        text, row = line[:-1], f"entry {self.height + 1}"
        entry = read_entry(text, row)
        if entry.previous != self.hash:
            raise Broken(
                row,
                f"does not follow from entry {self.height}: one of them was changed, or something"
                " between them was taken out or put in",
            )
        if entry.height != self.height + 1 or entry.book_id != (self.book_id or entry.book_id):
            raise Broken(row, f"says that it is entry {entry.height} of {entry.book_id}")
        self._add_legs(entry, row)
        self.book_id, self.height = entry.book_id, entry.height
        self.hash = sha256(text).hexdigest()
        if self._see is not None:
            self._see(entry, self.hash)

    def _add_legs(self, entry: Entry, row: str) -> None:
        sums: dict[str, list[int]] = {}
        for currency, account, seq, amount, balance_after in entry.legs:
            last_seq, balance = self.accounts.get((currency, account), (0, 0))
            if seq != last_seq + 1 or balance_after != balance + amount or amount == 0:
                where = f"{row}, posting {seq} of {account} in {currency},"
                raise Broken(where, f"does not go on from posting {last_seq} and {balance}")
            self.accounts[currency, account] = (seq, balance_after)
            sums.setdefault(currency, []).append(amount)
        for currency, amounts in sums.items():
            if sum(amounts) != 0 or len(amounts) < LEAST:
                raise Broken(row, f"comes to {sum(amounts)} in {currency}, not to 0")
        if not sums:
            raise Broken(row, "has no postings")

    def _end(self, line: bytes) -> None:
        try:
            head = msgspec.json.decode(line, type=Head)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Broken("the last line", f"names no head: {error}") from error
        found = Head(self.book_id or head.book_id, self.height, self.hash)
        if last_line(found) != line:
            raise Broken(
                "the last line",
                f"names another head than {self.height}:{self.hash}: the last entry was changed,"
                " or entries at the end are missing",
            )
        self.head, self.book_id = head, head.book_id


def last_line(head: Head) -> bytes:
    """How an export ends."""
    return _ENCODER.encode(head) + b"\n"


def walk(lines: Iterable[bytes], see: See | None = None) -> Walk:
    """Check a whole export; `see` is shown each entry. Raises: Broken at the first wrong row."""
    followed = Walk(see)
    for line in lines:
        followed.take(line)
    if followed.head is None:
        raise Broken("the last line", "is missing: the end of the file was cut off")
    return followed

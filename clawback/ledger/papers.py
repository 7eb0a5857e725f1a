"""Checks statements and proofs that a book gave out, alone, with each other and with an export.

A statement must add up, line by line, from what it opens with to what it closes with, and those
of one account must chain. A proof's entries must hash to what it says. An export shows for each
line of them whether it is there, and for each head that they saw whether the book still has it.
"""

import csv
import io
import re
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from typing import Final

import msgspec

from clawback import clock
from clawback.currencies import EXPONENTS, book_exponent
from clawback.ledger.verify import Broken, Entry, read_entry
from clawback.money import major_text

COLUMNS: Final = (
    "postedAt", "effectiveAt", "entryId", "type", "account", "currency", "amount", "balanceAfter",
    "seq", "transactionId", "claimId",
)  # fmt: skip
EDGES: Final = 3
"""Lines that every statement has: the header, what it opens with, what it closes with."""
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,4}))?", re.ASCII)
_SEQ: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Edge(msgspec.Struct, frozen=True):
    """Where a statement begins or ends: a time, the number of the posting before, its balance."""

    at: str
    seq: int
    balance: int


class Statement(msgspec.Struct, frozen=True):
    """A statement that adds up. `lines` by number of the posting, as they stood."""

    name: str
    currency: str
    account: str
    opening: Edge
    closing: Edge
    lines: dict[int, tuple[str, ...]]


class ProvenLeg(msgspec.Struct, frozen=True, rename="camel"):
    """A posting of a proof."""

    account: str
    currency: str
    amount: msgspec.Raw
    balance_after: msgspec.Raw
    seq: int


class ProvenEntry(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of a proof, and the text that its hash covers."""

    id: str
    type: str
    created_at: str
    effective_at: str
    claim_id: str | None
    transaction_id: str | None
    postings: tuple[ProvenLeg, ...]
    height: int
    previous_hash: str
    hash: str
    canonical: str


class ProvenClaim(msgspec.Struct, frozen=True, rename="camel"):
    """A claim's entries in a proof."""

    id: str
    book_id: str
    entries: tuple[ProvenEntry, ...]


class Sum(msgspec.Struct, frozen=True):
    """What a currency came to."""

    currency: str
    sum: msgspec.Raw


class Said(msgspec.Struct, frozen=True):
    """What a check came to."""

    name: str
    ok: bool


class Chain(msgspec.Struct, frozen=True):
    """The head that a proof saw."""

    height: int
    hash: str
    intact: bool


class Proof(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of GET /ledger/proof."""

    balanced: bool
    currencies: tuple[Sum, ...]
    checks: tuple[Said, ...]
    chain: Chain
    claim: ProvenClaim | None = None


def _minor(text: str, currency: str, row: str) -> int:
    """An amount as the books keep it. Raises: Broken if it is not written as they write it."""
    decimals, found = book_exponent(currency), _NUMBER.fullmatch(text)
    if found is not None:
        sign, whole, fraction = found.groups()
        if len(fraction or "") <= decimals:
            minor = int(f"{sign}{whole}{(fraction or '').ljust(decimals, '0')}")
            if major_text(minor, decimals) == text:
                return minor
    raise Broken(row, f"has {text!r} where an amount in {currency} stands")


def read_statement(body: bytes, name: str) -> Statement:
    """A statement, if it adds up. Raises: Broken at the first line that does not."""
    try:
        rows = list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Broken("the statement", f"is no CSV: {error}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise Broken("line 1", "is not the header of a statement")
    for number, row in enumerate(rows, 1):
        if len(row) != len(COLUMNS):
            raise Broken(f"line {number}", "has another number of columns")
    if len(rows) < EDGES or rows[1][3] != "opening" or rows[-1][3] != "closing":
        raise Broken(f"line {len(rows)}", "does not close what line 2 opens: lines are missing")
    account, currency = rows[1][4], rows[1][5]
    if currency not in EXPONENTS:
        raise Broken("line 2", f"is in {currency!r}, which is no currency of ours")
    opening, closing = (_edge(rows[place], currency, place) for place in (1, len(rows) - 1))
    seq, balance = opening.seq, opening.balance
    for number, row in enumerate(rows[2:], 3):
        where = f"line {number}"
        if (row[4], row[5]) != (account, currency):
            raise Broken(where, f"is about {row[4]} in {row[5]}")
        if number == len(rows):
            break
        seq, balance = seq + 1, balance + _minor(row[6], currency, where)
        if row[8] != str(seq) or _minor(row[7], currency, where) != balance:
            raise Broken(where, f"is not posting {seq} with {balance} after it")
    if (closing.seq, closing.balance) != (seq, balance):
        raise Broken(f"line {len(rows)}", f"does not close with posting {seq} and {balance}")
    lines = {int(row[8]): tuple(row) for row in rows[2:-1]}
    return Statement(name, currency, account, opening, closing, lines)


def _edge(row: list[str], currency: str, place: int) -> Edge:
    where = f"line {place + 1}"
    if row[0] != row[1] or row[2] or row[6] != "0" or row[9] or row[10]:
        raise Broken(where, f"says more than {row[3]} lines do")
    if _SEQ.fullmatch(row[8]) is None:
        raise Broken(where, f"has {row[8]!r} where the number of a posting stands")
    return Edge(row[0], int(row[8]), _minor(row[7], currency, where))


def check_chains(statements: Iterable[Statement]) -> list[str]:
    """Compare statements of one account with each other; returns what lies between them.

    Raises: Broken if one ends where the next begins and they differ.
    """
    gaps = []
    ordered = sorted(statements, key=lambda one: (one.currency, one.account, one.opening.at))
    for one, other in pairwise(ordered):
        if (one.currency, one.account) != (other.currency, other.account):
            continue
        if one.closing.at == other.opening.at:
            if one.closing != other.opening:
                where = f"{other.name}, line 2,"
                raise Broken(where, f"does not open with what {one.name} closes with")
        else:
            gaps.append(f"{one.name} and {other.name} are not of periods that follow each other")
    return gaps


def read_proof(body: bytes) -> Proof:
    """A proof, if its entries hash to what it says and all its checks hold. Raises: Broken."""
    try:
        proof = msgspec.json.decode(body, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Broken("the proof", f"cannot be read: {error}") from error
    wrong = [check.name for check in proof.checks if not check.ok]
    wrong += [one.currency for one in proof.currencies if bytes(one.sum) != b"0"]
    if wrong or not proof.balanced or not proof.chain.intact:
        named = ", ".join(wrong) or "balanced or intact"
        raise Broken("the proof", f"says itself that the book is wrong: {named}")
    claim = proof.claim
    last = 0
    for entry in () if claim is None else claim.entries:
        row = f"entry {entry.height}"
        text = entry.canonical.encode()
        if sha256(text).hexdigest() != entry.hash:
            raise Broken(row, "has another hash than its text")
        if claim is None or _shown(entry) != _hashed(read_entry(text, row), claim):
            raise Broken(row, "says other things than the text that its hash covers")
        if not last < entry.height <= proof.chain.height:
            raise Broken(row, "is out of order")
        last = entry.height
    return proof


def _shown(entry: ProvenEntry) -> tuple[object, ...]:
    """What a proof says of an entry, beside its text."""
    row = f"entry {entry.height}"
    legs = tuple(
        (
            leg.currency,
            leg.account,
            leg.seq,
            _minor(bytes(leg.amount).decode(), leg.currency, row),
            _minor(bytes(leg.balance_after).decode(), leg.currency, row),
        )
        for leg in entry.postings
    )
    times = entry.created_at, entry.effective_at
    ids = entry.id, entry.type, entry.transaction_id, entry.claim_id
    return (entry.previous_hash, entry.height, *ids, *times, legs)


def _hashed(entry: Entry, claim: ProvenClaim) -> tuple[object, ...]:
    """The same of the text itself, which must be of this claim and book."""
    if (entry.claim_id, entry.book_id) != (claim.id, claim.book_id):
        raise Broken(f"entry {entry.height}", f"belongs to {entry.claim_id} of {entry.book_id}")
    times = _time(entry.created_ms), _time(entry.effective_ms)
    ids = entry.entry_id, entry.type, entry.payment_id, entry.claim_id
    return (entry.previous, entry.height, *ids, *times, entry.legs)


def _time(unix_ms: int) -> str:
    return clock.wire_time(clock.from_milliseconds(unix_ms))


class Against:
    """Compares statements, proofs and heads with an export, entry by entry."""

    def __init__(
        self, statements: list[Statement], proofs: list[Proof], heads: dict[int, str]
    ) -> None:
        """`heads`: hashes that were noted down, by height."""
        self._heads = [*heads.items(), *((one.chain.height, one.chain.hash) for one in proofs)]
        claims = [one.claim for one in proofs if one.claim is not None]
        self._proven = {entry.height: entry for claim in claims for entry in claim.entries}
        self._statements = statements
        self._hashes: dict[int, str] = {}
        self._wanted = {height for height, _ in self._heads}
        self._edges: dict[tuple[str, str, int], tuple[int, str]] = {}
        """Balance and time of the postings around the edges of statements."""
        self._seen: dict[int, int] = {}
        self._around = {
            (one.currency, one.account, edge.seq + more)
            for one in statements
            for edge in (one.opening, one.closing)
            for more in (0, 1)
        }

    def see(self, entry: Entry, digest: str) -> None:
        """One more entry of the export. Raises: Broken."""
        if entry.height in self._wanted:
            self._hashes[entry.height] = digest
        proven = self._proven.get(entry.height)
        if proven is not None and proven.hash != digest:
            raise Broken(f"entry {entry.height}", "of the export is another than that of the proof")
        for currency, account, seq, amount, balance in entry.legs:
            if (currency, account, seq) in self._around:
                self._edges[currency, account, seq] = (balance, _time(entry.created_ms))
            for place, one in enumerate(self._statements):
                line = one.lines.get(seq) if (currency, account) == _about(one) else None
                if line is None:
                    continue
                if line != _line(entry, currency, account, (seq, amount, balance)):
                    raise Broken(f"{one.name}, posting {seq},", "is not what the export has")
                self._seen[place] = self._seen.get(place, 0) + 1

    def end(self) -> None:
        """The export is over: everything must have been met. Raises: Broken."""
        for height, digest in self._heads:
            if height and self._hashes.get(height) != digest:
                found = self._hashes.get(height, "no such entry")
                text = f"the head {height}:{digest} is not in the export, which has {found}"
                raise Broken(f"entry {height}", text)
        for place, one in enumerate(self._statements):
            if self._seen.get(place, 0) != len(one.lines):
                raise Broken(one.name, "has lines that are not in the export")
            for edge in (one.opening, one.closing):
                self._check_edge(one, edge)

    def _check_edge(self, one: Statement, edge: Edge) -> None:
        before = self._edges.get((*_about(one), edge.seq), (0, ""))
        after = self._edges.get((*_about(one), edge.seq + 1))
        is_there = edge.seq == 0 or before[1] != ""
        if not is_there or before[0] != edge.balance:
            raise Broken(one.name, f"has another balance at posting {edge.seq} than the export")
        if before[1] >= edge.at > "" or (after is not None and after[1] < edge.at):
            raise Broken(one.name, f"is not cut at {edge.at}: posting {edge.seq} is not the last")


def _about(one: Statement) -> tuple[str, str]:
    return one.currency, one.account


def _line(
    entry: Entry, currency: str, account: str, numbers: tuple[int, int, int]
) -> tuple[str, ...]:
    """The line of a statement that shows this posting."""
    seq, amount, balance = numbers
    decimals = book_exponent(currency)
    return (
        _time(entry.created_ms),
        _time(entry.effective_ms),
        entry.entry_id,
        entry.type,
        account,
        currency,
        major_text(amount, decimals),
        major_text(balance, decimals),
        str(seq),
        entry.payment_id or "",
        entry.claim_id or "",
    )

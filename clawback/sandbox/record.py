"""The sandbox provider's durable record: one SQLite file, one writer, many writes a commit.

WAL with synchronous=NORMAL: a commit survives `kill -9` of the process at any point, because the
pages are in the system's cache by then; a loss of power could take the last commits, which would
cost the oracle of a test machine some tests and nobody any money. FULL would pay an fsync per
turn of the event loop for that. A second process on the same file is refused.
"""

import fcntl
import re
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from clawback.clock import from_milliseconds, milliseconds
from clawback.sandbox.protocol import ChargeStatus, DisputeKind, DisputeStatus, RefundStatus

_NAMED: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

Bindable = str | int | bytes | None
ChargeStep = Literal["completed", "failed", "expired"]
RefundStep = Literal["settled", "named", "returned"]
DisputeStep = Literal["opened", "decided"]


class ChargeRow(msgspec.Struct, frozen=True):
    """A charge, in the order of its columns. Times in Unix milliseconds of the book's clock."""

    number: int
    reference: str
    book: str
    method: str
    country: str
    amount_minor: int
    refunded_minor: int
    currency: str
    payment_data: str
    status: ChargeStatus
    rail_reference: str | None
    expires_at_ms: int | None
    decided_at_ms: int | None
    failure_code: str | None
    step: ChargeStep | None
    step_at_ms: int | None
    answer: bytes


class RefundRow(msgspec.Struct, frozen=True):
    """A refund, in the order of its columns. `effects`: 1 while the money is out."""

    number: int
    reference: str
    charge_reference: str
    book: str
    method: str
    amount_minor: int
    currency: str
    status: RefundStatus
    reason: str | None
    rail_reference: str | None
    settles_at_ms: int | None
    settled_at_ms: int | None
    returned_at_ms: int | None
    effects: int
    bounces: int
    step: RefundStep | None
    step_at_ms: int | None
    payee: str | None
    answer: bytes


class DisputeRow(msgspec.Struct, frozen=True):
    """A case, in the order of its columns; `planned` until its network opens it.

    `changes` counts what was told of it; `ended_by` is the refund that ended an inquiry.
    """

    number: int
    name: str
    charge_reference: str
    book: str
    kind: DisputeKind
    round: int
    changes: int
    status: DisputeStatus | Literal["planned"]
    amount_minor: int
    granted_minor: int
    currency: str
    reason: str | None
    reason_code: str | None
    rail_reference: str | None
    evidence_due_at_ms: int | None
    submitted_at_ms: int | None
    changed_at_ms: int
    next_case: str | None
    ended_by: str | None
    step: DisputeStep | None
    step_at_ms: int | None


def queries(text: str) -> dict[str, str]:
    """The statements of a .sql file by name."""
    parts = _NAMED.split(text)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


class Record:
    """The open record. Reads see all writes at once; `commit` makes them durable."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises: BlockingIOError if another process has it open."""
        self._lock = path.with_name(path.name + ".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._sql = queries(Path(__file__).with_name("record.sql").read_text())
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._db.executescript(self._sql["open"])
        self._db.executescript(self._sql["schema"])
        self._is_open = False
        self._offsets: dict[str, int] = dict(self._db.execute(self._sql["offsets"]).fetchall())
        self._numbers = list(self.one("last_numbers") or (0, 0, 0, 0))

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._db.close()
        self._lock.close()

    def commit(self) -> None:
        """Make durable what was written since the last commit."""
        if self._is_open:
            self._db.execute(self._sql["commit"])
            self._is_open = False

    def write(self, name: str, *values: Bindable) -> None:
        """Run a writing statement, in the transaction of this turn."""
        if not self._is_open:
            self._db.execute(self._sql["begin"])
            self._is_open = True
        self._db.execute(self._sql[name], values)

    def one(self, name: str, *values: Bindable) -> tuple[Bindable, ...] | None:
        """The first row of a query, or None."""
        row: tuple[Bindable, ...] | None = self._db.execute(self._sql[name], values).fetchone()
        return row

    def many(self, name: str, *values: Bindable) -> list[tuple[Bindable, ...]]:
        """All rows of a query."""
        return self._db.execute(self._sql[name], values).fetchall()

    def next_number(self, kind: Literal["charge", "refund", "notice", "dispute"]) -> int:
        """The next running number of a table; a gap is left if its row is never written."""
        index = ("charge", "refund", "notice", "dispute").index(kind)
        number = int(self._numbers[index] or 0) + 1
        self._numbers[index] = number
        return number

    def offset_ms(self, book: str) -> int:
        """How far the book's clock is ahead of real time."""
        return 1000 * self._offsets.get(book, 0)

    def hear_clock(self, book: str, *, book_time: datetime, real: datetime) -> bool:
        """Learn a book's clock from a request; it only moves forward. Tells whether it moved.

        The offset is whole seconds and the request is never younger than its stamp, so rounding
        up finds the offset exactly whatever the way took, below a second.
        """
        ahead_ms = milliseconds(book_time) - milliseconds(real)
        offset_seconds = -(-ahead_ms // 1000)
        if offset_seconds <= self._offsets.get(book, 0):
            return False
        self._offsets[book] = offset_seconds
        self.write("keep_offset", book, offset_seconds)
        self.write("move_charges", book, offset_seconds)
        self.write("move_refunds", book, offset_seconds)
        self.write("move_disputes", book, offset_seconds)
        return True

    def charge(self, reference: str) -> ChargeRow | None:
        """The charge of this reference, or None."""
        row = self.one("charge", reference)
        return None if row is None else ChargeRow(*row)  # type: ignore[arg-type] # by column

    def refund(self, reference: str) -> RefundRow | None:
        """The refund of this reference, or None."""
        row = self.one("refund", reference)
        return None if row is None else RefundRow(*row)  # type: ignore[arg-type] # by column

    def add_charge(self, row: ChargeRow) -> None:
        """Write a new charge. Bug: the reference exists."""
        self.write("add_charge", *msgspec.structs.astuple(row), self._real_ms(row))

    def keep_charge(self, row: ChargeRow) -> None:
        """Write what became of a charge."""
        self.write(
            "keep_charge",
            row.reference,
            row.status,
            row.rail_reference,
            row.decided_at_ms,
            row.failure_code,
            row.step,
            row.step_at_ms,
            self._real_ms(row),
        )

    def add_refund(self, row: RefundRow) -> None:
        """Write a new refund. Bug: the reference exists."""
        self.write("add_refund", *msgspec.structs.astuple(row), self._real_ms(row))

    def keep_refund(self, row: RefundRow) -> None:
        """Write what became of a refund."""
        self.write(
            "keep_refund",
            row.reference,
            row.status,
            row.reason,
            row.rail_reference,
            row.settled_at_ms,
            row.returned_at_ms,
            row.effects,
            row.bounces,
            row.step,
            row.step_at_ms,
            self._real_ms(row),
        )

    def dispute(self, name: str) -> DisputeRow | None:
        """The case of this name, or None."""
        row = self.one("dispute", name)
        return None if row is None else DisputeRow(*row)  # type: ignore[arg-type] # by column

    def disputes_of(self, charge_reference: str) -> list[DisputeRow]:
        """All cases about a charge, oldest first."""
        names = self.many("disputes_of", charge_reference)
        return [row for (name,) in names if (row := self.dispute(str(name))) is not None]

    def add_dispute(self, row: DisputeRow) -> None:
        """Write a new case. Bug: the name exists."""
        self.write("add_dispute", *msgspec.structs.astuple(row), self._real_ms(row))

    def keep_dispute(self, row: DisputeRow) -> None:
        """Write what became of a case."""
        self.write(
            "keep_dispute",
            row.name,
            row.round,
            row.changes,
            row.status,
            row.granted_minor,
            row.reason,
            row.rail_reference,
            row.evidence_due_at_ms,
            row.submitted_at_ms,
            row.changed_at_ms,
            row.next_case,
            row.ended_by,
            row.step,
            row.step_at_ms,
            self._real_ms(row),
        )

    def _real_ms(self, row: ChargeRow | RefundRow | DisputeRow) -> int | None:
        return None if row.step_at_ms is None else row.step_at_ms - self.offset_ms(row.book)


def maybe_time(unix_ms: int | None) -> datetime | None:
    """A stored time as a time."""
    return None if unix_ms is None else from_milliseconds(unix_ms)

"""The fault script: which of the coming calls go wrong, and how.

Scripts are stored, so a restart keeps them. The oldest script that matches a call and still has
faults gives its next one; with `repeat` it starts over; where none matches, a mix may. Every fault
that fires is counted and can be read back, so that a test knows that what it survived did happen.
"""

from collections import Counter
from typing import cast

import msgspec

from clawback.ids import base36
from clawback.sandbox.mixes import Mixes
from clawback.sandbox.protocol import CALL_FAULTS, NOTICE_FAULTS, AskFault, Fault
from clawback.sandbox.record import Record

MAX_SEQUENCE = 50


class Script:
    """The faults of all books, as they stand in the record."""

    def __init__(self, record: Record, *, hold_seconds: float) -> None:
        """Load what the record holds. `hold_seconds`: how long a time-out is held."""
        self._record = record
        self._hold_seconds = hold_seconds
        self.mixes = Mixes(record)
        self._faults: dict[int, Fault] = {}
        for row in record.many("faults"):
            number, operation, remaining, repeat, charge_reference, book, fired = row
            self._faults[cast(int, number)] = Fault(
                id=_name(cast(int, number)),
                operation=cast(str, operation),
                remaining=msgspec.json.decode(cast(str, remaining), type=list[str]),
                repeat=bool(repeat),
                charge_reference=cast("str | None", charge_reference),
                book=cast("str | None", book),
                fired=msgspec.json.decode(cast(str, fired), type=dict[str, int]),
            )

    def add(self, asked: AskFault) -> Fault | None:
        """Store a script, or find the one of this reference.

        None if its sequence is empty, too long or names no fault.
        """
        known = NOTICE_FAULTS if asked.operation == "webhook" else CALL_FAULTS
        if not 1 <= len(asked.sequence) <= MAX_SEQUENCE or not set(asked.sequence) <= set(known):
            return None
        found = self._known(asked.reference)
        if found is not None:
            return found
        number = 1 + max(self._faults, default=0)
        self._record.write(
            "add_fault",
            number,
            asked.operation,
            _json(asked.sequence),
            asked.repeat,
            asked.charge_reference,
            asked.book,
        )
        if asked.reference is not None:
            self._record.write("add_fault_call", asked.reference, number)
        self._faults[number] = Fault(
            id=_name(number),
            operation=asked.operation,
            remaining=list(asked.sequence),
            repeat=asked.repeat,
            charge_reference=asked.charge_reference,
            book=asked.book,
            fired={},
        )
        return self._faults[number]

    def _known(self, reference: str | None) -> Fault | None:
        row = None if reference is None else self._record.one("fault_call", reference)
        return None if row is None else self._faults.get(cast(int, row[0]))

    def all(self, book: str | None) -> list[Fault]:
        """The scripts of a book, spent ones too; None: of all books."""
        return [f for f in self._faults.values() if book is None or f.book == book]

    def clear(self, book: str | None) -> int:
        """Forget the scripts of a book (None: of all books); how many there were."""
        numbers = [n for n, f in self._faults.items() if book is None or f.book == book]
        for number in numbers:
            del self._faults[number]
            self._record.write("drop_fault", number)
        return len(numbers)

    @property
    def hold_seconds(self) -> float:
        """How long a time-out is held now."""
        wanted = self.mixes.hold_seconds
        return self._hold_seconds if wanted is None else wanted

    def draw(self, operation: str, *, book: str, charge_reference: str | None) -> str:
        """The fault of this call, taken off its script; "none" if nothing strikes it."""
        for number, fault in self._faults.items():
            if fault.operation != operation or not fault.remaining:
                continue
            if fault.book not in {None, book}:
                continue
            if fault.charge_reference in {None, charge_reference}:
                return self._fire(number, fault)
        return self.mixes.draw(operation, book=book)

    def _fire(self, number: int, fault: Fault) -> str:
        name, *rest = fault.remaining
        fired = Counter(fault.fired)
        fired[name] += 1
        remaining = [*rest, name] if fault.repeat else rest
        self._faults[number] = msgspec.structs.replace(
            fault, remaining=remaining, fired=dict(fired)
        )
        self._record.write("keep_fault", number, _json(remaining), _json(dict(fired)))
        return name


def _name(number: int) -> str:
    return f"flt_{base36(number, 6).lower()}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

"""The rows of a batch as they come: JSON objects or CSV lines, each with what is wrong with it.

Whatever is wrong with one row's values is that row's own refusal and stops no other row. What is
wrong with a CSV file as a file (encoding, header, quoting, number of rows) refuses the request and
names the line. Pure.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from clawback.errors import InvalidAmount, Refused
from clawback.money import (
    Amount,
    AmountError,
    Loose,
    NumberText,
    decode_amount,
    not_negative,
    positive,
)
from clawback.payments.refusals import FieldInvalid, FieldMissing

MOST_ROWS: Final = 1_000
MOST_REASON: Final = 500
MOST_REFERENCE: Final = 128
SHOWN: Final = 64
"""Characters of a payment's name that are echoed; no name of ours is longer."""
COLUMNS: Final = ("transactionId", "amount", "reason", "expectedRemaining", "reference")

_QUOTED: Final = r'"((?:[^"]++|"")*+)"'
_PLAIN: Final = r'([^",\r\n]*+)'
_CELL: Final = re.compile(rf"(?:{_QUOTED}|{_PLAIN})(,|\r\n|\n|\Z)")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class GivenRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A row that was read: what it asks for, or its own refusal."""

    transaction_id: str | None = None
    amount: Amount | None = None
    reason: str | None = None
    expected_remaining: Amount | None = None
    reference: str | None = None
    fault: Refused | None = None


class RowBody(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A row of a JSON batch. Its values may be anything: they are the row's own affair."""

    transaction_id: Loose | None = None
    amount: Loose | msgspec.UnsetType = msgspec.UNSET
    reason: Loose | None = None
    expected_remaining: Loose | msgspec.UnsetType = msgspec.UNSET
    reference: Loose | None = None


class InvalidCsv(Refused, frozen=True, kw_only=True):
    """The file is no CSV of this call: encoding, header, quoting or number of rows."""

    code = "invalid_csv"
    message = "The CSV file cannot be read; details.line says where."
    line: int

    def details(self) -> dict[str, object]:
        """The line, counted from 1."""
        return {"line": self.line}


def read_row(row: RowBody) -> GivenRow:
    """The row's values, or what is wrong with the first that is wrong."""
    name, reason, reference = map(_value, (row.transaction_id, row.reason, row.reference))
    shown = name if isinstance(name, str) and len(name) <= SHOWN else None
    kept = reference if isinstance(reference, str) and len(reference) <= MOST_REFERENCE else None
    fault = _text_fault(name, reason, reference)
    amount = expected = None
    param = "amount"
    try:
        if fault is None and row.amount is not msgspec.UNSET:
            amount = positive(decode_amount(Amount, row.amount.value))
        param = "expectedRemaining"
        if fault is None and row.expected_remaining is not msgspec.UNSET:
            expected = not_negative(decode_amount(Amount, row.expected_remaining.value))
    except AmountError as error:
        fault = InvalidAmount(param=param, rule=error.rule, maximum=error.maximum)
    return GivenRow(
        transaction_id=shown,
        amount=amount,
        reason=reason if fault is None and isinstance(reason, str) else None,
        expected_remaining=expected,
        reference=kept,
        fault=fault,
    )


def _value(given: Loose | None) -> object:
    return None if given is None else given.value


def _text_fault(name: object, reason: object, reference: object) -> Refused | None:
    """The first fault among the texts: absent comes before malformed, then by name."""
    if name is None:
        return FieldMissing(param="transactionId")
    for param, value, longest in (
        ("reason", reason, MOST_REASON),
        ("reference", reference, MOST_REFERENCE),
        ("transactionId", name, None),
    ):
        if value is None:
            continue
        if not isinstance(value, str) or (longest is not None and len(value) > longest):
            return FieldInvalid(param=param)
    return None


def read_csv(body: bytes) -> tuple[GivenRow, ...] | InvalidCsv:
    """The rows of a CSV file (RFC 4180, UTF-8 without a mark, a header line)."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return InvalidCsv(line=1 + body.count(b"\n", 0, error.start))
    control = _CONTROL.search(text)
    if control is not None or text.startswith("\ufeff"):
        return InvalidCsv(line=1 if control is None else 1 + text.count("\n", 0, control.start()))
    header: list[str] = []
    rows: list[GivenRow] = []
    line = 1
    for record, number in _records(text):
        line = number
        if record is None:
            return InvalidCsv(line=number)
        if not header:
            header = record
            if not _is_header(header):
                return InvalidCsv(line=number)
        elif len(record) != len(header) or len(rows) == MOST_ROWS:
            return InvalidCsv(line=number)
        else:
            rows.append(_cells(dict(zip(header, record, strict=True))))
    return tuple(rows) if rows else InvalidCsv(line=line)


def _is_header(names: list[str]) -> bool:
    is_known = set(names) <= set(COLUMNS)
    return is_known and len(set(names)) == len(names) and "transactionId" in names


def _records(text: str) -> Iterator[tuple[list[str] | None, int]]:
    """Records with the line that each begins on; None for one that cannot be read, the last."""
    place, line = 0, 1
    while place < len(text):
        record: list[str] = []
        began, end = line, ","
        while end == ",":
            cell = _CELL.match(text, place)
            if cell is None or len(record) == len(COLUMNS):
                yield None, line
                return
            quoted, plain, end = cell.groups()
            record.append(plain if quoted is None else quoted.replace('""', '"'))
            line += cell.group().count("\n")
            place = cell.end()
        yield record, began


def _cells(row: dict[str, str]) -> GivenRow:
    """An empty cell is an absent value; amounts are written like numbers of JSON."""
    cells = {name: cell for name, cell in row.items() if cell}
    numbers = {
        name: Loose(NumberText(cells[name]))
        for name in ("amount", "expectedRemaining")
        if name in cells
    }
    texts = {name: Loose(cell) for name, cell in cells.items()}
    return read_row(
        RowBody(
            transaction_id=texts.get("transactionId"),
            amount=numbers.get("amount", msgspec.UNSET),
            reason=texts.get("reason"),
            expected_remaining=numbers.get("expectedRemaining", msgspec.UNSET),
            reference=texts.get("reference"),
        )
    )

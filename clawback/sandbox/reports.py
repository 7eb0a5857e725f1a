"""What the sandbox provider shows of itself: its record, its faults, what comes next.

The record is read by tests as an oracle: it lists every charge, refund and case with how often
it was asked for and whether money is out. Nothing here changes money; faults can be
cleared.
"""

from typing import Final, TypeVar, cast

import msgspec

from clawback.sandbox import protocol
from clawback.sandbox.record import Bindable, Record
from clawback.sandbox.script import Script

PAGE_ROWS: Final = 250  # a page stays below the callers' cap of 64 KiB
LineT = TypeVar("LineT", protocol.RecordedRefund, protocol.RecordedCharge, protocol.RecordedDispute)
_encode: Final = msgspec.json.Encoder().encode


class Reports:
    """Answers the calls that look at the provider from outside."""

    def __init__(self, record: Record, script: Script) -> None:
        """Read from these two."""
        self._record = record
        self._script = script

    def answer(self, method: str, path: tuple[str, ...], query: dict[str, str]) -> bytes | None:
        """The body of the answer; None if there is no such call."""
        match method, path:
            case "GET", ("faults",):
                return _encode(protocol.Faults(data=self._script.all(query.get("book"))))
            case "DELETE", ("faults",):
                return _encode(protocol.Cleared(cleared=self._script.clear(query.get("book"))))
            case "GET", ("mixes",):
                return _encode(protocol.Mixed(data=self._script.mixes.all()))
            case "DELETE", ("mixes",):
                return _encode(protocol.Cleared(cleared=self._script.mixes.clear()))
            case "GET", ("record", "refunds"):
                return _encode(self._refunds(query))
            case "GET", ("record", "charges"):
                return _encode(self._charges(query))
            case "GET", ("record", "disputes"):
                return _encode(self._disputes(query))
            case "GET", ("record", "totals"):
                return _encode(self._totals())
            case _:
                return None

    def _refunds(self, query: dict[str, str]) -> protocol.RefundRecord:
        rows = self._page("recorded_refunds", query)
        data = [_line(row, protocol.RecordedRefund) for row in rows]
        return protocol.RefundRecord(data=data, next=_next_cursor(rows))

    def _charges(self, query: dict[str, str]) -> protocol.ChargeRecord:
        rows = self._page("recorded_charges", query)
        data = [_line(row, protocol.RecordedCharge) for row in rows]
        return protocol.ChargeRecord(data=data, next=_next_cursor(rows))

    def _disputes(self, query: dict[str, str]) -> protocol.DisputeRecord:
        rows = self._page("recorded_disputes", query)
        data = [_line(row, protocol.RecordedDispute) for row in rows]
        return protocol.DisputeRecord(data=data, next=_next_cursor(rows))

    def _page(self, name: str, query: dict[str, str]) -> list[tuple[Bindable, ...]]:
        after = query.get("after", "0")
        cursor = int(after) if after.isdecimal() and after.isascii() else 0
        return self._record.many(name, cursor, query.get("charge"), query.get("book"), PAGE_ROWS)

    def _totals(self) -> protocol.Totals:
        charges = self._record.many("charge_totals")
        refunds = self._record.many("refund_totals")
        return protocol.Totals(
            charges={str(status): cast(int, count) for status, count in charges},
            refunds={str(status): cast(int, count) for status, count, _, _ in refunds},
            effects=sum(cast(int, effects) for _, _, effects, _ in refunds),
            calls=sum(cast(int, asked) for _, _, _, asked in refunds),
        )


def _line(row: tuple[Bindable, ...], kind: type[LineT]) -> LineT:
    """A row, without its number, as a line of the record: the columns are in the fields' order."""
    values = dict(zip(kind.__struct_encode_fields__, row[1:], strict=True))
    return msgspec.convert(values, kind)


def _next_cursor(rows: list[tuple[Bindable, ...]]) -> int | None:
    """Where the next page begins; None after the last one."""
    return cast(int, rows[-1][0]) if len(rows) == PAGE_ROWS else None

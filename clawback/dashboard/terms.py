"""The terms of a book: what it charges, holds back and allows. Used here and by the command line.

They are read from what was typed, strictly and exactly, and changed in one transaction that locks
the book's row and notes the act. What is wrong is told for each term, and nothing is changed then.
A change holds for what happens after it: nothing that was booked is touched.
"""

import asyncio
import re
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from clawback import clock
from clawback.dashboard import people
from clawback.db import queries
from clawback.payments.settling import UTC_HOURS
from clawback.providers.methods import load_methods
from clawback.work import calendar

if TYPE_CHECKING:
    from clawback.dashboard.people import By, Place, Session

SQL: Final = queries.load(__package__, "terms.sql")
NONE: Final = "-"
"""How "none" is typed."""
FEE: Final = "fee."
YES: Final = {"yes": True, "no": False}

Unit = Literal["usd", "percent", "days", "hours", "country", "answer"]
Columns = dict[str, object]

_ONE: Final = 10_000
_AMOUNT: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,4}))?", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_CALENDAR: Final = ("settle_calendar", "settle_days", "settle_off_days", "settle_calendar_version")
_MOST_NOTED: Final = 500


class Term(msgspec.Struct, frozen=True):
    """One term: the name it is typed by, its column, unit and range.

    The range is the column's own, in what is typed: USD, percent, days or hours.
    """

    name: str
    column: str
    unit: Unit
    most: int = 0
    least: int = 0
    is_optional: bool = False


TERMS: Final = (
    Term("threshold", "approval_threshold_usd_e4", "usd", 100_000_000_000, is_optional=True),
    Term("credit-line", "credit_line_usd_e4", "usd", 100_000_000_000),
    Term("reserve", "reserve_percent_e4", "percent", 100),
    Term("reserve-days", "reserve_days", "days", 730, 1),
    Term("settle-hours", "settle_hours", "hours", 17_520),
    Term("settle-calendar", "settle_calendar", "country", is_optional=True),
    Term("settle-days", "settle_days", "days", 60, 1, is_optional=True),
    Term("dispute-fee", "dispute_fee_usd_e4", "usd", 10_000),
    Term("require-idempotency-key", "require_idempotency_key", "answer"),
    Term("idempotency-hours", "idempotency_hours", "hours", 8_760, 24),
)
_BY_NAME: Final = {term.name: term for term in TERMS}
_FEE_PERCENT: Final = Term("fee", "", "percent", 100)
_FEE_FIXED: Final = Term("fee", "", "usd", 10_000)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with something typed: a text for people, with the values that stand in it."""

    text: str
    least: int = 0
    most: int = 0


class TermsRefused(Exception):
    """Nothing was changed; `faults` says by name what is wrong."""

    def __init__(self, faults: Mapping[str, Fault]) -> None:
        """Keep them."""
        super().__init__(", ".join(faults))
        self.faults = dict(faults)


class TermsMoved(Exception):
    """Somebody else has changed the terms since they were looked at."""


_NO_AMOUNT: Final = Fault("This is no amount: write it as 10 or 10.5.")
_NO_WHOLE: Final = Fault("This is no whole number: write it as 48.")
_NO_ANSWER: Final = Fault("Say yes or no.")
_NO_CALENDAR: Final = Fault("There is no calendar of this country.")
_NO_TERM: Final = Fault("This is no setting.")
_NO_METHOD: Final = Fault("There is no payment method of this name.")
_NEEDED: Final = Fault("This cannot be none.")
_NO_DAYS: Final = Fault("Say after how many business days.")
_NO_COUNTRY: Final = Fault("Days need the country whose business days they are.")


def _out_of(term: Term) -> Fault:
    return Fault("This is out of range: {least} to {most}.", term.least, term.most)


def read(name: str, text: str) -> int | str | bool | Fault | None:
    """The value of a term as typed, in the unit of its column; None for none."""
    term, text = _BY_NAME.get(name), text.strip()
    if term is None:
        return _NO_TERM
    if text in {NONE, ""}:
        return None if term.is_optional else _NEEDED
    match term.unit:
        case "usd" | "percent":
            return _amount(term, text)
        case "days" | "hours":
            whole = int(text) if _WHOLE.fullmatch(text) else None
            if whole is None:
                return _NO_WHOLE
            return whole if term.least <= whole <= term.most else _out_of(term)
        case "country":
            return text if text in UTC_HOURS else _NO_CALENDAR
        case "answer":
            return YES.get(text, _NO_ANSWER)


def _amount(term: Term, text: str) -> int | Fault:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return _NO_AMOUNT
    value = int(found[1]) * _ONE + int((found[2] or "").ljust(4, "0"))
    return value if value <= term.most * _ONE else _out_of(term)


def read_fee(method: str, text: str) -> tuple[int, int] | Fault | None:
    """Percent and fixed part of a method's fee, as `2.9+0.30`; None for the method's own."""
    if load_methods().by_id(method) is None:
        return _NO_METHOD
    if text.strip() in {NONE, ""}:
        return None
    percent, sign, fixed = text.strip().partition("+")
    parts = _amount(_FEE_PERCENT, percent), _amount(_FEE_FIXED, fixed if sign else "0")
    for part in parts:
        if isinstance(part, Fault):
            return part
    return parts  # type: ignore[return-value]  # no faults are left among them


def shown(name: str, value: object) -> str:
    """A term as it is typed; the reverse of `read`."""
    term = _BY_NAME[name]
    if value is None:
        return NONE
    if term.unit == "answer":
        return "yes" if value else "no"
    return _plain(int(str(value))) if term.unit in {"usd", "percent"} else str(value)


def shown_fee(fee: tuple[int, int] | None) -> str:
    """A fee as it is typed; the reverse of `read_fee`."""
    return NONE if fee is None else f"{_plain(fee[0])}+{_plain(fee[1])}"


def _plain(value_e4: int) -> str:
    """1/10,000 as a decimal without needless zeros."""
    return f"{(Decimal(value_e4) / _ONE).normalize():f}"


def fees_of(columns: Mapping[str, object]) -> dict[str, tuple[int, int]]:
    """A book's own fees by method."""
    return msgspec.json.decode(str(columns["fees"]), type=dict[str, tuple[int, int]])


def typed(columns: Mapping[str, object]) -> dict[str, str]:
    """All terms of a book as they are typed, its own fees too."""
    own = {f"{FEE}{method}": shown_fee(fee) for method, fee in fees_of(columns).items()}
    return {term.name: shown(term.name, columns[term.column]) for term in TERMS} | own


def stamp(columns: Mapping[str, object]) -> str:
    """What terms that were looked at are known by, so that no later change is overwritten."""
    return sha256(msgspec.json.encode(typed(columns), order="sorted")).hexdigest()[:32]


async def load(session: "Session", place: "Place") -> Columns:
    """A book's terms. Bug: there is no such book."""
    row = await SQL.read_terms(session, book_id=place.book_id)
    assert row is not None, place
    return dict(row)


async def change(
    session: "Session",
    place: "Place",
    given: Mapping[str, str],
    by: "By",
    looked_at: str | None = None,
) -> None:
    """Change some terms of a book, as they were typed; what stays as it was is no change.

    Raises: TermsRefused, TermsMoved if `looked_at` is no longer what holds. Bug: no such book.
    """
    async with session.transaction():
        row = await SQL.lock_terms(session, book_id=place.book_id)
        assert row is not None, place
        before: Columns = dict(row)
        if looked_at not in {None, stamp(before)}:
            raise TermsMoved
        was = typed(before)
        after = _changed(before, given)
        days_off = after["settle_calendar"]
        if days_off is None:
            after |= dict.fromkeys(_CALENDAR)
        elif days_off != before["settle_calendar"]:
            this_year = clock.real_now().year
            found = await asyncio.to_thread(calendar.off_days, str(days_off), this_year)
            after |= {"settle_off_days": found.days, "settle_calendar_version": found.version}
        now = typed(after)
        names = [name for name in {**was, **now} if was.get(name, NONE) != now.get(name, NONE)]
        if not names:
            return
        await SQL.set_terms(session, book_id=place.book_id, **after)
        note = " ".join(f"{name}={now.get(name, NONE)}" for name in names)[:_MOST_NOTED]
        await people.note(session, place, "book_set", place.book_id, by, note)


def _changed(before: Columns, given: Mapping[str, str]) -> Columns:
    """The columns with what was typed. Raises: TermsRefused."""
    after, faults, own = dict(before), dict[str, Fault](), fees_of(before)
    for name, text in given.items():
        if name.startswith(FEE):
            method = name.removeprefix(FEE)
            fee = read_fee(method, text)
            if isinstance(fee, Fault):
                faults[name] = fee
            elif fee is None:
                own.pop(method, None)
            else:
                own[method] = fee
            continue
        value = read(name, text)
        if isinstance(value, Fault):
            faults[name] = value
        else:
            after[_BY_NAME[name].column] = value
    faults |= _calendar_faults(after, given, faults)
    if faults:
        raise TermsRefused(faults)
    return {**after, "fees": msgspec.json.encode(own).decode()}


def _calendar_faults(
    after: Columns, given: Mapping[str, str], faults: Mapping[str, Fault]
) -> dict[str, Fault]:
    """A calendar and its days go together; a calendar that is taken away takes its days along."""
    if faults.keys() & {"settle-calendar", "settle-days"}:
        return {}
    if after["settle_calendar"] is not None and after["settle_days"] is None:
        return {"settle-days": _NO_DAYS}
    days = given.get("settle-days", NONE).strip()
    if after["settle_calendar"] is None and days not in {NONE, ""}:
        return {"settle-calendar": _NO_COUNTRY}
    return {}

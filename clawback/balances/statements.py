"""GET /ledger/statement: an account's postings over a period, as CSV, between two balances.

A period is cut by places in the account, not by times: statements of periods that follow each
other chain without a gap and without a line in both, whatever the clocks did. Lines are read and
sent in pieces, so that a statement may be of any length; its last line says that it is whole.
"""

import csv
import io
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.currencies import EXPONENTS, book_exponent
from clawback.db import queries
from clawback.errors import Refused
from clawback.ledger import accounts
from clawback.lists import ParameterRefused
from clawback.money import major_text
from clawback.providers.methods import load_methods
from clawback.route import Answer, Call, NoBody, Route, Streamed

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "queries.sql")
LONGEST: Final = timedelta(days=92)
MOMENT: Final = timedelta(milliseconds=1)
PIECE: Final = 1_000
"""Lines that are read at once."""
COLUMNS: Final = (
    "postedAt", "effectiveAt", "entryId", "type", "account", "currency", "amount", "balanceAfter",
    "seq", "transactionId", "claimId",
)  # fmt: skip
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


class StatementQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which account, and its period: `from_` is included, `to` is not."""

    account: str
    currency: str
    from_: datetime = msgspec.field(name="from")
    to: datetime


class Place(msgspec.Struct, frozen=True):
    """A place between two postings of an account: the number of the one before, its balance."""

    at: datetime
    seq: int
    balance: int


async def statement(call: Call[NoBody, StatementQuery]) -> Answer | Streamed | Refused:
    """GET /ledger/statement. Refuses: ParameterRefused, naming the first parameter at fault."""
    refused = _refusal(call.query)
    if refused is not None:
        return refused
    async with call.services.reader() as connection:
        known = await SQL.find_account(connection, **_account(call))
        provider = accounts.provider_of(call.query.account)
        if provider is not None and not known["is_used"] and provider not in _providers():
            return ParameterRefused(param="account")
        opening = await _place(connection, call, call.query.from_)
        closing = await _place(connection, call, call.query.to)
    # A time that is still to come stands for now, after all that was seen.
    now = clock.book_time(clock.real_now() + MOMENT, known["clock_offset_seconds"])
    opening, closing = (
        msgspec.structs.replace(place, at=min(place.at, now)) for place in (opening, closing)
    )
    return Streamed(lambda: _pieces(call, opening, closing), "text/csv; charset=utf-8")


def _refusal(query: StatementQuery) -> Refused | None:
    """What is wrong with the parameters by themselves, the alphabetically first."""
    has_form = accounts.provider_of(query.account) or query.account in accounts.NORMAL_SIDE
    if not has_form:
        return ParameterRefused(param="account")
    if query.currency not in EXPONENTS:
        return ParameterRefused(param="currency")
    if not accounts.is_in_chart(query.account, query.currency):
        return ParameterRefused(param="account")
    if not timedelta() <= query.to - query.from_ <= LONGEST:
        return ParameterRefused(param="to")
    return None


def _providers() -> set[str]:
    return {method.provider for method in load_methods().all}


def _account(call: Call[NoBody, StatementQuery]) -> dict[str, object]:
    return {
        "shard": call.book.shard,
        "book_id": call.book.book_id,
        "currency": call.query.currency,
        "account": call.query.account,
    }


async def _place(
    connection: "PoolConnectionProxy", call: Call[NoBody, StatementQuery], at: datetime
) -> Place:
    row = await SQL.find_place(connection, **_account(call), at=at)
    return Place(at, row["seq"], row["balance"])


async def _pieces(
    call: Call[NoBody, StatementQuery], opening: Place, closing: Place
) -> AsyncGenerator[bytes, None]:
    """The statement: each piece is read on its own, and no connection is held meanwhile."""
    account = _account(call)
    yield _csv([COLUMNS, _edge("opening", call.query, opening)])
    seq = opening.seq
    while seq < closing.seq:
        async with call.services.reader() as connection:
            rows = await SQL.read_lines(
                connection, **account, after_seq=seq, last_seq=closing.seq, limit=PIECE
            )
        yield _csv(_line(call.query, row) for row in rows)
        seq = rows[-1]["seq"]
    yield _csv([_edge("closing", call.query, closing)])


def _edge(kind: str, query: StatementQuery, place: Place) -> tuple[str, ...]:
    at, decimals = clock.wire_time(place.at), book_exponent(query.currency)
    balance = major_text(place.balance, decimals)
    return at, at, "", kind, query.account, query.currency, "0", balance, str(place.seq), "", ""


def _line(query: StatementQuery, row: "Record") -> tuple[str, ...]:
    decimals = book_exponent(query.currency)
    return (
        clock.wire_time(row["created_at"]),
        clock.wire_time(row["effective_at"]),
        guarded(row["entry_id"]),
        guarded(row["type"]),
        guarded(query.account),
        guarded(query.currency),
        major_text(row["amount"], decimals),
        major_text(row["balance_after"], decimals),
        str(row["seq"]),
        guarded(row["payment_id"] or ""),
        guarded(row["claim_id"] or ""),
    )


def guarded(text: str) -> str:
    """Text that no spreadsheet runs: with an apostrophe in front if it would."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    """Lines as RFC 4180 has them."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


ROUTES: Final = (
    Route(
        "GET",
        "/ledger/statement",
        statement,
        "ledger:read",
        "An account's postings over a period, as CSV",
        str,
        query=StatementQuery,
        errors=("invalid_parameter",),
        media_type="text/csv",
    ),
)

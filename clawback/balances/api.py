"""GET /me/balance, /ledger/accounts and /ledger/entries (contract, section 9); all calls on books.

Reads only; every figure of one answer is of one moment. Amounts are signed, credit positive, in
major units with as many decimals as the books keep.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.balances import proofs, statements
from clawback.balances.wire import EntryWire, show_entry
from clawback.currencies import book_exponent
from clawback.db import queries
from clawback.errors import Refused
from clawback.ids import is_well_formed
from clawback.ledger import accounts as a
from clawback.lists import ListQuery, Pagination, ParameterRefused, paginate, read_page
from clawback.money import major, usd
from clawback.route import Answer, BookRef, Call, NoBody, NoQuery, Route

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()
_BALANCES: Final = msgspec.json.Decoder(dict[str, int])
_DIGITS: Final = re.compile("[0-9a-z]{4}|[1-9a-z][0-9a-z]{4,11}", re.ASCII)
"""How an entry's id writes its height: one way each, and below 2^63."""


class Buckets(msgspec.Struct, frozen=True, rename="camel"):
    """Where the book's money stands, in USD; debt is shown positive."""

    available: msgspec.Raw
    pending: msgspec.Raw
    frozen: msgspec.Raw
    in_transit: msgspec.Raw
    reserve: msgspec.Raw
    debt: msgspec.Raw
    paid_out: msgspec.Raw


class OpenClaims(msgspec.Struct, frozen=True, rename="camel"):
    """Claims that are pending or approved, and what they still miss."""

    open: int
    awaiting_funds_usd: msgspec.Raw


class FeeSummary(msgspec.Struct, frozen=True, rename="camel"):
    """How the balance came to be, in USD."""

    gross_volume: msgspec.Raw
    platform_fees: msgspec.Raw
    flat_fees: msgspec.Raw
    dispute_fees: msgspec.Raw
    total_fees: msgspec.Raw
    returned: msgspec.Raw
    loss: msgspec.Raw
    net_balance: msgspec.Raw


class Balance(msgspec.Struct, frozen=True, rename="camel"):
    """The book's balance."""

    merchant_id: str
    mode: str
    currency: str
    as_of: str
    balance: Buckets
    claims: OpenClaims
    fee_summary: FeeSummary


async def balance(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /me/balance."""
    async with call.services.reader() as connection:
        row = await SQL.read_balance(connection, shard=call.book.shard, book_id=call.book.book_id)
    held = _BALANCES.decode(row["balances"])
    names = (a.AVAILABLE, a.PENDING, a.FROZEN, a.PAYABLE, a.RESERVE)
    net_e4 = sum(held.get(name, 0) for name in names) + held.get(a.DEBT, 0)
    fees_e4 = sum(
        row[name] for name in ("platform_fees_usd_e4", "flat_fees_usd_e4", "dispute_fees_usd_e4")
    )
    shown = Balance(
        merchant_id=call.book.merchant_id,
        mode=call.book.mode,
        currency="USD",
        as_of=clock.wire_time(clock.book_time(call.real_now, row["clock_offset_seconds"])),
        balance=Buckets(
            available=usd(held.get(a.AVAILABLE, 0)),
            pending=usd(held.get(a.PENDING, 0)),
            frozen=usd(held.get(a.FROZEN, 0)),
            in_transit=usd(held.get(a.PAYABLE, 0)),
            reserve=usd(held.get(a.RESERVE, 0)),
            debt=usd(-held.get(a.DEBT, 0)),
            paid_out=usd(held.get(a.PAID_OUT, 0)),
        ),
        claims=OpenClaims(row["open"], usd(row["missing"])),
        fee_summary=FeeSummary(
            gross_volume=usd(row["gross_volume_usd_e4"]),
            platform_fees=usd(row["platform_fees_usd_e4"]),
            flat_fees=usd(row["flat_fees_usd_e4"]),
            dispute_fees=usd(row["dispute_fees_usd_e4"]),
            total_fees=usd(fees_e4),
            returned=usd(row["returned_usd_e4"]),
            loss=usd(-held.get(a.LOSS, 0)),
            net_balance=usd(net_e4),
        ),
    )
    return Answer(200, _ENCODER.encode(shown))


class AccountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filter of GET /ledger/accounts."""

    currency: str | None = None


class AccountWire(msgspec.Struct, frozen=True, rename="camel"):
    """An account of the book."""

    account: str
    currency: str
    normal_side: str
    balance: msgspec.Raw
    seq: int
    updated_at: str


class AccountList(msgspec.Struct, frozen=True):
    """All accounts; they come whole."""

    data: list[AccountWire]


async def list_accounts(call: Call[NoBody, AccountsQuery]) -> Answer | Refused:
    """GET /ledger/accounts."""
    async with call.services.reader() as connection:
        rows = await SQL.list_accounts(
            connection,
            shard=call.book.shard,
            book_id=call.book.book_id,
            currency=call.query.currency,
        )
    shown = AccountList(
        [
            AccountWire(
                row["name"],
                row["currency"],
                a.normal_side(row["name"], row["currency"]),
                major(row["balance"], book_exponent(row["currency"])),
                row["seq"],
                clock.wire_time(row["updated_at"]),
            )
            for row in rows
        ]
    )
    return Answer(200, _ENCODER.encode(shown))


class EntriesQuery(
    ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Filters of GET /ledger/entries."""

    id: str | None = None
    claim_id: str | None = None
    transaction_id: str | None = None
    type: str | None = None
    account: str | None = None


class EntryList(msgspec.Struct, frozen=True):
    """A page of entries."""

    data: list[EntryWire]
    pagination: Pagination


def _height(entry_id: str, book_id: str) -> int:
    """The height that an entry's id names; 0 for what cannot be one of this book's."""
    tail = book_id[3:]
    digits = entry_id.removeprefix("ent_").removesuffix(tail)
    if f"ent_{digits}{tail}" != entry_id or _DIGITS.fullmatch(digits) is None:
        return 0
    return int(digits, 36)


async def _exists(connection: "PoolConnectionProxy", book: BookRef, height: int) -> bool:
    """Whether the book has an entry of this height."""
    found = await SQL.find_height(connection, shard=book.shard, book_id=book.book_id, height=height)
    return found is not None


async def _heights(
    connection: "PoolConnectionProxy", book: BookRef, query: EntriesQuery
) -> list[int] | None:
    """Which entries alone can be meant; None if it may be any."""
    if query.id is not None:
        return [_height(query.id, book.book_id)]
    claim_id, payment_id = query.claim_id, query.transaction_id
    if claim_id is None and payment_id is None:
        return None
    rows = await SQL.find_heights(
        connection,
        shard=book.shard,
        book_id=book.book_id,
        claim_id=claim_id if claim_id and is_well_formed(claim_id, "CLM-") else None,
        payment_id=payment_id if payment_id and is_well_formed(payment_id, "TXN-") else None,
    )
    return [row["height"] for row in rows]


async def list_entries(call: Call[NoBody, EntriesQuery]) -> Answer | Refused:
    """GET /ledger/entries, newest first."""
    query, book_id = call.query, call.book.book_id
    page = read_page(query)
    if isinstance(page, Refused):
        return page
    before = None if page.after is None else _height(page.after, book_id)
    filters: dict[str, object] = {
        "shard": call.book.shard,
        "book_id": book_id,
        "claim_id": query.claim_id,
        "payment_id": query.transaction_id,
        "type": query.type,
        "account": query.account,
        "from_time": query.from_,
        "to_time": query.to,
    }
    async with call.services.reader() as connection:
        filters["heights"] = await _heights(connection, call.book, query)
        rows = await SQL.list_entries(
            connection,
            **filters,
            before_height=before,
            limit=page.limit + 1,
            offset=page.offset,
        )
        total = (await SQL.count_entries(connection, **filters))["total"] if page.counts else None
        if before is not None and not await _exists(connection, call.book, before):
            return ParameterRefused(param="after")
    entries = [show_entry(row) for row in rows[: page.limit]]
    last = entries[-1].id if entries else None
    shown = EntryList(entries, paginate(page, total, last, has_more=len(rows) > page.limit))
    return Answer(200, _ENCODER.encode(shown))


ROUTES: Final = (
    Route("GET", "/me/balance", balance, "balance:read", "Show the book's balance", Balance),
    Route(
        "GET",
        "/ledger/accounts",
        list_accounts,
        "ledger:read",
        "List the book's accounts",
        AccountList,
        query=AccountsQuery,
    ),
    Route(
        "GET",
        "/ledger/entries",
        list_entries,
        "ledger:read",
        "List ledger entries, newest first",
        EntryList,
        query=EntriesQuery,
        errors=("invalid_parameter",),
    ),
    *statements.ROUTES,
    *proofs.ROUTES,
)

"""The books: accounts with their trial balance, entries with their postings, statements, the proof.

Everything is the API's own answer. Each currency's accounts sum to zero, and the page says so or
says that they do not; the proof of all else is asked for apart, for it reads the whole book.
"""

from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response, StreamingResponse

from clawback.claims.wire import row_fields
from clawback.dashboard.asking import Json, as_json
from clawback.dashboard.csvs import csv_file, file_headers
from clawback.dashboard.exporting import Listing, export_list, read_api
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.payments import PAGE
from clawback.dashboard.roles import SEE
from clawback.dashboard.sql import SQL
from clawback.dashboard.words import usd_of
from clawback.errors import NotFound, Refused
from clawback.lanes.records import Claim
from clawback.ledger.accounts import FROZEN
from clawback.route import Answer, Streamed

TYPES: Final = (
    "capture", "settle", "reserve_release", "freeze", "resolve_approved", "release",
    "resolve_rejected", "cancel", "fail", "reverse", "dispute_fee", "excess", "debt_recovery",
    "payout",
)  # fmt: skip
_COLUMNS: Final = ("currency", "account", "normalSide", "balance", "seq", "updatedAt")
_HOLDERS: Final = 200
_CLAIM: Final = msgspec.json.Decoder(Claim)
_ENTRY: Final = ("height", "id", "type")
_POSTING: Final = ("account", "currency", "amount", "balanceAfter", "seq")
_CAUSE: Final = ("claimId", "transactionId", "createdAt", "effectiveAt", "hash")


def trial_balance(accounts: list[Json]) -> list[Json]:
    """Each currency with its accounts and their sums, by side; the two sides are equal."""
    found = []
    for currency in sorted({one["currency"] for one in accounts}):
        mine = [one for one in accounts if one["currency"] == currency]
        credit = sum((Decimal(one["balance"]) for one in mine if one["balance"] > 0), Decimal(0))
        debit = sum((-Decimal(one["balance"]) for one in mine if one["balance"] < 0), Decimal(0))
        found.append({"currency": currency, "accounts": mine, "credit": credit, "debit": debit})
    return found


async def show_accounts(visit: Visit) -> Response:
    """All accounts as a trial balance."""
    accounts = await visit.ask.get("/ledger/accounts")
    if isinstance(accounts, Refused):
        return visit.refused(accounts)
    return visit.page(
        "accounts.html",
        currencies=trial_balance(accounts["data"]),
        has_proof=_serves(visit, "proof"),
        has_statement=_serves(visit, "statement"),
    )


async def export_accounts(visit: Visit) -> Response:
    """The same as CSV."""
    accounts = await visit.ask.get("/ledger/accounts")
    if isinstance(accounts, Refused):
        return visit.refused(accounts)
    return csv_file("accounts", _COLUMNS, ([row[name] for name in _COLUMNS] for row in
                                           accounts["data"]))  # fmt: skip


def _serves(visit: Visit, name: str) -> bool:
    served, _ = visit.house.table.find("GET", ["ledger", name])
    return served is not None


def filters_of(given: dict[str, str]) -> dict[str, str]:
    """The filters of an address, as the API takes them; days are whole days in UTC."""
    filters = {name: given[name] for name in ("type", "account", "claimId", "transactionId")
               if given.get(name)}  # fmt: skip
    for name in ("from", "to"):
        if given.get(name):
            filters[name] = f"{given[name]}T00:00:00Z"
    return filters


def lines_of(entry: Json) -> list[list[object]]:
    """An entry as lines: one for each of its postings."""
    first, last = [entry[name] for name in _ENTRY], [entry[name] for name in _CAUSE]
    return [[*first, *(leg[name] for name in _POSTING), *last] for leg in entry["postings"]]


async def export_entries(visit: Visit) -> Response:
    """What the list of entries shows, as CSV with a line for each posting."""
    filters = filters_of(visit.query)
    fetch = read_api(visit, "/ledger/entries", filters, lines_of)
    titles = (*_ENTRY, *_POSTING, *_CAUSE)
    return await export_list(visit, Listing("entries", titles, filters, fetch))


async def show_entries(visit: Visit) -> Response:
    """Entries, the newest first; filters stay in the address."""
    filters = filters_of(visit.query)
    after = visit.query.get("after")
    found = await visit.ask.get("/ledger/entries", **filters, limit=PAGE, after=after)
    if isinstance(found, Refused):
        return visit.refused(found)
    return visit.page(
        "entries.html",
        entries=found["data"],
        page=found["pagination"],
        types=TYPES,
        title="",
        held_by=None,
    )


async def show_entry(visit: Visit) -> Response:
    """One entry with its place in the chain."""
    found = await visit.ask.get("/ledger/entries", id=visit.path["id"])
    if isinstance(found, Refused) or not found["data"]:
        return visit.refused(NotFound())
    return visit.page("entry.html", entry=found["data"][0])


class Held(msgspec.Struct, frozen=True):
    """Why money is frozen: the claims that hold it, and whether they hold just what is booked.

    `kinds`: kind, number of claims and their sum; `claims`: the largest of them.
    """

    balance: Decimal
    kinds: list[tuple[str, int, Decimal]]
    claims: list[Json]

    @property
    def total(self) -> Decimal:
        """What all of the claims hold."""
        return sum((amount for _, _, amount in self.kinds), Decimal(0))

    @property
    def many(self) -> int:
        """How many claims there are."""
        return sum(many for _, many, _ in self.kinds)


async def read_held(visit: Visit) -> Held:
    """The account and its claims, of one and the same moment."""
    book = visit.held.book
    place: dict[str, object] = {"shard": book.shard, "book_id": book.book_id}
    async with (
        visit.house.services.reader() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        account = await SQL.read_account(connection, **place, currency="USD", name=FROZEN)
        sums = await SQL.sum_frozen(connection, **place)
        rows = await SQL.list_frozen(connection, **place, limit=_HOLDERS)
    return Held(
        Decimal(0) if account is None else usd_of(account["balance"]),
        [(row["kind"], row["claims"], usd_of(row["usd_e4"])) for row in sums],
        [as_json(row_fields(_CLAIM.decode(row["row"]), book.mode)) for row in rows],
    )


async def show_account(visit: Visit) -> Response:
    """The entries that touch an account; of the frozen one also why it holds what it holds."""
    account = visit.path["account"]
    after = visit.query.get("after")
    found = await visit.ask.get("/ledger/entries", account=account, limit=PAGE, after=after)
    if isinstance(found, Refused):
        return visit.refused(found)
    return visit.page(
        "entries.html",
        entries=found["data"],
        page=found["pagination"],
        types=TYPES,
        title=account,
        held_by=await read_held(visit) if account == FROZEN else None,
    )


async def send_statement(visit: Visit) -> Response:
    """An account's statement over some days, as the API writes it."""
    query = visit.query
    given = {"account": query.get("account", ""), "currency": query.get("currency", "")}
    for name in ("from", "to"):
        given[name] = f"{query.get(name, '')}T00:00:00Z"
    found = await visit.ask.fetch("/ledger/statement", **given)
    if isinstance(found, Refused):
        return visit.refused(found)
    headers = file_headers(f"statement-{given['account'].replace(':', '-')}-{given['currency']}")
    if isinstance(found, Streamed):
        return StreamingResponse(found.pieces(), 200, headers, found.media_type)
    return Response(found.body, 200, headers, found.media_type)


async def show_proof(visit: Visit) -> Response:
    """What can be proved of the book, now."""
    proof = await visit.ask.get("/ledger/proof")
    if isinstance(proof, Refused):
        return visit.refused(proof)
    return visit.page("proof.html", proof=proof)


async def send_proof(visit: Visit) -> Response:
    """The proof as the API writes it, for `clawback verify`; of a claim with its entries."""
    claim_id = visit.query.get("claimId") or None
    found = await visit.ask.fetch("/ledger/proof", claimId=claim_id)
    if isinstance(found, Refused):
        return visit.refused(found)
    assert isinstance(found, Answer), "no stream"
    headers = file_headers(f"proof-{claim_id}" if claim_id else "proof", "json")
    return Response(found.body, 200, headers, "application/json")


PAGES: Final = (
    BookPage("/books", show_accounts, SEE),
    BookPage("/books/accounts.csv", export_accounts, SEE),
    BookPage("/books/statement.csv", send_statement, SEE),
    BookPage("/books/proof", show_proof, SEE),
    BookPage("/books/proof.json", send_proof, SEE),
    BookPage("/books/entries", show_entries, SEE),
    BookPage("/books/entries.csv", export_entries, SEE),
    BookPage("/books/entries/{id}", show_entry, SEE),
    BookPage("/books/accounts/{currency}/{account}", show_account, SEE),
)

"""The books: accounts with their trial balance, entries with their postings, statements, the proof.

Everything is the API's own answer. Each currency's accounts sum to zero, and the page says so or
says that they do not; the proof of all else is asked for apart, for it reads the whole book.
"""

from decimal import Decimal
from typing import Final

from starlette.responses import Response, StreamingResponse

from clawback.dashboard.asking import Json
from clawback.dashboard.csvs import csv_file, file_headers
from clawback.dashboard.exporting import Listing, export_list, read_api
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.payments import PAGE
from clawback.dashboard.roles import SEE
from clawback.errors import NotFound, Refused
from clawback.route import Streamed

TYPES: Final = (
    "capture", "settle", "reserve_release", "freeze", "resolve_approved", "release",
    "resolve_rejected", "cancel", "fail", "reverse", "dispute_fee", "excess", "debt_recovery",
    "payout",
)  # fmt: skip
_COLUMNS: Final = ("currency", "account", "normalSide", "balance", "seq", "updatedAt")
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
    )


async def show_entry(visit: Visit) -> Response:
    """One entry with its place in the chain."""
    found = await visit.ask.get("/ledger/entries", id=visit.path["id"])
    if isinstance(found, Refused) or not found["data"]:
        return visit.refused(NotFound())
    return visit.page("entry.html", entry=found["data"][0])


async def show_account(visit: Visit) -> Response:
    """The entries that touch an account."""
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


PAGES: Final = (
    BookPage("/books", show_accounts, SEE),
    BookPage("/books/accounts.csv", export_accounts, SEE),
    BookPage("/books/statement.csv", send_statement, SEE),
    BookPage("/books/proof", show_proof, SEE),
    BookPage("/books/entries", show_entries, SEE),
    BookPage("/books/entries.csv", export_entries, SEE),
    BookPage("/books/entries/{id}", show_entry, SEE),
    BookPage("/books/accounts/{currency}/{account}", show_account, SEE),
)

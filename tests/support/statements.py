"""Statements as an accountant's own software reads them: with the standard library, exactly."""

import csv
import io
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from tests.support.shops import Shop

HEADER: Final = [
    "postedAt", "effectiveAt", "entryId", "type", "account", "currency", "amount", "balanceAfter",
    "seq", "transactionId", "claimId",
]  # fmt: skip


class Statement(NamedTuple):
    """Its first line, its last, and those between."""

    opening: dict[str, str]
    lines: list[dict[str, str]]
    closing: dict[str, str]
    body: bytes


def ask(shop: Shop, account: str, currency: str, from_: str, to: str) -> Statement:
    """The statement, whose form is checked here."""
    query = urlencode({"account": account, "currency": currency, "from": from_, "to": to})
    found = shop.call("GET", f"/ledger/statement?{query}")
    assert found.status == 200, (query, found)
    assert str(found.header("content-type")).startswith("text/csv"), found.headers
    return read(found.body)


def read(body: bytes) -> Statement:
    """A statement that adds up, in itself."""
    text = body.decode()
    assert text.endswith("\r\n")
    assert text.count("\n") == text.count("\r\n")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == HEADER
    named = [dict(zip(HEADER, row, strict=True)) for row in rows]
    opening, closing = named[0], named[-1]
    assert (opening["type"], closing["type"]) == ("opening", "closing")
    balance, seq = Decimal(opening["balanceAfter"]), int(opening["seq"])
    for line in named[1:-1]:
        balance, seq = balance + Decimal(line["amount"]), seq + 1
        assert (Decimal(line["balanceAfter"]), int(line["seq"])) == (balance, seq), line
    assert (Decimal(closing["balanceAfter"]), int(closing["seq"])) == (balance, seq)
    return Statement(opening, named[1:-1], closing, body)


def chains(one: Statement, other: Statement) -> bool:
    """Whether the second opens with what the first closes with."""
    names = ("postedAt", "balanceAfter", "seq", "account", "currency")
    return all(one.closing[name] == other.opening[name] for name in names)


def lines_of(entries: list[dict[str, Any]], account: str, currency: str) -> list[dict[str, str]]:
    """The same lines out of GET /ledger/entries, oldest first."""
    return [
        {
            "postedAt": entry["createdAt"],
            "effectiveAt": entry["effectiveAt"],
            "entryId": entry["id"],
            "type": entry["type"],
            "account": account,
            "currency": currency,
            "amount": str(leg["amount"]),
            "balanceAfter": str(leg["balanceAfter"]),
            "seq": str(leg["seq"]),
            "transactionId": entry["transactionId"] or "",
            "claimId": entry["claimId"] or "",
        }
        for entry in reversed(entries)
        for leg in entry["postings"]
        if (leg["account"], leg["currency"]) == (account, currency)
    ]

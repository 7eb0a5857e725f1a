"""What `clawback books` reads of a whole book: its export, its trial balance.

An export holds one line for each entry, the very text that its hash covers, and a last line with
the head: `clawback verify` checks it, and so can anybody with SHA-256 (docs/reference/ledger.md).
It is read in pieces, from one snapshot.
"""

from itertools import groupby
from typing import TYPE_CHECKING, BinaryIO

from clawback.cli import register
from clawback.currencies import book_exponent
from clawback.ledger import audit
from clawback.ledger.verify import Head, last_line
from clawback.money import major

if TYPE_CHECKING:
    from asyncpg import Connection

PIECE = 1_000
"""Entries that are read at once."""


async def write_book(session: "Connection", merchant: str, mode: str, out: BinaryIO) -> Head:
    """Write a book's export. Raises: Stop if there is no such merchant."""
    book_id, shard = await register.find_book(session, merchant, mode)
    place = {"shard": shard, "book_id": book_id}
    async with session.transaction(isolation="repeatable_read", readonly=True):
        row = await audit.SQL.read_head(session, **place)
        height = 0
        while texts := await audit.SQL.read_texts(session, **place, after=height, limit=PIECE):
            out.writelines(text["canonical"].encode() + b"\n" for text in texts)
            height = texts[-1]["height"]
    head = Head(book_id, row["height"], row["hash"])
    out.write(last_line(head))
    return head


async def trial_balance(
    session: "Connection", merchant: str, mode: str
) -> tuple[list[register.Fields], list[str]]:
    """Debit and credit of each account with their sums, and the currencies in which these differ.

    Raises: Stop if there is no such merchant.
    """
    book_id, shard = await register.find_book(session, merchant, mode)
    found = await register.SQL.list_balances(session, shard=shard, book_id=book_id)
    rows, wrong = [], []
    for currency, group in groupby(found, key=lambda row: str(row["currency"])):
        sides = [(row["account"], max(-row["balance"], 0), max(row["balance"], 0)) for row in group]
        debit, credit = (sum(side[place] for side in sides) for place in (1, 2))
        rows += [_sides(currency, *side) for side in (*sides, ("all", debit, credit))]
        if debit != credit:
            wrong.append(currency)
    return rows, wrong


def _sides(currency: str, account: str, debit: int, credit: int) -> register.Fields:
    decimals = book_exponent(currency)
    return {
        "currency": currency,
        "account": account,
        "debit": major(debit, decimals),
        "credit": major(credit, decimals),
    }

"""`clawback payouts`: what the operator paid to merchants, booked from `available` to `paid_out`.

Clawback moves no money to merchants: it records what was done at the bank. A payout is one lane
command like every other change of the books, known by its reference: recorded again, it is the
same one. Nothing is paid past claims that wait for funds, past debt, or beyond `available`.
"""

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clawback.cli.operating import decided, operator
from clawback.cli.options import Live, Merchant, usd_e4
from clawback.cli.output import Stop, clean, note
from clawback.cli.session import Database, with_database
from clawback.money import major_text

if TYPE_CHECKING:
    from asyncpg import Connection

    from clawback.balances.model import PayoutOutcome
    from clawback.cli.register import Fields

app = typer.Typer()

_REFERENCE: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_MOST_NOTE: Final = 500
COLUMNS: Final = ("reference", "amountUsd", "entry", "note", "createdAt")
HELD: Final = {
    "another_amount": "this reference was recorded with another amount, {payout} USD",
    "claims_waiting": "claims of this book wait for funds: they come before a payout",
    "debt": "this book owes money: later credits pay that down before a payout",
    "available": "{left} USD are available",
}


@app.command("record")
@with_database
def record_payout(
    database: Database,
    merchant: Merchant,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="USD, as 1250.50.")],
    reference: Annotated[
        str | None,
        typer.Option(help="Names it, once for ever: the bank's reference. (default: a new one)"),
    ] = None,
    text: Annotated[str | None, typer.Option("--note", help="Kept with it.")] = None,
    *,
    live: Live = False,
) -> None:
    """Record that a merchant was paid out; the same reference again has one effect."""
    name = reference or f"payout-{secrets.token_hex(8)}"
    amount_e4 = usd_e4(amount, "amount")
    if not amount_e4:
        raise Stop(f"{clean(amount)} is no amount to pay", "Write it as 1250.50.")
    if not _REFERENCE.fullmatch(name):
        raise Stop("a reference has 1 to 64 visible ASCII characters")
    if text is not None and not 1 <= len(text) <= _MOST_NOTE:
        raise Stop(f"a note has 1 to {_MOST_NOTE} characters")
    mode = "live" if live else "test"

    async def record(session: "Connection") -> "tuple[PayoutOutcome, Fields]":
        outcome = await _decided(session, database.dsn, (merchant, mode), (name, amount_e4, text))
        _stop_if_held(outcome)
        return outcome, await _find(session, merchant, mode, name)

    outcome, found = database.run(record)
    if not outcome.is_new:
        note("It was recorded before.")
    database.show_one(found)


async def _decided(
    session: "Connection", dsn: str, book: tuple[str, str], wanted: tuple[str, int, str | None]
) -> "PayoutOutcome":
    """Have it decided on the book's lane. Raises: Stop if that cannot be done."""
    from clawback.balances.model import (  # noqa: PLC0415 - the slices are loaded only when used
        PayoutOutcome,
        RecordPayout,
    )
    from clawback.cli import register  # noqa: PLC0415 - the same
    from clawback.route import BookRef  # noqa: PLC0415 - the same

    merchant, mode = book
    by = operator()
    reference, amount_e4, text = wanted
    book_id, shard = await register.find_book(session, merchant, mode)
    command = RecordPayout(
        reference=reference, amount_usd_e4=amount_e4, note=text, actor=by.actor, via=by.via
    )
    place = BookRef(shard, book_id, merchant, merchant, mode)
    return await decided(session, dsn, place, command, PayoutOutcome)


def _stop_if_held(outcome: "PayoutOutcome") -> None:
    if outcome.held_by is None:
        return
    payout = 0 if outcome.payout is None else outcome.payout.amount_usd_e4
    told = HELD[outcome.held_by].format(
        payout=major_text(payout, 4), left=major_text(outcome.left_usd_e4, 4)
    )
    raise Stop(f"nothing was recorded: {told}", "`clawback payouts list` shows what was.")


async def _find(session: "Connection", merchant: str, mode: str, reference: str) -> "Fields":
    return next(
        row for row in await _rows(session, merchant, mode) if row["reference"] == reference
    )


async def _rows(session: "Connection", merchant: str, mode: str) -> "list[Fields]":
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    book_id, shard = await register.find_book(session, merchant, mode)
    rows = await register.SQL.list_payouts(session, shard=shard, book_id=book_id)
    return [register.shown(row) for row in rows]


@app.command("list")
@with_database
def list_payouts(database: Database, merchant: Merchant, *, live: Live = False) -> None:
    """List the payouts of a merchant's test book (--live: live book), the newest first."""
    mode = "live" if live else "test"
    database.show(COLUMNS, database.run(lambda session: _rows(session, merchant, mode)))

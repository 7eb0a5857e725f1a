"""`clawback books`: what a book charges, holds back and allows.

A change holds for what happens after it: nothing that was booked is touched. Amounts are typed as
USD and percent, and kept exactly.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawback.cli.options import Live, Merchant
from clawback.cli.output import Stop, clean, note, writing
from clawback.cli.session import Database, with_database

if TYPE_CHECKING:
    from asyncpg import Connection

app = typer.Typer()

NAMES = {
    "threshold": "USD from which a second person approves; `-` for none",
    "reserve": "percent of each payment held back",
    "reserve-days": "days that the reserve is held",
    "settle-hours": "hours until captured money is available",
    "settle-calendar": "country by whose business days it settles instead; `-` for hours",
    "settle-days": "business days until captured money is available; `-` for hours",
    "credit-line": "USD that claims may freeze beyond the balance",
    "dispute-fee": "USD for each chargeback",
    "require-idempotency-key": "yes or no",
    "idempotency-hours": "hours that an idempotency key is kept",
    "fee.METHOD": "percent+USD of a payment method, as 2.9+0.30; `-` for the method's own",
}


@app.command("show")
@with_database
def show_book(database: Database, merchant: Merchant, *, live: Live = False) -> None:
    """Show the settings of a merchant's test book (--live: live book)."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    mode = "live" if live else "test"
    database.show_one(database.run(lambda session: register.show_book(session, merchant, mode)))


@app.command("set", epilog=" · ".join(f"{name}: {text}" for name, text in NAMES.items()))
@with_database
def set_book(
    database: Database,
    merchant: Merchant,
    settings: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="See below.")],
    *,
    live: Live = False,
) -> None:
    """Set something of a merchant's test book (--live: live book)."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    given: dict[str, str] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise Stop(f"{clean(setting)} is no setting", "Write NAME=VALUE, as reserve=10.")
        given[name] = value
    mode = "live" if live else "test"

    async def change(session: "Connection") -> dict[str, object]:
        await register.set_book(session, merchant, mode, given)
        return await register.show_book(session, merchant, mode)

    database.show_one(database.run(change))


@app.command("refresh-calendars")
@with_database
def refresh_calendars(database: Database) -> None:
    """Look the days off of all calendars up anew; worth it each year and after an upgrade."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    rows = database.run(register.refresh_calendars)
    database.show(("merchant", "mode", "settleCalendar", "settleCalendarVersion"), rows)


@app.command("export")
@with_database
def export_book(
    database: Database,
    merchant: Merchant,
    *,
    out: Annotated[Path | None, typer.Option(help="File to write. (default: print it)")] = None,
    live: Live = False,
) -> None:
    """Write all entries of a merchant's test book (--live: live book), for `clawback verify`."""
    from clawback.cli import exports  # noqa: PLC0415 - the driver is loaded only when used

    mode = "live" if live else "test"
    with writing(out) as file:
        head = database.run(lambda session: exports.write_book(session, merchant, mode, file))
    note(f"head {head.height}:{head.hash}")


@app.command("trial-balance")
@with_database
def show_trial_balance(database: Database, merchant: Merchant, *, live: Live = False) -> None:
    """Show debit and credit of each account, and their sums, which must be equal."""
    from clawback.cli import exports  # noqa: PLC0415 - the driver is loaded only when used

    mode = "live" if live else "test"
    rows, wrong = database.run(lambda session: exports.trial_balance(session, merchant, mode))
    database.show(("currency", "account", "debit", "credit"), rows)
    if wrong:
        raise Stop(f"debit and credit differ in {', '.join(wrong)}", "Run `clawback audit`.")

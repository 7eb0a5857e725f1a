"""`clawback statement`: an account's postings over a period, as CSV, with what it opens and closes.

A day alone is its beginning in UTC, `--to` is not included: a month is from its first day to the
first day of the next. The file is kept only if it is whole.
"""

from pathlib import Path
from typing import Annotated

import typer

from clawback.cli.options import moment
from clawback.cli.output import writing
from clawback.cli.session import Api, with_api


@with_api
def command(
    api: Api,
    account: Annotated[str, typer.Option(help="available, pending, frozen, provider:NAME …")],
    from_: Annotated[str, typer.Option("--from", help="Begins at this day or time.")],
    to: Annotated[str, typer.Option(help="Ends before this day or time; at most 92 days.")],
    currency: Annotated[str, typer.Option(help="USD, MXN …")] = "USD",
    out: Annotated[Path | None, typer.Option(help="File to write. (default: print it)")] = None,
) -> None:
    """Write an account's statement, which `clawback verify` can check."""
    period = {"from": moment(from_), "to": moment(to)}
    asked = {"account": account, "currency": currency, **period}
    with writing(out) as file:
        api.client.save("/ledger/statement", file, **asked)

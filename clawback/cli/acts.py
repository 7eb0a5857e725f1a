"""`clawback acts`: the trail of what people and keys did: who, what, on which object, when.

It only grows: nobody can change or remove a row of it. A plain refund has no row here, its events
are its trail.
"""

from typing import Annotated

import typer

from clawback.cli.options import Limit
from clawback.cli.session import Database, with_database

app = typer.Typer()

COLUMNS = ("at", "actor", "principal", "action", "object", "merchant", "mode", "note", "via")


@app.callback()
def acts() -> None:
    """Make `list` a command of a group, though it is the only one."""


@app.command("list")
@with_database
def list_acts(
    database: Database,
    about: Annotated[
        str | None, typer.Option("--object", help="On this claim, key, book, endpoint …")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Of this actor or principal: key:key_…, user:ana.")
    ] = None,
    merchant: Annotated[str | None, typer.Option(help="In this merchant's books only.")] = None,
    before: Annotated[str | None, typer.Option(help="Done before this time.")] = None,
    limit: Limit = 50,
) -> None:
    """List what people and keys did, the newest first."""
    from clawback.cli import trail  # noqa: PLC0415 - the driver is loaded only when used

    wanted = trail.Wanted(about, by, merchant, trail.time_of(before), limit)
    database.show(COLUMNS, database.run(lambda session: trail.list_acts(session, wanted)))

"""`clawback merchants`: create merchants with both books and a first shop, and list them.

A merchant has a test and a live book from the start; each is put on the emptiest shard, for good.
"""

from typing import Annotated

import typer

from clawback.cli.session import Database, with_database

app = typer.Typer()


@app.command("create")
@with_database
def create_merchant(
    database: Database,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="MCH-…, of your choice.")],
    name: Annotated[str, typer.Argument(help="How payers know it.")],
    shop: Annotated[str, typer.Option(help="Name of its first shop.")] = "Main",
) -> None:
    """Create a merchant, its test and live book, and a first shop."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    made = database.run(lambda session: register.create_merchant(session, merchant, name, shop))
    database.show_one(made)


@app.command("list")
@with_database
def list_merchants(database: Database) -> None:
    """List merchants with their books and shops."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    rows = database.run(register.list_merchants)
    database.show(("merchant", "name", "testBook", "liveBook", "shops", "createdAt"), rows)

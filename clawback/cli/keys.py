"""`clawback keys`: create API keys, list them and revoke them.

A key is shown once, when it is made: only its digest is stored. A revoked key opens nothing two
seconds later.
"""

from typing import Annotated

import typer

from clawback.cli.options import Live, Merchant, usd_e4
from clawback.cli.output import note
from clawback.cli.session import Database, with_database

app = typer.Typer()

COLUMNS = ("key", "merchant", "mode", "kind", "scopes", "maxClaimUsd", "maxDayUsd", "rate", "burst",
           "owner", "createdAt", "expiresAt", "revokedAt")  # fmt: skip


@app.command("create")
@with_database
def create_key(
    database: Database,
    merchant: Merchant,
    *,
    live: Live = False,
    publishable: Annotated[bool, typer.Option(help="For browsers: lists methods only.")] = False,
    scopes: Annotated[
        str, typer.Option(help="Comma-separated: payments:read,claims:write … (default: all)")
    ] = "*",
    limits: Annotated[
        str | None, typer.Option(help="USD a claim, USD a day: 500,5000; `-` for none.")
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Requests a second.", min=1)] = None,
) -> None:
    """Create a key of a merchant's test book (--live: live book). It is shown this once."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    parts = ["-", "-"] if limits is None else limits.split(",")
    wanted = register.WantedKey(
        merchant_id=merchant,
        mode="live" if live else "test",
        kind="publishable" if publishable else "secret",
        scopes=tuple(scopes.split(",")),
        max_claim_usd_e4=usd_e4(parts[0], "--limits"),
        max_day_usd_e4=usd_e4(parts[-1], "--limits"),
        rate=rate,
    )
    made = database.run(lambda session: register.create_key(session, wanted))
    database.show_one(made)
    note("Keep it now: only its digest is stored, and it is not shown again.")


@app.command("list")
@with_database
def list_keys(
    database: Database,
    merchant: Annotated[str | None, typer.Option(help="Of this merchant only.")] = None,
) -> None:
    """List keys, without what they open: that is not stored."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    rows = database.run(lambda session: register.list_keys(session, merchant))
    database.show(COLUMNS, rows)


@app.command("revoke")
@with_database
def revoke_key(
    database: Database, key: Annotated[str, typer.Argument(metavar="KEY", help="key_…")]
) -> None:
    """Revoke a key: two seconds later it opens nothing."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    database.show_one(database.run(lambda session: register.revoke_key(session, key)))


@app.command("assign")
@with_database
def assign_key(
    database: Database,
    key: Annotated[str, typer.Argument(metavar="KEY", help="key_…")],
    owner: Annotated[
        str | None, typer.Option(help="A person's name; all keys of one owner decide as one.")
    ] = None,
) -> None:
    """Say whose key it is: where two have to decide, it counts as its owner."""
    from clawback.cli import register  # noqa: PLC0415 - the driver is loaded only when used

    database.show_one(database.run(lambda session: register.assign_key(session, key, owner)))

"""`clawback db`: set up, upgrade and check the database of DATABASE_URL.

`init` and `upgrade` connect as the database's owner; everything that runs later works in the role
clawback_app, which they make. Both can be repeated.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from clawback.cli.output import Stop, note, say, show_json, show_table
from clawback.cli.session import Database, explained, with_database

if TYPE_CHECKING:
    from clawback.cli.checks import Check

app = typer.Typer()


@app.command("init")
@with_database
def init(
    database: Database,
    shards: Annotated[
        int, typer.Option(help="Fixed with the first merchant.", min=1, max=1296)
    ] = 2,
) -> None:
    """Make a database ready: tables, functions, role and shards."""
    from clawback.cli import checks  # noqa: PLC0415 - the driver is loaded only when used

    applied = _upgrade(database, dry_run=False)
    explained(lambda: checks.set_shards(database.dsn, shards))
    if database.as_json:
        show_json({"applied": applied, "shards": shards})
        return
    say(f"ready: {len(applied)} migrations applied, {shards} shards")
    note('Next: `clawback merchants create MCH-NAME "Name"`.')


@app.command("upgrade")
@with_database
def upgrade(
    database: Database,
    *,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be applied.")] = False,
) -> None:
    """Bring the database to this release."""
    applied = _upgrade(database, dry_run=dry_run)
    if database.as_json:
        show_json({"applied": [] if dry_run else applied, "waiting": applied if dry_run else []})
        return
    for name in applied:
        say(f"{'would apply' if dry_run else 'applied'} {name}")
    if not applied:
        say("nothing to do: the database is of this release")


@app.command("check")
@with_database
def check(database: Database) -> None:
    """Check that the database is of this release and can be trusted with money."""
    from clawback.cli import checks  # noqa: PLC0415 - the driver is loaded only when used

    found = explained(lambda: checks.check(database.dsn))
    if database.as_json:
        show_json({"ok": all(one.ok for one in found), "checks": found})
    else:
        show_table(("check", "ok", "found"), [(one.name, one.ok, one.found) for one in found])
    _refuse([one for one in found if not one.ok])


@app.command("schema")
def print_schema() -> None:
    """Print what the migrations make of an empty database, from a server of its own."""
    from clawback.cli import schema  # noqa: PLC0415 - the driver is loaded only when used

    say(schema.dump())


def _refuse(wrong: "list[Check]") -> None:
    if wrong:
        names = ", ".join(one.name for one in wrong)
        raise Stop(f"the database is not fit: {names}", wrong[0].advice)


def _upgrade(database: Database, *, dry_run: bool) -> list[str]:
    from clawback.db import migrate  # noqa: PLC0415 - the driver is loaded only when used

    try:
        return explained(lambda: migrate.upgrade(database.dsn, dry_run=dry_run))
    except migrate.MigrationError as error:
        raise Stop(str(error), "Use the release that the database belongs to.") from error

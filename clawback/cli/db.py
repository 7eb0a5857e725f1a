"""`clawback db`: set up, upgrade and check the database of DATABASE_URL.

`init` and `upgrade` connect as the database's owner; everything that runs later works in the role
clawback_app, which they make. Both can be repeated.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawback.cli.audit import read_report, show_report
from clawback.cli.output import Stop, note, progress, say, show_json, show_table
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


@app.command("copy")
@with_database
def copy(
    database: Database,
    to: Annotated[
        str, typer.Option("--to", help="Address of the other database, or @FILE that holds it.")
    ],
    books: Annotated[
        list[str] | None,
        typer.Option("--book", help="Book to move. Can be repeated. (default: all)"),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="Sealing key file of the processes there.",
            envvar="CLAWBACK_SEAL_KEY_FILE",
        ),
    ] = None,
    *,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let go of books that are held and not there.")
    ] = False,
) -> None:
    """Move books to another database. Each stays held here; after a break, run it again.

    Both databases must be of this release. Stop the processes of this one first: they refuse what
    is asked of a book that is held.
    """
    from clawback.cli import copying  # noqa: PLC0415 - the driver is loaded only when used

    target = _address(to)
    if undo:
        rows = explained(lambda: copying.let_go(database.dsn, target, books or []))
        database.show(("book", "merchant", "mode"), rows)
        return
    before = read_report(database.dsn)
    if not before.clean:
        show_report(before)
        raise Stop("the books here are wrong", "Find out why before anything is moved.")
    with progress("copy") as told:
        copied = explained(lambda: copying.copy(database.dsn, target, books or [], key_file, told))
    after = read_report(target)
    if database.as_json:
        show_json({**copied, "auditClean": after.clean})
    else:
        columns = ("book", "merchant", "mode", "fromShard", "shard", "rows")
        show_table(columns, [[row[name] for name in columns] for row in copied["moved"]])
        note(f"{copied['alreadyThere']} were there already; {copied['people']} people copied")
        show_report(after)
    if not after.clean:
        raise Stop("the books there are wrong", "Keep both sides stopped, and compare the rows.")


def _address(given: str) -> str:
    """A database's address as it is, or from a file. Raises: Stop."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"no address in {given[1:]}", "It must hold one line of text.") from error


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

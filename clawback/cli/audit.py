"""`clawback audit`: proves from the data alone that the books of a whole database are right.

It can run beside live traffic: everything is read in one snapshot. What is off is named row by
row, and the command then ends with 1.
"""

from typing import TYPE_CHECKING

from clawback.cli.output import Stop, paint, progress, say, show_fields, show_json
from clawback.cli.session import Database, explained, with_database

if TYPE_CHECKING:
    from clawback.ledger.audit import Report


@with_database
def command(database: Database) -> None:
    """Prove that the books of the whole database are right; can run beside live traffic."""
    report = read_report(database.dsn)
    if database.as_json:
        show_json(report)
    else:
        show_report(report)
    if not report.clean:
        wrong = ", ".join(check.name for check in report.checks if not check.ok)
        raise Stop(
            f"the books are wrong: {wrong}", "Stop refunds, keep the data, compare the rows."
        )


def read_report(dsn: str) -> "Report":
    """Audit a database, showing how far it is. Raises: Stop if it cannot be read."""
    from clawback.ledger.audit import audit  # noqa: PLC0415 - the driver is loaded only when used

    with progress("audit") as told:
        return explained(lambda: audit(dsn, told))


def show_report(report: "Report") -> None:
    """Print what was covered, and each check; the rows of one that fails."""
    show_fields(report.counts, indent="   ")
    for check in report.checks:
        mark = paint("ok", "good") if check.ok else paint("WRONG", "bad")
        say(f"   {mark} {check.name}")
        for row in check.rows:
            say(f"      {bytes(row).decode()}")
    say(
        paint("   clean: the books balance", "good")
        if report.clean
        else paint("   NOT CLEAN", "bad")
    )

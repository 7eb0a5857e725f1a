"""`clawback bench`: measures refunds over HTTP against a hand-written control on one PostgreSQL.

The benchmark is a package of its own; this is its door.
"""

from pathlib import Path
from typing import Annotated

import typer

from clawback.cli.output import Stop
from clawback.cli.session import AsJson

Quick = Annotated[bool, typer.Option("--quick", help="Within 50 s, with wider error bars.")]

Report = Annotated[
    bool, typer.Option("--report", help="Write a page about the run, with two drawings.")
]
Preload = Annotated[
    int, typer.Option("--preload", min=0, help="Then fill the books with so many claims, and see.")
]
Into = Annotated[Path, typer.Option("--into", help="The folder for the page.")]


def command(
    *,
    quick: Quick = False,
    as_json: AsJson = False,
    preload: Preload = 0,
    report: Report = False,
    into: Into = Path("bench-report"),
) -> None:
    """Measure refunds against a hand-written control, on one PostgreSQL, then audit."""
    from clawback.bench.main import run  # noqa: PLC0415 - loaded only when used

    page_into = into if report else None
    if run(quick=quick, as_json=as_json, claims=preload, page_into=page_into) != 0:
        raise Stop("the benchmark did not end well", "See what it printed above.")

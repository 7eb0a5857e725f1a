"""`clawback bench`: measures refunds over HTTP against a hand-written control on one PostgreSQL.

The benchmark is a package of its own; this is its door.
"""

from typing import Annotated

import typer

from clawback.cli.output import Stop
from clawback.cli.session import AsJson

Quick = Annotated[bool, typer.Option("--quick", help="Within 50 s, with wider error bars.")]


def command(*, quick: Quick = False, as_json: AsJson = False) -> None:
    """Measure refunds against a hand-written control, on one PostgreSQL, then audit."""
    from clawback.bench.main import run  # noqa: PLC0415 - loaded only when used

    if run(quick=quick, as_json=as_json) != 0:
        raise Stop("the benchmark did not end well", "See what it printed above.")

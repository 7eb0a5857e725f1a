"""`clawback faults`: make coming calls to the sandbox provider go wrong, as scripted.

Each call that a script matches takes its next fault, in order, and what is left of it is shown.
Only calls of the key's own book are struck, and scripts are forgotten all at once.
"""

from typing import Annotated

import typer

from clawback.cli.options import given, retry_key
from clawback.cli.session import Api, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "operation": "operation",
    "still to come": "remaining",
    "repeat": "repeat",
    "payment": "transactionId",
}


@app.command("add")
@with_api
def add_faults(
    api: Api,
    operation: Annotated[
        str, typer.Argument(help="charge, refund, lookup, evidence, accept or webhook.")
    ],
    sequence: Annotated[
        list[str], typer.Argument(metavar="FAULT…", help="One for each coming call.")
    ],
    payment: Annotated[str | None, typer.Option(help="Only calls about this payment.")] = None,
    *,
    repeat: Annotated[bool, typer.Option("--repeat", help="Start over at the end.")] = False,
) -> None:
    """Script the coming calls, such as decline, timeout_after_effect or none."""
    body = given(operation=operation, sequence=sequence, transactionId=payment, repeat=repeat)
    api.show_object(api.client.post("/sandbox/faults", body, key=retry_key(None)))


@app.command("list")
@with_api
def list_faults(api: Api) -> None:
    """List the scripts, and what is still to come of each."""
    api.show_list(api.client.get("/sandbox/faults"), COLUMNS)


@app.command("clear")
@with_api
def clear_faults(api: Api) -> None:
    """Forget all scripts."""
    api.show_object(api.client.delete("/sandbox/faults"))

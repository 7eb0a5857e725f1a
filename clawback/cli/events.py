"""`clawback events`: what happened to payments and claims, in the order of the commits.

The oldest come first, and nothing ever turns up behind an id that was listed already.
"""

from typing import Annotated

import typer

from clawback.cli.options import After, From, Limit, To
from clawback.cli.session import Api, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "type": "type",
    "object": "data.object.id",
    "version": "data.version",
    "before": "data.previousStatus",
    "status": "data.object.status",
    "created": "createdAt",
}


@app.command("list")
@with_api
def list_events(
    api: Api,
    kind: Annotated[str | None, typer.Option("--type", help="A name, or claim.* .")] = None,
    about: Annotated[str | None, typer.Option("--object", help="Of this payment or claim.")] = None,
    after: After = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
) -> None:
    """List events, the oldest first."""
    query = {"type": kind, "objectId": about, "from": from_, "to": to}
    api.show_list(api.client.get("/events", after=after, limit=limit, **query), COLUMNS)

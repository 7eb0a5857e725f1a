"""`clawback events`: what happened to payments and claims, in the order of the commits; resending.

The oldest come first, and nothing ever turns up behind an id that was listed already.
"""

from typing import Annotated

import typer

from clawback.cli.options import After, From, Limit, To
from clawback.cli.output import Stop, clean, show_json, show_table
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


@app.command("resend")
@with_api
def resend(
    api: Api,
    event: Annotated[str, typer.Argument(metavar="EVENT_ID", help="evt_…")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="To this one only: wh_…")
    ] = None,
) -> None:
    """Have an event delivered again, to every active endpoint or to one."""
    from clawback.cli.webhooks import deliver_again  # noqa: PLC0415 - loaded only when used

    found = _find(api, event)
    wanted = [endpoint]
    if endpoint is None:
        rows = api.client.get("/webhooks", limit=100).rows
        wanted = [str(row["id"]) for row in rows if row["active"]]
    if not wanted:
        raise Stop(
            "no endpoint is active", "`clawback webhooks list` shows them, `create` makes one."
        )
    sent = [deliver_again(api, found, one) for one in wanted if one is not None]
    if api.as_json:
        show_json({"data": sent})
    else:
        columns = ("endpoint", "delivery", "queued")
        show_table(columns, [[row.get(name) for name in columns] for row in sent])


def _find(api: Api, event: str) -> dict[str, object]:
    """The event of that id, which holds the millisecond it was made in. Raises: Stop."""
    from clawback.clock import from_milliseconds, wire_time  # noqa: PLC0415 - the same

    try:
        at = int(event[4:12], 36)
        span = {
            "from": wire_time(from_milliseconds(at)),
            "to": wire_time(from_milliseconds(at + 1)),
        }
    except (ValueError, OverflowError) as error:
        raise Stop(
            f"{clean(event)} is no event id", "`clawback events list` shows them."
        ) from error
    for row in api.client.get("/events", limit=100, **span).rows:
        if row["id"] == event:
            return row
    raise Stop(f"there is no event {clean(event)}", "Is it of another book? See --live.")

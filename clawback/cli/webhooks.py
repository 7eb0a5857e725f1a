"""`clawback webhooks`: endpoints, their secrets, their deliveries, and sending again.

Everything goes over the HTTP API with a key, so it can do what the key may do and no more. A secret
is printed by the command that makes it and by no other.
"""

from typing import Annotated, Any

import typer

from clawback.cli.options import After, From, Limit, RetryKey, To, given, retry_key
from clawback.cli.output import Stop
from clawback.cli.session import Api, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "url": "url",
    "events": "events",
    "active": "active",
    "off because": "disabledReason",
    "description": "description",
    "created": "createdAt",
}
DELIVERIES = {
    "id": "id",
    "event": "event",
    "about": "relatedId",
    "status": "status",
    "attempts": "attempts",
    "answer": "lastStatusCode",
    "error": "lastError",
    "next attempt": "nextAttemptAt",
    "event id": "eventId",
}
Id = Annotated[str, typer.Argument(metavar="ENDPOINT", help="wh_…")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="A name, payment.*, claim.* or *; may be given again."),
]
Url = Annotated[
    str | None, typer.Option("--to-url", help="Where events are sent; none: a managed inbox.")
]
Description = Annotated[str | None, typer.Option(help="For you to tell them apart.")]


@app.command("create")
@with_api
def create_endpoint(
    api: Api,
    to_url: Url = None,
    event: Events = None,
    description: Description = None,
    retry: RetryKey = None,
) -> None:
    """Make an endpoint; its secret is printed, this once. It gets all events unless told which."""
    body = given(url=to_url, events=event or ["*"], description=description)
    api.show_object(api.client.post("/webhooks", body, key=retry_key(retry)))


@app.command("list")
@with_api
def list_endpoints(api: Api, after: After = None, limit: Limit = 50) -> None:
    """List endpoints, the newest first."""
    api.show_list(api.client.get("/webhooks", after=after, limit=limit), COLUMNS)


@app.command("show")
@with_api
def show_endpoint(api: Api, endpoint: Id) -> None:
    """Show one endpoint."""
    api.show_object(api.client.get(_path(endpoint)))


@app.command("set")
@with_api
def set_endpoint(
    api: Api,
    endpoint: Id,
    to_url: Annotated[
        str | None, typer.Option("--to-url", help="Where events are sent; - for a managed inbox.")
    ] = None,
    event: Events = None,
    description: Annotated[str | None, typer.Option(help="A new one; - for none.")] = None,
    *,
    on: Annotated[bool | None, typer.Option("--on/--off", help="With --off it gets none.")] = None,
) -> None:
    """Change an endpoint, or switch it off and on."""
    texts = {"url": to_url, "description": description}
    body: dict[str, object] = {
        name: None if text == "-" else text for name, text in texts.items() if text is not None
    }
    body |= given(events=event or None, active=on)
    if not body:
        raise Stop("nothing to change", "See `clawback webhooks set --help`.")
    api.show_object(api.client.patch(_path(endpoint), body))


@app.command("delete")
@with_api
def delete_endpoint(api: Api, endpoint: Id) -> None:
    """Remove an endpoint with its deliveries; the events stay."""
    api.show_object(api.client.delete(_path(endpoint)))


@app.command("rotate-secret")
@with_api
def rotate_secret(
    api: Api,
    endpoint: Id,
    retry: RetryKey = None,
    *,
    immediate: Annotated[
        bool, typer.Option("--immediate", help="The old secret signs no more from now on.")
    ] = False,
) -> None:
    """Make a new secret, printed this once; both sign for a day unless told otherwise."""
    body = {"immediate": immediate}
    reply = api.client.post(f"{_path(endpoint)}/rotate-secret", body, key=retry_key(retry))
    api.show_object(reply)


@app.command("deliveries")
@with_api
def list_deliveries(
    api: Api,
    endpoint: Id,
    status: Annotated[
        str | None, typer.Option(help="pending, succeeded, failed or dead_letter.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> None:
    """List an endpoint's deliveries, the newest first."""
    path = f"{_path(endpoint)}/deliveries"
    api.show_list(api.client.get(path, status=status, after=after, limit=limit), DELIVERIES)


@app.command("replay")
@with_api
def replay(
    api: Api,
    endpoint: Id,
    delivery: Annotated[str | None, typer.Option(help="This one only: dlv_…")] = None,
    since: From = None,
    until: To = None,
    retry: RetryKey = None,
    *,
    all_of_them: Annotated[
        bool, typer.Option("--include-succeeded", help="Also what was delivered already.")
    ] = False,
) -> None:
    """Deliver one event again, or with --from all of a time that were not delivered yet."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    if (delivery is None) == (since is None):
        raise Stop("which events?", "Give --from TIME, or --delivery dlv_….")
    path, body = f"{_path(endpoint)}/replay", given(since=since, until=until)
    if delivery is not None:
        path, body = f"{_path(endpoint)}/deliveries/{part(delivery)}/replay", {}
    elif all_of_them:
        body["includeSucceeded"] = True
    api.show_object(api.client.post(path, body, key=retry_key(retry)))


def _path(endpoint: str) -> str:
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    return f"/webhooks/{part(endpoint)}"


def deliver_again(api: Api, event: dict[str, Any], endpoint: str) -> dict[str, object]:
    """Have an endpoint get an event once more, whether it had a delivery or not."""
    since = str(event["createdAt"])
    after: str | None = None
    for _ in range(MOST_PAGES):
        query = {"from": since, "after": after, "limit": 100}
        page = api.client.get(f"{_path(endpoint)}/deliveries", **query)
        for row in page.rows:
            if row["eventId"] == event["id"]:
                path = f"{_path(endpoint)}/deliveries/{row['id']}/replay"
                reply = api.client.post(path, {}, key=retry_key(None))
                return {"endpoint": endpoint, "delivery": row["id"], "queued": 1, **reply.data}
        pagination = page.data["pagination"]
        after = pagination["next"] if isinstance(pagination, dict) else None
        if after is None:
            break
    body = {"since": since, "until": _next_millisecond(since)}
    reply = api.client.post(f"{_path(endpoint)}/replay", body, key=retry_key(None))
    return {"endpoint": endpoint, "delivery": None, **reply.data}


MOST_PAGES = 100


def _next_millisecond(at: str) -> str:
    from datetime import datetime, timedelta  # noqa: PLC0415 - loaded only when used

    from clawback.clock import wire_time  # noqa: PLC0415 - the same

    return wire_time(datetime.fromisoformat(at) + timedelta(milliseconds=1))

"""`clawback listen`: events of the book as they happen, forwarded to a local server, signed.

It asks GET /events from the newest event on, so that nothing is skipped and no address has to be
reachable from outside. The secret that signs is made from the API key: it stays as long as the key
does, and `--print-secret` shows it. Each event is forwarded once; a line tells how that went.
"""

import http.client
import ssl
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
import typer

from clawback import clock
from clawback.cli.output import Stop, clean, note, say, show_json
from clawback.cli.session import Api, with_api

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from clawback.cli.client import Reply

LOOK_SECONDS: Final = 0.5
TRIES: Final = 20
TIMEOUT: Final = 10.0
FAR_FUTURE: Final = "9999-01-01T00:00:00Z"
PAGE: Final = 100


class _Page(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw]


class _Named(msgspec.Struct, frozen=True):
    id: str
    type: str


_PAGE: Final = msgspec.json.Decoder(_Page)
_NAMED: Final = msgspec.json.Decoder(_Named)


@with_api
def command(
    api: Api,
    forward_to: Annotated[
        str | None, typer.Option("--forward-to", help="Such as http://127.0.0.1:3000/hooks.")
    ] = None,
    events: Annotated[
        str, typer.Option(help="Names or patterns such as claim.*, separated by commas.")
    ] = "*",
    *,
    print_secret: Annotated[
        bool, typer.Option("--print-secret", help="Print the secret that signs, and end.")
    ] = False,
) -> None:
    """Forward events to a local server as they happen, signed, until Ctrl-C. On the HTTP API."""
    secret = "whsec_" + api.client.derived("listen")
    if print_secret:
        if api.as_json:
            show_json({"secret": secret})
        else:
            say(secret)
        return
    if forward_to is None:
        raise Stop("where to?", "Give --forward-to http://127.0.0.1:PORT/PATH.")
    target = urlsplit(forward_to)
    if target.scheme not in {"http", "https"} or not target.hostname:
        raise Stop(f"{clean(forward_to)} is no address", "Give one such as http://127.0.0.1:3000/.")
    wanted = tuple(one.strip() for one in events.split(",") if one.strip())
    first = _asked(api, {"from": FAR_FUTURE, "limit": 1})
    cursor = _next(first)
    note(f"listening; forwarding to {clean(forward_to)}")
    while True:
        reply = _asked(api, {"after": cursor, "limit": PAGE})
        rows = _PAGE.decode(reply.body).data
        for raw in rows:
            named = _NAMED.decode(raw)
            if any(_matches(pattern, named.type) for pattern in wanted):
                _forward(api, target, secret, named, bytes(raw))
        cursor = _next(reply) or cursor
        if len(rows) < PAGE:
            clock.sleep_seconds(LOOK_SECONDS)


def _asked(api: Api, query: dict[str, object]) -> "Reply":
    """A page of events; a server that is away for a while is asked again. Raises: Stop."""
    for _ in range(TRIES):
        if api.client.is_ready():
            break
        note(f"nothing answers at {api.client.url}; asking again")
        clock.sleep_seconds(LOOK_SECONDS)
    return api.client.get("/events", **query)


def _next(reply: "Reply") -> str | None:
    pagination = reply.data["pagination"]
    found = pagination.get("next") if isinstance(pagination, dict) else None
    return None if found is None else str(found)


def _matches(pattern: str, name: str) -> bool:
    return pattern in {"*", name} or (pattern.endswith(".*") and name.startswith(pattern[:-1]))


def _forward(api: Api, target: "SplitResult", secret: str, event: _Named, body: bytes) -> None:
    """Post one event and say how it went."""
    from clawback.ids import opaque  # noqa: PLC0415 - loaded only when used
    from clawback.signatures import signed_headers  # noqa: PLC0415 - the same

    begun = clock.monotonic()
    headers = {
        **signed_headers(secret, message_id=event.id, at=clock.real_now(), body=body),
        "content-type": "application/json",
        "user-agent": "Clawback (listen)",
        "clawback-delivery": opaque("dlv_"),
    }
    answer: int | str
    try:
        answer = _post(target, headers, body)
    except (OSError, http.client.HTTPException) as error:
        answer = f"no answer: {error}"
    took = round((clock.monotonic() - begun) * 1000)
    if api.as_json:
        line = {"event": event.type, "eventId": event.id, "answer": answer, "milliseconds": took}
        show_json(line)
    else:
        at = clock.wire_time(clock.real_now())
        say(f"{at}  {clean(event.type)}  {clean(event.id)}  {clean(answer)}  {took} ms")


def _post(target: "SplitResult", headers: dict[str, str], body: bytes) -> int:
    assert target.hostname is not None, "looked at before"
    connection: http.client.HTTPConnection
    if target.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            target.hostname, target.port, timeout=TIMEOUT, context=context
        )
    else:
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=TIMEOUT)
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection.request("POST", path, body=body, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()

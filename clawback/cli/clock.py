"""`clawback clock`: show and move the clock of a test book.

What falls due on the way has been done when the command ends; one that takes longer is polled.
"""

import re
from typing import Annotated, Final

import typer

from clawback import clock
from clawback.cli.client import Client, Json, Reply
from clawback.cli.options import retry_key
from clawback.cli.output import Stop, clean
from clawback.cli.session import Api, with_api

app = typer.Typer()

LOOK_SECONDS: Final = 0.2
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@app.command("show")
@with_api
def show_clock(api: Api) -> None:
    """Show the book's clock beside the real one."""
    api.show_object(api.client.get("/sandbox/clock"))


@app.command("advance")
@with_api
def advance_clock(
    api: Api, span: Annotated[str, typer.Argument(metavar="SPAN", help="90, 90s, 15m, 48h, 30d.")]
) -> None:
    """Move the clock forward by so much."""
    api.show_object(moved(api.client, {"advanceSeconds": seconds(span)}))


@app.command("set")
@with_api
def set_clock(
    api: Api,
    to: Annotated[str, typer.Argument(metavar="TIME", help="Such as 2027-01-31T12:00:00Z.")],
) -> None:
    """Move the clock forward to a time."""
    api.show_object(moved(api.client, {"advanceTo": to}))


def seconds(span: str) -> int:
    """A span as typed, in seconds. Raises: Stop for anything else."""
    match = _SPAN.fullmatch(span)
    if match is None:
        raise Stop(f"{clean(span)} is no span of time", "Write it as 90, 90s, 15m, 48h or 30d.")
    return int(match[1]) * _SECONDS[match[2]]


def moved(client: Client, body: Json) -> Reply:
    """Move the clock, and wait until all that fell due has been done."""
    reply = client.post("/sandbox/clock", body, key=retry_key(None))
    while reply.data.get("status") == "advancing":
        clock.sleep_seconds(LOOK_SECONDS)
        reply = client.get("/sandbox/clock")
    return reply

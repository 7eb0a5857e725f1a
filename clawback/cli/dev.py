"""`clawback dev`: everything on this machine in one process tree, with a demo merchant.

It plays the refund page's example over the public API, proves the books, says where to look, and
serves until Ctrl-C or SIGTERM; with --once it stops after the example. The tree is stopped in
order; a second Ctrl-C stops it at once. Exit code 0 if it was stopped, 1 if the example differed
or a part did not start.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clawback.cli import place
from clawback.cli.output import Stop, heading, note, say, show_fields, show_json, tell
from clawback.cli.session import AsJson

if TYPE_CHECKING:
    from clawback.cli.client import Json
    from clawback.cli.stack import Options, Stack

Port = Annotated[
    int, typer.Option(help="Where the API listens; 0 is any free one.", min=0, max=65535)
]
Folder = Annotated[
    Path, typer.Option("--data", help="Where everything is kept.", envvar="CLAWBACK_DATA")
]
Once = Annotated[bool, typer.Option("--once", help="Play the example, then stop.")]
Rate = Annotated[
    int,
    typer.Option("--rate-limit", help="Requests a second of each demo key.", min=1, max=100_000),
]
Processes = Annotated[
    int,
    typer.Option(
        help="API processes. (default: one a core, at most 4)", min=0, max=8, show_default=False
    ),
]


MOST_PROCESSES: Final = 4


def command(
    *,
    port: Port = 8080,
    data: Folder = place.DEFAULT,
    once: Once = False,
    rate: Rate = 10_000,
    processes: Processes = 0,
    as_json: AsJson = False,
) -> None:
    """Start everything here: database, API, worker, sandbox provider and a demo merchant."""
    from clawback.cli.stack import Options  # noqa: PLC0415 - loaded only when used

    many = processes or min(os.cpu_count() or 1, MOST_PROCESSES)
    code = asyncio.run(_run(Options(data, port, many, rate), once=once, as_json=as_json))
    raise typer.Exit(code)


async def _run(options: "Options", *, once: bool, as_json: bool) -> int:
    """Run the tree until the example is over or a signal comes. Raises: Stop."""
    from clawback.cli.stack import Stack  # noqa: PLC0415 - loaded only when used

    stack = Stack(options)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        if asked.is_set() and number is signal.SIGINT:
            note("stopping at once")
            stack.kill()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)
    work = asyncio.create_task(_work(stack, once=once, as_json=as_json))
    wait = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({work, wait}, return_when=asyncio.FIRST_COMPLETED)
        if asked.is_set():
            note("stopping")
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        else:
            await work
    finally:
        wait.cancel()
        await stack.stop()
    return 0


async def _work(stack: "Stack", *, once: bool, as_json: bool) -> None:
    """Start the tree, play the example, and serve: also when the example was disturbed.

    With JSON the steps go to standard error, and one line to standard output.
    """
    note("starting PostgreSQL, the sandbox provider, the worker and the API")
    dev = await stack.start()
    try:
        with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
            say(f"ready on {dev.url}")
            made = await _play(dev)
    except Stop as stop:
        if once:
            raise
        tell(stop)
        made = {}
    if as_json:
        show_json({"url": dev.url, "data": dev.data, "auditClean": bool(made), **made})
    elif not once:
        _show_where(dev)
    if not once:
        await asyncio.Event().wait()


async def _play(dev: place.Dev) -> "Json":
    """Play the example and audit the database after it. Raises: Stop if anything differs."""
    from clawback.cli import audit, example  # noqa: PLC0415 - loaded only when used
    from clawback.cli.client import Client  # noqa: PLC0415 - the same

    made = await asyncio.to_thread(example.play, Client(dev.url, dev.secret_key))
    heading("7. The audit of the whole database")
    report = await asyncio.to_thread(audit.read_report, dev.database_url)
    audit.show_report(report)
    if not report.clean:
        raise Stop("the audit is not clean", "This is a fault of ours: keep the data directory.")
    return made


def _show_where(dev: place.Dev) -> None:
    """Say where to look and what to try."""
    file = place.running(Path(dev.data))
    heading("Serving until Ctrl-C")
    where = {
        "API": f"{dev.url}/api/v1",
        "manual": dev.docs,
        "dashboard": f"{dev.dashboard_url} (once)",
        "keys": str(file),
        "logs": str(Path(dev.data) / "logs"),
    }
    show_fields(where, indent="   ")
    read = 'import json, sys; print(json.load(open(sys.argv[1]))["secretKey"])'
    say()
    say("   Try this, and then the tour in README.md:")
    say()
    say(f"   KEY=$(python3 -c '{read}' {shlex.quote(str(file))})")
    say(f"   curl {dev.url}/api/v1/payments \\")
    say('     -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\')
    say('     -d \'{ "amount": 50, "paymentMethodId": "sbx_spei", "country": "MX" }\'')

"""`clawback dev`: everything on this machine in one process tree, with a demo merchant.

It plays the refund page's example over the public API, proves the books, says where to look, and
serves until Ctrl-C or SIGTERM; with --once it stops after the example. The tree is stopped in
order; a second Ctrl-C stops it at once. Exit code 0 if it was stopped, 1 if the example differed
or a part did not start.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clawback.cli import place
from clawback.cli.output import Stop, heading, note, say, show_fields

if TYPE_CHECKING:
    from clawback.cli.stack import Options, Stack

Port = Annotated[int, typer.Option(help="Where the API listens; 0 is any free one.", max=65535)]
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
    typer.Option(help="API processes. [default: one a core]", min=0, max=64, show_default=False),
]


def command(
    *,
    port: Port = 8080,
    data: Folder = place.DEFAULT,
    once: Once = False,
    rate: Rate = 10_000,
    processes: Processes = 0,
) -> None:
    """Start everything here: database, API, worker, sandbox provider and a demo merchant."""
    from clawback.cli.stack import Options  # noqa: PLC0415 - loaded only when used

    many = processes or os.cpu_count() or 1
    code = asyncio.run(_run(Options(data, port, many, rate), once=once))
    raise typer.Exit(code)


async def _run(options: "Options", *, once: bool) -> int:
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
    work = asyncio.create_task(_work(stack, once=once))
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


async def _work(stack: "Stack", *, once: bool) -> None:
    """Start the tree, play the example, and serve."""
    from clawback.cli import audit, example  # noqa: PLC0415 - loaded only when used
    from clawback.cli.client import Client  # noqa: PLC0415 - the same

    note("starting PostgreSQL, the sandbox provider, the worker and the API")
    dev = await stack.start()
    say(f"ready on {dev.url}")
    client = Client(dev.url, dev.secret_key)
    payment = await asyncio.to_thread(example.play, client)
    heading("7. The audit of the whole database")
    report = await asyncio.to_thread(audit.read_report, dev.database_url)
    audit.show_report(report)
    if not report.clean:
        raise Stop("the audit is not clean", "This is a fault of ours: keep the data directory.")
    if once:
        return
    _show_where(dev, payment)
    await asyncio.Event().wait()


def _show_where(dev: place.Dev, payment: str) -> None:
    """Say where to look and what to try."""
    file = place.running(Path(dev.data))
    heading("Serving until Ctrl-C")
    where = {
        "API": f"{dev.url}/api/v1",
        "manual": dev.docs,
        "keys": str(file),
        "logs": str(Path(dev.data) / "logs"),
    }
    show_fields(where, indent="   ")
    say()
    say("   Refund another 10 MXN:")
    read = 'import json,sys; print(json.load(open(sys.argv[1]))["secretKey"])'
    say(f"   KEY=$(python3 -c '{read}' '{file}')")
    say(f"   curl {dev.url}/api/v1/payments/{payment}/refund \\")
    say('     -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\')
    say('     -d \'{ "amount": 10, "reason": "requested_by_customer" }\'')

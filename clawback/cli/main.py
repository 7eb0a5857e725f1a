"""The command `clawback`: a table of groups, of which only the one that is called is loaded.

Exit codes: 0 done, 1 it could not be done (one line says why, one what to do next), 2 the command
was not understood. A fault of our own shows its traceback, without the values of variables, for
they may be secrets.
"""

import importlib
import os
import sys
from typing import Annotated, Final

import typer

from clawback import VERSION
from clawback.cli.output import Stop, tell

COMMANDS: Final = {
    "dev": "Start everything here, with a demo merchant.",
    "serve": "Serve the API.",
    "worker": "Carry out what is due: refunds, settlement.",
    "db": "Set up, upgrade and check the database.",
    "merchants": "Create and list merchants with their books.",
    "books": "Show and set fees, reserve and limits.",
    "providers": "Accounts at payment providers.",
    "keys": "Create, list and revoke API keys.",
    "users": "People of the dashboard: links that let them in, roles.",
    "payments": "List, show and create payments.",
    "refunds": "Give money back, also by the file; list what was given back.",
    "claims": "List, show and decide claims; evidence; reviews.",
    "balance": "Show a book's balance.",
    "ledger": "List a book's accounts and entries.",
    "statement": "An account's postings over a period, as CSV.",
    "proof": "Have a book prove itself from its rows.",
    "verify": "Check exports, statements and proofs, offline.",
    "payouts": "Record what merchants were paid out.",
    "events": "List what happened, oldest first; send it again.",
    "webhooks": "Endpoints that are told of events; their deliveries.",
    "listen": "Forward events to a local server as they happen.",
    "trigger": "Play a scenario of the sandbox.",
    "clock": "Show and move the clock of a test book.",
    "faults": "Make coming calls to the sandbox provider go wrong.",
    "acts": "What people and keys did, and when.",
    "audit": "Prove that the books are right.",
    "bench": "Measure against a hand-written control.",
}
"""What `clawback --help` says of each; the module of that name holds an `app` or a `command`."""


def main() -> None:
    """Run the command line."""
    app = typer.Typer(
        help=f"Clawback {VERSION}: payments, and giving money back.",
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        add_completion=True,
    )
    app.callback(invoke_without_command=True)(_root)
    wanted = _wanted()
    for name, text in COMMANDS.items():
        if wanted in {name, None}:
            _load(app, name, text)
        else:
            app.command(name, help=text)(_not_loaded)
    try:
        app()
    except Stop as stop:
        tell(stop)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _wanted() -> str | None:
    """The group that the arguments name; empty for help; None if all are needed (completion)."""
    if any(name.startswith("_CLAWBACK_COMPLETE") for name in os.environ):
        return None
    words = [word for word in sys.argv[1:2] if not word.startswith("-")]
    return words[0] if words else ""


def _load(app: typer.Typer, name: str, text: str) -> None:
    """Add a group of commands, or a command that stands alone."""
    module = importlib.import_module(f"clawback.cli.{name}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name, help=text, no_args_is_help=True)
    else:
        app.command(name)(module.command)


def _not_loaded() -> None:
    """Stands in the list of commands for one that was not called."""
    raise AssertionError("only a command that was called is run")


def _root(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        print(VERSION)
        raise typer.Exit


if __name__ == "__main__":
    main()

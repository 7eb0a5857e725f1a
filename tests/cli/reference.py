"""Writes docs/reference/cli.md from the commands themselves.

`python -m tests.cli.reference > docs/reference/cli.md` after a command has changed; a test
compares.
"""

import importlib
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.main import get_command

from clawback.cli.main import COMMANDS

SHARED: Final = ("--key", "--url", "--data", "--live", "--json")
HEAD: Final = """# The command line

`clawback COMMAND --help` says the same as this page. It is made from the commands themselves:
`python -m tests.cli.reference`.

- `--json` prints JSON. Without it a terminal gets tables, anything else plain aligned lines.
- Exit codes: 0 done, 1 it could not be done (a line says why, and one what to do next), 2 the
  command was not understood.
- Commands that look at payments, claims, balances, events and webhooks, refund, or play in the
  sandbox call the **HTTP API**.
  They find it by `--url` or `CLAWBACK_URL` and a key (`--key @FILE`, or better `CLAWBACK_KEY`),
  else by the `dev.json` of a running `clawback dev`: that of `--data DIR`, or of `./.clawback`.
  With `--live` they look at the live book of the demo merchant.
- Commands for operators work on the **database** of `DATABASE_URL`, or of a running `clawback dev`.
- A request that makes something carries an idempotency key. If its answer was lost, the error names
  the key to send it again with.
"""
ON_THE_API: Final = (
    "payments", "refunds", "claims", "balance", "events", "webhooks", "listen", "trigger",
    "clock", "faults", "ledger", "statement", "proof",
)  # fmt: skip


def page() -> str:
    """The whole page."""
    return "\n".join((HEAD, *_groups())).rstrip() + "\n"


def _groups() -> Iterator[str]:
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"clawback.cli.{name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(name)(module.command)
            yield from _command(f"clawback {name}", get_command(app), "##")
            continue
        where = "HTTP API" if name in ON_THE_API else "database"
        yield f"## clawback {name}\n\n{text} On the {where}.\n"
        group: Any = get_command(app)
        commands = getattr(group, "commands", None) or {app.registered_commands[0].name: group}
        for inner, command in commands.items():
            for path, found in _leaves(f"clawback {name} {inner}", command):
                yield from _command(path, found, "###")


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own
    """A command, or all commands of a group within a group."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for inner, one in command.commands.items():
        yield from _leaves(f"{name} {inner}", one)


def _command(name: str, command: Any, level: str) -> Iterator[str]:  # noqa: ANN401 - typer's own
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    shown = " ".join([name, *(_placeholder(one) for one in arguments)])
    yield f"{level} {name}\n\n`{shown}`\n\n{' '.join((command.help or '').split())}\n"
    rows = [
        *(f"| `{_placeholder(one)}` | {_cell(one.help)} |" for one in arguments if one.help),
        *(_option(one) for one in options if _is_own(name, one)),
    ]
    if rows:
        yield "\n".join(("| | |", "|---|---|", *rows, ""))
    if command.epilog:
        yield "".join(f"- {_cell(line)}\n" for line in command.epilog.split(" · "))


def _placeholder(argument: Any) -> str:  # noqa: ANN401 - typer's own
    return str(argument.metavar or argument.name.upper())


def _is_own(name: str, option: Any) -> bool:  # noqa: ANN401 - typer's own
    is_operators = option.opts[0] == "--live" and name.split()[1] not in ON_THE_API
    stands_alone = name in {"clawback dev", "clawback serve"}
    return (
        (option.opts[0] not in SHARED or is_operators or stands_alone)
        and not option.hidden
        and option.name != "help"
    )


def _option(option: Any) -> str:  # noqa: ANN401 - typer's own
    text = _cell(option.help)
    if option.default not in {None, False} and "(default" not in text:
        text += f" Default {option.default}."
    return f"| `{option.opts[-1]}` | {text} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(page(), end="")

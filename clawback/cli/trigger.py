"""`clawback trigger`: play a scenario of the sandbox on a test book, step by step.

Each step goes over the public HTTP API with the key that any other program would use; what it came
to is shown with the claim and the balance that it led to.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from clawback.cli.output import Stop, clean, heading, say, show_fields, show_json, show_table
from clawback.cli.session import Api, with_api

if TYPE_CHECKING:
    from clawback.cli.client import Json
    from clawback.cli.scenarios import Run, Step

CLAIM: Final = (
    "id",
    "kind",
    "status",
    "pendingReason",
    "resolution",
    "amount",
    "amountReleased",
    "currency",
    "frozenUsd",
    "missingUsd",
)


@with_api
def command(
    api: Api,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of `--list`.", show_default=False)
    ] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
) -> None:
    """Play a scenario on a test book: chargebacks, late failures, deadlines. On the HTTP API."""
    from clawback.cli import scenarios  # noqa: PLC0415 - loaded only when used

    if listed or name is None:
        rows = [(one, scenarios.read(one).about) for one in scenarios.names()]
        if api.as_json:
            show_json({"data": [{"name": one, "about": about} for one, about in rows]})
        else:
            show_table(("name", "about"), rows)
        if name is None and not listed:
            raise Stop("no scenario was named", "Name one of these.")
        return
    scenario = scenarios.read(name)
    run = scenarios.Run(api.client)
    steps = []
    if not api.as_json:
        heading(scenario.about)
    for number, (kind, step) in enumerate(scenario.steps, 1):
        text = f"{number}. {kind} {_said(step)}"
        if not api.as_json:
            say(text)
        run.take(step)
        steps.append({"step": text, **_state(run, as_json=api.as_json)})
    if api.as_json:
        show_json({"name": name, "about": scenario.about, "steps": steps})


def _said(step: "Step") -> str:
    """A step's own words."""
    values = msgspec.to_builtins(step, builtin_types=(msgspec.Raw,))
    shown = (f"{key}={clean(value)}" for key, value in values.items() if value not in (None, {}))
    return " ".join(shown)


def _state(run: "Run", *, as_json: bool) -> "Json":
    """The newest claim and the balance after a step."""
    claim = run.claim(None, None) if run.payment is not None else {}
    balance = run.balance()
    kept = {field: claim.get(field) for field in CLAIM} if claim else {}
    if not as_json:
        if kept:
            show_fields({"claim": _line(kept)}, indent="   ")
        show_fields({"balance": _line(balance)}, indent="   ")
    return {"claim": kept or None, "balance": balance}


def _line(fields: "Json") -> str:
    return ", ".join(
        f"{name} {clean(value)}" for name, value in fields.items() if value is not None
    )

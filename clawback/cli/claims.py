"""`clawback claims`: list, show and decide claims: refunds, inquiries, chargebacks, MEDs.

Everything goes over the HTTP API with a key, so it can do what the key may do and no more.
"""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from clawback.cli.options import After, Limit, RetryKey, given, retry_key
from clawback.cli.output import Stop, clean, heading, show_fields, show_json, show_table
from clawback.cli.session import Api, pick, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "kind": "kind",
    "payment": "transactionId",
    "status": "status",
    "waits for": "pendingReason",
    "amount": "amount",
    "currency": "currency",
    "USD": "amountUsd",
    "created": "createdAt",
}
PARTS = {
    "timeline": ("version", "at", "from", "to", "movement", "actor", "note"),
    "entries": ("id", "type", "href"),
    "attempts": ("number", "operation", "outcome", "providerReference", "startedAt", "endedAt"),
}
DETAILS = 'For instance { "rail": "spei", "holderName": "…", "account": "…" }.'
Id = Annotated[str, typer.Argument(metavar="CLAIM", help="CLM-…")]


@app.command("list")
@with_api
def list_claims(
    api: Api,
    kind: Annotated[str | None, typer.Option(help="user_dispute, chargeback …")] = None,
    status: Annotated[str | None, typer.Option(help="pending, approved, released …")] = None,
    payment: Annotated[str | None, typer.Option(help="Of this payment only.")] = None,
    reason: Annotated[
        str | None, typer.Option("--pending-reason", help="What they wait for.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> None:
    """List claims, the newest first."""
    reply = api.client.get(
        "/claims",
        kind=kind,
        status=status,
        transactionId=payment,
        pendingReason=reason,
        after=after,
        limit=limit,
    )
    api.show_list(reply, COLUMNS)


@app.command("show")
@with_api
def show_claim(api: Api, claim: Id) -> None:
    """Show one claim with its timeline, its entries and what was sent to the provider."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    reply = api.client.get(f"/claims/{part(claim)}")
    if api.as_json:
        show_json(reply.body)
        return
    told = reply.data
    parts = {name: told.pop(name, None) for name in PARTS}
    show_fields(told)
    for name, columns in PARTS.items():
        rows = parts[name]
        if isinstance(rows, list) and rows:
            heading(name)
            show_table(columns, [[pick(row, column) for column in columns] for row in rows])


@app.command("cancel")
@with_api
def cancel_claim(
    api: Api,
    claim: Id,
    reason: Annotated[str | None, typer.Option(help="Kept on the timeline.")] = None,
    retry: RetryKey = None,
) -> None:
    """Withdraw a refund that has not been sent to its provider."""
    _act(api, claim, "cancel", given(reason=reason), retry)


@app.command("approve")
@with_api
def approve_claim(
    api: Api,
    claim: Id,
    note: Annotated[str | None, typer.Option(help="Kept on the timeline.")] = None,
    retry: RetryKey = None,
) -> None:
    """Agree to a refund that somebody else asked for."""
    _act(api, claim, "approve", given(note=note), retry)


@app.command("reject")
@with_api
def reject_claim(
    api: Api,
    claim: Id,
    reason: Annotated[str, typer.Option(help="Kept on the timeline.")],
    retry: RetryKey = None,
) -> None:
    """Refuse a refund that somebody else asked for; its money goes back."""
    _act(api, claim, "reject", given(reason=reason), retry)


@app.command("payer-details")
@with_api
def give_payer_details(
    api: Api,
    claim: Id,
    file: Annotated[
        Path | None,
        typer.Option(help="JSON with rail, holderName, account …; - reads it from standard input."),
    ] = None,
    retry: RetryKey = None,
) -> None:
    """Say where the money of a refund goes; without a file, show the link for its payer.

    Details come from a file, because everybody on a machine can see arguments.
    """
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    if file is not None:
        _act(api, claim, "payer-details", _read_details(file), retry)
        return
    link = api.client.get(f"/claims/{part(claim)}").data.get("payerDetailsUrl")
    if link is None:
        raise Stop("this claim asks its payer for nothing", "`clawback claims show` tells why.")
    api.show_fields({"payerDetailsUrl": link})


def _read_details(file: Path) -> dict[str, object]:
    """What a file says. Raises: Stop if it is no JSON object."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = msgspec.json.decode(text)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise Stop(f"{file} holds no JSON: {clean(error)}", DETAILS) from error
    if not isinstance(found, dict):
        raise Stop(f"{file} holds no JSON object", DETAILS)
    return found


def _act(api: Api, claim: str, action: str, body: dict[str, object], retry: str | None) -> None:
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    target = f"/claims/{part(claim)}/{action}"
    reply = api.client.post(target, body, key=retry_key(retry))
    if api.as_json:
        show_json(reply.body)
    else:
        show_fields({name: reply.data.get(path) for name, path in COLUMNS.items()})

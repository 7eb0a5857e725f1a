"""`clawback claims`: list, show and cancel claims: refunds, inquiries, chargebacks, MEDs.

Everything goes over the HTTP API with a key, so it can do what the key may do and no more.
"""

from typing import Annotated

import typer

from clawback.cli.options import After, Limit, RetryKey, given, retry_key
from clawback.cli.output import heading, show_fields, show_json, show_table
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
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    target = f"/claims/{part(claim)}/cancel"
    reply = api.client.post(target, given(reason=reason), key=retry_key(retry))
    if api.as_json:
        show_json(reply.body)
    else:
        show_fields({name: reply.data.get(path) for name, path in COLUMNS.items()})

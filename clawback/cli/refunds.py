"""`clawback refunds`: give money back, and list what was given back.

Each request carries an idempotency key, so that one whose answer was lost can be sent again and
still has one effect.
"""

from typing import Annotated

import typer

from clawback.cli.options import After, Limit, RetryKey, given, number, retry_key
from clawback.cli.output import Stop
from clawback.cli.session import Api, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "payment": "transactionId",
    "status": "status",
    "waits for": "pendingReason",
    "amount": "amount",
    "currency": "currency",
    "USD": "amountUsd",
    "created": "createdAt",
}


@app.command("create")
@with_api
def create_refund(
    api: Api,
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="TXN-…")],
    amount: Annotated[str | None, typer.Option(help="In the payment's local currency.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="The full amount of the payment.")] = False,
    reason: Annotated[str | None, typer.Option(help="Such as requested_by_customer.")] = None,
    expected: Annotated[
        str | None, typer.Option("--expected-remaining", help="Refuse if not this much is left.")
    ] = None,
    retry: RetryKey = None,
) -> None:
    """Give a part of a payment back, or with --all the whole of it."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    if (amount is None) != whole:
        raise Stop("how much?", "Give --amount 10, or --all for the full amount.")
    body = given(
        amount=None if amount is None else number(amount, "--amount"),
        reason=reason,
        expectedRemaining=None if expected is None else number(expected, "--expected-remaining"),
    )
    reply = api.client.post(f"/payments/{part(payment)}/refund", body, key=retry_key(retry))
    api.show_object(reply)


@app.command("list")
@with_api
def list_refunds(
    api: Api,
    status: Annotated[str | None, typer.Option(help="pending, approved, released …")] = None,
    payment: Annotated[str | None, typer.Option(help="Of this payment only.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> None:
    """List refunds, the newest first."""
    reply = api.client.get(
        "/claims",
        kind="user_dispute",
        status=status,
        transactionId=payment,
        after=after,
        limit=limit,
    )
    api.show_list(reply, COLUMNS)

"""`clawback payments`: list, show and create payments, and play the payer in the sandbox.

Everything goes over the HTTP API with a key, so it can do what the key may do and no more.
"""

from typing import Annotated

import typer

from clawback.cli.options import After, From, Limit, RetryKey, To, given, number, retry_key
from clawback.cli.session import Api, with_api

app = typer.Typer()

COLUMNS = {
    "id": "id",
    "status": "status",
    "amount": "amountLocal",
    "currency": "currencyLocal",
    "USD": "amount",
    "left": "remaining",
    "method": "paymentMethodId",
    "created": "createdAt",
}
Id = Annotated[str, typer.Argument(metavar="PAYMENT", help="TXN-…")]


@app.command("list")
@with_api
def list_payments(
    api: Api,
    status: Annotated[str | None, typer.Option(help="pending, completed, refunded …")] = None,
    order: Annotated[str | None, typer.Option(help="Your own order id.")] = None,
    after: After = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 50,
) -> None:
    """List payments, the newest first."""
    query = {"status": status, "merchantOrderId": order, "after": after, "limit": limit}
    reply = api.client.get("/payments", **query, **{"from": from_, "to": to})
    api.show_list(reply, COLUMNS)


@app.command("show")
@with_api
def show_payment(api: Api, payment: Id) -> None:
    """Show one payment."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    api.show_object(api.client.get(f"/payments/{part(payment)}"))


@app.command("create")
@with_api
def create_payment(
    api: Api,
    amount: Annotated[str, typer.Argument(help="What is asked for, in USD: 50 or 49.99.")],
    method: Annotated[str, typer.Option(help="Of `GET /payment-methods`.")] = "sbx_spei",
    country: Annotated[str | None, typer.Option(help="MX, BR, CO …")] = "MX",
    order: Annotated[str | None, typer.Option(help="Your own order id.")] = None,
    retry: RetryKey = None,
) -> None:
    """Create a payment; in the sandbox, `payments simulate` then plays the payer."""
    body = given(
        amount=number(amount, "AMOUNT"),
        paymentMethodId=method,
        country=country,
        merchantOrderId=order,
    )
    api.show_object(api.client.post("/payments", body, key=retry_key(retry)))


@app.command("simulate")
@with_api
def simulate(
    api: Api,
    payment: Id,
    action: Annotated[str, typer.Argument(help="paid, failed, expired, processing …")],
) -> None:
    """Have the sandbox do something to a payment of a test book."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    target = f"/payments/{part(payment)}/simulate"
    api.show_object(api.client.post(target, {"action": action}))

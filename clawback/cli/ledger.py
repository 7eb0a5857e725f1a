"""`clawback ledger`: a book's accounts and its entries, as the API shows them.

Everything goes over the HTTP API with a key, so it can see what the key may see and no more.
"""

from typing import Annotated

import typer

from clawback.cli.options import From, To, moment
from clawback.cli.output import show_json, show_table
from clawback.cli.session import Api, pick, with_api

app = typer.Typer()

ACCOUNTS = {
    "account": "account",
    "currency": "currency",
    "balance": "balance",
    "normal side": "normalSide",
    "postings": "seq",
    "updated": "updatedAt",
}
ENTRY = ("height", "id", "type", "createdAt", "transactionId", "claimId")
POSTING = ("account", "currency", "amount", "balanceAfter", "seq")


@app.command("accounts")
@with_api
def list_accounts(
    api: Api, currency: Annotated[str | None, typer.Option(help="Of this currency only.")] = None
) -> None:
    """List the book's accounts with their balances."""
    api.show_list(api.client.get("/ledger/accounts", currency=currency), ACCOUNTS)


@app.command("entries")
@with_api
def list_entries(
    api: Api,
    claim: Annotated[str | None, typer.Option(help="Of this claim only.")] = None,
    payment: Annotated[str | None, typer.Option(help="Of this payment only.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="capture, freeze, payout …")] = None,
    account: Annotated[str | None, typer.Option(help="That touch this account.")] = None,
    from_: From = None,
    to: To = None,
) -> None:
    """List the newest hundred entries with their postings."""
    reply = api.client.get(
        "/ledger/entries",
        claimId=claim,
        transactionId=payment,
        type=kind,
        account=account,
        **{"from": from_ and moment(from_)},
        to=to and moment(to),
        limit=100,
    )
    if api.as_json:
        show_json(reply.body)
        return
    rows: list[list[object]] = []
    for entry in reply.rows:
        named: list[object] = [pick(entry, name) for name in ENTRY]
        legs = entry.get("postings")
        for leg in legs if isinstance(legs, list) else ():
            rows.append([*named, *(pick(leg, name) for name in POSTING)])
            named = [""] * len(ENTRY)
    show_table((*ENTRY, *POSTING), rows)

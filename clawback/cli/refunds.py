"""`clawback refunds`: give money back, also by the file, and list what was given back.

Each request carries an idempotency key, so that one whose answer was lost can be sent again and
still has one effect.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from clawback import clock
from clawback.cli.options import After, Limit, RetryKey, given, number, retry_key
from clawback.cli.output import Stop, progress
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


@app.command("check")
@with_api
def check_refund(
    api: Api,
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="TXN-…")],
    amount: Annotated[
        str | None, typer.Option(help="In local currency. (default: all that is left)")
    ] = None,
) -> None:
    """Say what a refund of a payment would meet now, without asking for it."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    wanted = None if amount is None else bytes(number(amount, "--amount")).decode()
    api.show_object(api.client.get(f"/payments/{part(payment)}/refundability", amount=wanted))


@app.command("import")
@with_api
def import_refunds(
    api: Api,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header line.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come of it.")] = False,
    piece: Annotated[int, typer.Option(help="Rows of a call.", min=1, max=1000)] = 1000,
    pause: Annotated[float, typer.Option(help="Seconds between two calls.", min=0)] = 0.0,
    rate: Annotated[
        int | None, typer.Option(help="Rows a second at most. (default: no limit)", min=1)
    ] = None,
) -> None:
    """Refund every row of a file: transactionId, amount, reason, expectedRemaining, reference.

    Stopped at any moment, the same command goes on where it was; no row is refunded twice.
    """
    from clawback.cli import importing  # noqa: PLC0415 - loaded only when used

    def wait(rows: int) -> None:
        clock.sleep_seconds(pause + (0.0 if rate is None else rows / rate))

    source, ledger = importing.Input(file, piece), importing.Ledger(file)
    result = file.with_name(f"{file.name}.dry-run.csv") if dry_run else ledger.result_path
    state = None
    with progress("import") as told:
        steps = (
            importing.rehearse(api.client, source, result, wait)
            if dry_run
            else importing.import_file(api.client, source, ledger, wait)
        )
        for state in steps:
            told("rows", state.rows, source.rows)
    assert state is not None, "a file without rows is refused"
    api.show_fields(
        {
            "rows": state.rows,
            "accepted": state.created,
            "refused": state.refused,
            "sums": {currency: msgspec.Raw(text) for currency, text in state.sums.items()},
            "dryRun": dry_run,
            "result": str(result),
        }
    )


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

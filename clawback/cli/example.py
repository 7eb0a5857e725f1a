"""The refund page's example, played for real over the public API, and checked step by step.

A payer pays 50 USD by SPEI (861.18 MXN), 10 MXN of it are refunded, and the money is followed
through freeze, resolve_approved and release into the balance. Every figure is compared with the
page's: a step that differs ends the play with what was expected and what was found.
"""

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from clawback import clock
from clawback.cli.client import Client, Json, part
from clawback.cli.output import Stop, heading, paint, say, show_fields, show_table
from clawback.cli.session import pick

SECONDS: Final = 30.0
PAYMENT: Final = ("status", "amount", "currency", "amountLocal", "currencyLocal", "fxRate")
REFUND: Final = (
    "refundId", "transactionId", "amount", "amountUsd", "currency", "status", "reason", "createdAt",
)  # fmt: skip
"""The fields of the page's answer, in the page's order."""

ENTRIES: Final = {
    "freeze": (("pending", "USD", "-0.5806"), ("frozen", "USD", "0.5806")),
    "resolve_approved": (("frozen", "USD", "-0.5806"), ("payable", "USD", "0.5806")),
    "release": (
        ("payable", "USD", "-0.5806"),
        ("fx", "USD", "0.5806"),
        ("fx", "MXN", "-10"),
        ("provider:sandbox", "MXN", "10"),
    ),
}
"""The postings that the refund has to make."""


def play(client: Client) -> Json:
    """Play it, printing each step; returns what it made. Raises: Stop if a step differs."""
    heading("1. A payment of 50 USD by SPEI")
    payment_id = _pay(client)
    heading("2. The payer pays")
    _simulate_paid(client, payment_id)
    heading("3. 10 MXN are refunded")
    claim_id = _refund(client, payment_id)
    heading("4. The claim goes its way")
    _follow(client, claim_id)
    heading("5. The three entries")
    _show_entries(client, claim_id)
    heading("6. The balance")
    _show_balance(client)
    return {"payment": payment_id, "claim": claim_id}


def _pay(client: Client) -> str:
    order = f"demo-{secrets.token_hex(4)}"
    body = {"amount": 50, "paymentMethodId": "sbx_spei", "country": "MX", "merchantOrderId": order}
    created = client.post("/payments", body, key=order).data
    shown = ("id", *PAYMENT)
    show_fields({name: created.get(name) for name in shown}, indent="   ")
    _expect("the payment's status", created.get("status"), "pending")
    _expect("the payment's local amount", created.get("amountLocal"), Decimal("861.18"))
    return str(created["id"])


def _simulate_paid(client: Client, payment_id: str) -> None:
    client.post(f"/payments/{part(payment_id)}/simulate", {"action": "paid"})
    path = f"/payments/{part(payment_id)}"
    paid = _wait("the payment to complete", lambda: _when(client, path, "status", "completed"))
    show_fields({name: paid.get(name) for name in ("status", "remaining")}, indent="   ")
    _expect("what can be refunded", paid.get("remaining"), Decimal("861.18"))


def _refund(client: Client, payment_id: str) -> str:
    reply = client.post(
        f"/payments/{part(payment_id)}/refund",
        {"amount": 10, "reason": "requested_by_customer"},
        key=f"{payment_id}-refund-1",
    )
    told = reply.data
    show_fields(told, indent="   ")
    _expect("the answer's fields", tuple(told), REFUND)
    _expect("the payment refunded", told["transactionId"], payment_id)
    _expect("the refund's amount", told["amount"], 10)
    _expect("the refund's value in USD", told["amountUsd"], Decimal("0.5806"))
    _expect("the refund's status", told["status"], "pending")
    return str(told["refundId"])


def _follow(client: Client, claim_id: str) -> None:
    path = f"/claims/{part(claim_id)}"
    claim = _wait("the claim to be released", lambda: _when(client, path, "status", "released"))
    timeline = claim.get("timeline")
    rows = timeline if isinstance(timeline, list) else []
    columns = ("version", "at", "from", "to", "movement", "actor")
    show_table(columns, [[pick(row, column) for column in columns] for row in rows])
    moves = [pick(row, "movement") for row in rows if pick(row, "movement") is not None]
    _expect("the claim's movements", moves, list(ENTRIES))


def _show_entries(client: Client, claim_id: str) -> None:
    entries = client.get("/ledger/entries", claimId=claim_id).rows
    entries.sort(key=lambda entry: str(entry.get("height")).rjust(12))
    rows = [_leg_row(entry, leg) for entry in entries for leg in _legs(entry)]
    show_table(("entry", "account", "currency", "amount", "balance after"), rows)
    found = {
        kind: tuple((leg[1], leg[2], str(leg[3])) for leg in rows if leg[0] == kind)
        for kind in ENTRIES
    }
    for kind, legs in ENTRIES.items():
        _expect(f"the postings of {kind}", sorted(found[kind]), sorted(legs))
    _expect("the entries of the claim", len(entries), len(ENTRIES))


def _legs(entry: Json) -> list[Json]:
    legs = entry.get("postings")
    return legs if isinstance(legs, list) else []


def _leg_row(entry: Json, leg: Json) -> list[object]:
    return [
        entry["type"],
        *(leg[name] for name in ("account", "currency", "amount", "balanceAfter")),
    ]


def _show_balance(client: Client) -> None:
    told = client.get("/me/balance").data
    balance, fees = told.get("balance"), told.get("feeSummary")
    assert isinstance(balance, dict), "the contract's form"
    assert isinstance(fees, dict), "the contract's form"
    show_fields({**balance, "netBalance": fees.get("netBalance")}, indent="   ")
    buckets = ("available", "pending", "frozen", "inTransit", "reserve")
    total = sum((Decimal(str(balance[name])) for name in buckets), Decimal(0))
    _expect("the net balance", fees.get("netBalance"), total - Decimal(str(balance["debt"])))


def _when(client: Client, path: str, field: str, value: str) -> Json | None:
    found = client.get(path).data
    return found if found.get(field) == value else None


def _wait(what: str, look: Callable[[], Json | None]) -> Json:
    """Look until there is something. Raises: Stop when the time is over."""
    until = clock.monotonic() + SECONDS
    while clock.monotonic() < until:
        found = look()
        if found is not None:
            return found
        clock.sleep_seconds(0.1)
    raise Stop(f"waited {SECONDS:.0f} s for {what}", "Look into the logs of the data directory.")


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        text = f"{what}: expected {expected}, found {found}"
        raise Stop(text, "The example did not go as the refund page says: this is a fault of ours.")
    say(f"   {paint('ok', 'good')} {what}")

"""GET /payments/{id}/refundability over HTTP, compared with the refund call that follows it."""

from typing import Any

import pytest

from tests.support.databases import BookHash, Database
from tests.support.shops import Shop, demo_shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)


def test_the_whole_answer(tree: Tree) -> None:
    shop = other_shop(tree, "MCH-PREFLIGHT")
    payment = shop.take_payment()
    shop.post(f"/payments/{payment}/refund", {"amount": 10})
    shown = shop.get(f"/payments/{payment}/refundability")
    deadline = shop.get(f"/payments/{payment}")["refundDeadlineAt"]
    arrival = shown.pop("arrival")
    assert shown == {
        "transactionId": payment, "allowed": True, "reasons": [], "currency": "MXN",
        "amount": 851.18, "amountUsd": 49.4194, "captured": 861.18, "claimed": 10,
        "remaining": 851.18, "remainingUsd": 49.4194, "minimumAmount": 0.01, "partial": True,
        "multiple": True, "maxRefunds": None, "refundsUsed": 1, "deadlineAt": deadline,
        "missingPayerFields": [], "balance": {"freezableUsd": 49.4194, "shortfallUsd": 0},
        "dispute": None, "approvalRequired": False,
        "feeEffect": {"policy": "kept", "returnedUsd": 0, "chargedUsd": 0},
    }  # fmt: skip
    assert list(arrival) == ["earliest", "latest"]
    assert arrival["earliest"] < arrival["latest"]


def compare(shop: Shop, payment: str, amount: float | None) -> dict[str, Any]:
    """Ask first, then refund; the answers must agree."""
    query = {} if amount is None else {"amount": amount}
    seen = shop.get(f"/payments/{payment}/refundability", **query)
    body = {"amount": amount if amount is not None else seen["amount"]}
    met = shop.call("POST", f"/payments/{payment}/refund", body if body["amount"] else {})
    blocking = [one["code"] for one in seen["reasons"] if one["blocking"]]
    assert seen["allowed"] == (met.status == 201)
    assert blocking == ([] if met.code is None else [met.code])
    if met.status == 201:
        assert seen["amountUsd"] == met.json["amountUsd"]
        shop.call("POST", f"/claims/{met.json['refundId']}/cancel", {})
    return seen


@pytest.mark.parametrize(
    ("method", "country", "action", "amount", "reasons"),
    [
        ("sbx_spei", "MX", "paid", None, []),
        ("sbx_spei", "MX", "paid", 861.19, ["refund_exceeds_remaining"]),
        ("sbx_spei", "MX", "", 1, ["payment_not_refundable"]),
        ("sbx_spei", "MX", "failed", None, ["payment_not_refundable"]),
        ("sbx_oxxo", "MX", "paid", 10, ["awaiting_payer_details"]),
        ("sbx_pse", "CO", "paid", 10, ["partial_refund_not_supported"]),
        ("sbx_card", "MX", "paid", None, ["awaiting_funds"]),
        ("sbx_card", "CL", "paid", 100, []),
    ],
)
def test_it_agrees_with_the_refund(
    tree: Tree, method: str, country: str, action: str, amount: float | None, reasons: list[str]
) -> None:
    shop = other_shop(tree, f"MCH-{method[4:]}-{country}-{action}-{amount}")
    payment = shop.take_payment(method=method, country=country, action=action)
    seen = compare(shop, payment, amount)
    assert [one["code"] for one in seen["reasons"]] == reasons
    assert all(one["message"] for one in seen["reasons"])


def test_limits_of_the_key_count(tree: Tree) -> None:
    shop = other_shop(tree, "MCH-LIMITS")
    payment = shop.take_payment()
    made = tree.told("keys", "create", "MCH-LIMITS", "--limits", "1,0.7", "--rate", "1000")
    limited = Shop(tree.address, str(made["secret"]))
    assert compare(limited, payment, 20)["reasons"][0]["code"] == "key_limit_exceeded"
    assert compare(limited, payment, 10)["allowed"] is True
    assert compare(limited, payment, 10)["reasons"][0]["code"] == "key_limit_exceeded"


def test_the_clock_of_the_book_counts(tree: Tree, rows: Database) -> None:
    shop = other_shop(tree, "MCH-LATER")
    payment = shop.take_payment(method="sbx_pix", country="BR")
    assert compare(shop, payment, 1)["allowed"] is True
    rows.execute(
        "UPDATE heads SET clock_offset_seconds = $1 WHERE book_id = (SELECT book_id FROM books"
        " WHERE merchant_id = 'MCH-LATER' AND mode = 'test')",
        91 * 86_400,
    )
    assert compare(shop, payment, 1)["reasons"][0]["code"] == "refund_window_closed"


def test_what_it_refuses_itself(tree: Tree) -> None:
    shop = demo_shop(tree)
    payment = shop.take_payment()
    for amount, rule in (
        ("0", "not_positive"), ("-1", "not_positive"), ("1e16", "exponent"), ("x", "not_a_number"),
        ("1e12", "too_large"), ("0.001", "precision"), ("9" * 33, "digits"),
    ):  # fmt: skip
        refused = shop.call("GET", f"/payments/{payment}/refundability?amount={amount}")
        assert (refused.status, refused.code) == (400, "invalid_amount")
        assert refused.json["error"]["details"]["rule"] == rule
        assert refused.json["error"]["param"] == "amount"
    for query in ("amount=", "amount=1&amount=1", "sum=1"):
        refused = shop.call("GET", f"/payments/{payment}/refundability?{query}")
        assert refused.code == "invalid_parameter"
    for name in ("TXN-MP331BTF-R308", "x"):
        assert shop.call("GET", f"/payments/{name}/refundability").code == "not_found"


def test_it_writes_nothing(tree: Tree) -> None:
    shop = other_shop(tree, "MCH-LOOKED-AT")
    payment = shop.take_payment()
    with BookHash(tree.dev["databaseUrl"], "MCH-LOOKED-AT") as book:
        before = book.quiet()
        shop.get(f"/payments/{payment}/refundability", amount=1)
        after = book.now()
    assert {name: after[name] for name in ("payments", "claims", "entries", "events", "heads")} == {
        name: before[name] for name in ("payments", "claims", "entries", "events", "heads")
    }

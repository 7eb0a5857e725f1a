"""Approving and rejecting over HTTP, the books audited, and what the database itself refuses."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from tests.support.counts import count
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)


def second_key(tree: Tree, merchant: str, *more: str) -> tuple[Shop, str]:
    """Another key of the merchant, and its id."""
    made = tree.told("keys", "create", merchant, "--rate", "10000", *more)
    return Shop(tree.address, str(made["secret"])), str(made["key"])


def wait_for(tree: Tree, shop: Shop, claim: str, status: str = "released") -> dict[str, Any]:
    """The claim, once it has this status."""
    tree.until(f"{claim} is {status}", lambda: is_now(shop, claim, status), 30)
    return shop.get(f"/claims/{claim}")


def is_now(shop: Shop, claim: str, status: str) -> bool:
    return bool(shop.get(f"/claims/{claim}")["status"] == status)


@pytest.fixture(scope="module")
def strict(tree: Tree) -> Shop:
    """A merchant whose refunds of 0.50 USD and more need a second principal."""
    shop = other_shop(tree, "MCH-STRICT")
    tree.told("books", "set", "MCH-STRICT", "threshold=0.5")
    return shop


def test_two_keys_take_a_refund_through(tree: Tree, strict: Shop) -> None:
    checker, key_id = second_key(tree, "MCH-STRICT", "--scopes", "claims:approve,claims:read")
    claim = strict.post(f"/payments/{strict.take_payment()}/refund", {"amount": 10})["refundId"]
    shown = strict.get(f"/claims/{claim}")
    assert shown["pendingReason"] == "awaiting_approval"
    assert shown["approval"] == {"required": True, "by": None, "at": None}
    own = strict.call("POST", f"/claims/{claim}/approve", {})
    assert (own.status, own.code) == (403, "self_approval")
    own = strict.call("POST", f"/claims/{claim}/reject", {"reason": "mine"})
    assert (own.status, own.code) == (403, "self_approval")
    done = checker.call("POST", f"/claims/{claim}/approve", {"note": "seen"}, "once")
    assert done.status == 200
    assert done.json["status"] == "approved"
    assert done.json["approval"]["by"] == f"key:{key_id}"
    assert [step["to"] for step in done.json["timeline"]] == ["pending", "approved"]
    assert done.json["timeline"][1]["note"] == "seen"
    assert [entry["type"] for entry in done.json["entries"]] == ["freeze", "resolve_approved"]
    again = checker.call("POST", f"/claims/{claim}/approve", {"note": "seen"}, "once")
    assert (again.body, again.header("idempotent-replayed")) == (done.body, "true")
    wait_for(tree, strict, claim)
    late = checker.call("POST", f"/claims/{claim}/reject", {"reason": "late"})
    assert late.code == "claim_transition_invalid"
    tree.audit()


def test_a_small_refund_needs_nobody(tree: Tree, strict: Shop) -> None:
    claim = strict.post(f"/payments/{strict.take_payment()}/refund", {"amount": 1})["refundId"]
    shown = wait_for(tree, strict, claim)
    assert (shown["status"], shown["approval"]["required"]) == ("released", False)


def test_all_keys_of_one_owner_are_one_principal(tree: Tree) -> None:
    first = other_shop(tree, "MCH-ANA")
    tree.told("books", "set", "MCH-ANA", "threshold=0")
    listed = tree.told("keys", "list", "--merchant", "MCH-ANA")["data"]
    second, second_id = second_key(tree, "MCH-ANA")
    third, _ = second_key(tree, "MCH-ANA")
    for key_id in (str(listed[0]["key"]), second_id):
        assert tree.told("keys", "assign", key_id, "--owner", "ana")["owner"] == "ana"
    claim = first.post(f"/payments/{first.take_payment()}/refund", {"amount": 10})["refundId"]
    refused = second.call("POST", f"/claims/{claim}/approve", {})
    assert (refused.status, refused.code) == (403, "self_approval")
    assert third.call("POST", f"/claims/{claim}/approve", {}).status == 200
    tree.audit()


def test_a_restricted_key_approves_up_to_its_limit(tree: Tree, strict: Shop) -> None:
    small, _ = second_key(tree, "MCH-STRICT", "--limits", "0.58,0.1")
    claim = strict.post(f"/payments/{strict.take_payment()}/refund", {"amount": 10})["refundId"]
    refused = small.call("POST", f"/claims/{claim}/approve", {})
    assert (refused.status, refused.code) == (403, "key_limit_exceeded")
    assert refused.json["error"]["details"] == {
        "limit": "maxClaimUsd", "limitUsd": 0.58, "usedUsd": 0, "amountUsd": 0.5806,
    }  # fmt: skip
    enough, _ = second_key(tree, "MCH-STRICT", "--limits", "0.5806,0.1")
    assert enough.call("POST", f"/claims/{claim}/approve", {}).status == 200


def test_an_approval_waits_for_the_money(tree: Tree) -> None:
    shop = other_shop(tree, "MCH-POOR")
    tree.told("books", "set", "MCH-POOR", "threshold=0", "settle-hours=0")
    checker, key_id = second_key(tree, "MCH-POOR")
    card = shop.take_payment(method="sbx_card")
    claim = shop.post(f"/payments/{card}/refund", {})["refundId"]
    kept = checker.post(f"/claims/{claim}/approve", {}, 200)
    assert (kept["status"], kept["pendingReason"], kept["missingUsd"]) == (
        "pending", "awaiting_funds", 1.75,
    )  # fmt: skip
    assert kept["approval"]["by"] == f"key:{key_id}"
    assert [entry["type"] for entry in kept["entries"]] == ["freeze"]
    shop.take_payment()
    shown = wait_for(tree, shop, claim)
    movements = [step["movement"] for step in shown["timeline"]]
    assert movements == ["freeze", None, "freeze", "resolve_approved", "release"]
    assert shown["timeline"][3]["actor"] == "worker"
    tree.audit()


def test_details_after_an_approval_take_it_back(tree: Tree) -> None:
    """Whoever names another account cannot use an approval that was given for the first."""
    shop = other_shop(tree, "MCH-DIVERTED")
    tree.told("books", "set", "MCH-DIVERTED", "threshold=0")
    checker, _ = second_key(tree, "MCH-DIVERTED")
    card = shop.take_payment(method="sbx_card")
    claim = shop.post(f"/payments/{card}/refund", {})["refundId"]
    checker.post(f"/claims/{claim}/approve", {}, 200)
    details = {"rail": "spei", "holderName": "Somebody", "account": "999180000000100177"}
    given = shop.post(f"/claims/{claim}/payer-details", details, 200)
    assert given["approval"] == {"required": True, "by": None, "at": None}
    assert given["pendingReason"] == "awaiting_approval"
    again = checker.post(f"/claims/{claim}/approve", {}, 200)
    assert again["pendingReason"] == "awaiting_funds"


def test_rejecting_needs_a_reason_and_frees_the_payment(tree: Tree, strict: Shop) -> None:
    checker, _ = second_key(tree, "MCH-STRICT")
    payment = strict.take_payment()
    claim = strict.post(f"/payments/{payment}/refund", {})["refundId"]
    bare = checker.call("POST", f"/claims/{claim}/reject", {})
    assert (bare.code, bare.json["error"]["param"]) == ("missing_field", "reason")
    done = checker.post(f"/claims/{claim}/reject", {"reason": "not ours"}, 200)
    assert (done["status"], done["resolution"]) == ("rejected", "rejected_by_approver")
    assert (done["frozenUsd"], done["timeline"][-1]["note"]) == (0, "not ours")
    assert strict.get(f"/payments/{payment}")["remaining"] == 861.18
    assert checker.call("POST", f"/claims/{claim}/approve", {}).code == "claim_transition_invalid"
    tree.audit()


def test_of_two_approvers_at_once_one_decides(tree: Tree, strict: Shop) -> None:
    checkers = [second_key(tree, "MCH-STRICT")[0] for _ in range(4)]
    for _ in range(count(2, 20)):
        payment = strict.take_payment()
        claim = strict.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"]
        targets = [f"/claims/{claim}/approve"] * len(checkers)
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda one, target: one.call("POST", target, {}), checkers, targets)
            )
        assert sorted(one.status for one in answers) == [200, 409, 409, 409]
        shown = wait_for(tree, strict, claim)
        assert [step["to"] for step in shown["timeline"]] == ["pending", "approved", "released"]
    tree.audit()


def test_the_database_itself_refuses_one_principal(strict: Shop, rows: Database) -> None:
    claim = strict.post(f"/payments/{strict.take_payment()}/refund", {"amount": 10})["refundId"]
    write = (
        "UPDATE claims SET approved_by = $2, approved_principal = $3, approved_at = created_at,"
        " requested_principal = $4 WHERE claim_id = $1"
    )
    asker = rows.rows("SELECT requested_by FROM claims WHERE claim_id = $1", claim)[0][0]
    for approver, principal, asked in (
        (asker, None, None),
        ("key:key_other", "user:ana", "user:ana"),
        ("key:key_other", asker, None),
        ("user:ana", None, "user:ana"),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match=re.compile("claims_(self|two)_")):
            rows.execute(write, claim, approver, principal, asked)
    rows.execute(write, claim, "key:key_other", "user:ben", "user:ana")
    found = rows.rows("SELECT approved_by FROM claims WHERE claim_id = $1", claim)
    assert found[0][0] == "key:key_other"

"""Deadlines of open claims: announced 48 hours before, once, and then they act; by the clock.

Each is tried shortly before and shortly after, on a book of its own whose clock is moved over
the API, with the worker and the sandbox provider beside it.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from clawback.clock import wire_time
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(240)

MARGIN: Final = timedelta(minutes=10)
"""The clock goes on while a test looks."""
WARNED: Final = timedelta(hours=48)
TEXT: Final = {"type": "other", "text": "x"}
DUE: Final = {
    "chargeback": ("evidenceDueAt", timedelta(days=14)),
    "inquiry": ("evidenceDueAt", timedelta(days=7)),
    "med": ("evidenceDueAt", timedelta(days=3)),
    "payer details": ("payerDetailsDueAt", timedelta(days=30)),
    "window": ("refundDeadlineAt", timedelta(days=180)),
}
METHOD: Final = {"med": ("sbx_pix", "BR"), "payer details": ("sbx_oxxo", "MX")}


def opened(tree: Tree, shop: Shop, merchant: str, kind: str) -> str:
    """A claim that waits for something until its deadline."""
    method, country = METHOD.get(kind, ("sbx_card", "MX"))
    payment = shop.take_payment(method=method, country=country)
    if kind in {"chargeback", "inquiry", "med"}:
        told = shop.post(f"/payments/{payment}/simulate", {"action": kind}, 200)
        return str(told["claimId"])
    if kind == "window":
        tree.told("books", "set", merchant, "threshold=0")
    return str(shop.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"])


def move(shop: Shop, to: datetime) -> None:
    """Have the book's clock there, and all done that fell due."""
    reply = shop.post("/sandbox/clock", {"advanceTo": wire_time(to)}, 200)
    while reply["status"] == "advancing":
        reply = shop.get("/sandbox/clock")


def warnings(shop: Shop, claim: str) -> list[dict[str, Any]]:
    rows = shop.get("/events", objectId=claim, limit=100)["data"]
    return [one for one in rows if one["type"] == "claim.deadline_near"]


@pytest.mark.parametrize("kind", DUE)
def test_a_deadline_is_announced_and_acts(tree: Tree, kind: str) -> None:
    merchant = f"MCH-DUE-{kind.replace(' ', '-').upper()}"
    shop = other_shop(tree, merchant)
    claim = opened(tree, shop, merchant, kind)
    name, span = DUE[kind]
    shown = shop.get(f"/claims/{claim}")
    due = datetime.fromisoformat(shown[name])
    begun = datetime.fromisoformat(shown["createdAt"])
    assert abs(due - begun - span) < timedelta(minutes=5)
    move(shop, due - WARNED - MARGIN)
    assert warnings(shop, claim) == []
    version = shop.get(f"/claims/{claim}")["version"]
    move(shop, due - WARNED + MARGIN)
    (told,) = warnings(shop, claim)
    assert told["data"]["version"] == version, "it raises no version"
    move(shop, due - MARGIN)
    before = shop.get(f"/claims/{claim}")
    assert (before["status"], before["pendingReason"]) == ("pending", shown["pendingReason"])
    if name == "evidenceDueAt":
        shop.post(f"/claims/{claim}/evidence", TEXT)
    move(shop, due + MARGIN)
    after = shop.get(f"/claims/{claim}")
    if name == "evidenceDueAt":
        assert shop.call("POST", f"/claims/{claim}/evidence", TEXT).code == "evidence_closed"
        assert shop.call("POST", f"/claims/{claim}/submit", {}).code == "evidence_closed"
        assert (after["status"], after["pendingReason"] != "awaiting_evidence") == ("pending", True)
    else:
        ends = {"window": "window_closed", "payer details": "payer_details_expired"}
        assert (after["status"], after["resolution"]) == ("failed", ends[kind])
        assert (after["frozenUsd"], after["timeline"][-1]["actor"]) == (0, "clock")
    assert len(warnings(shop, claim)) == 1
    tree.audit()

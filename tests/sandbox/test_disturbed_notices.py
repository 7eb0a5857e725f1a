"""Notices that come twice, in another order, late or not at all lead to the same end.

The sandbox provider sends them over real sockets; the disturbance is scripted and its firing is
counted, so that a test knows that what it survived did happen.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from clawback.clock import milliseconds, real_now
from tests.support.notices import dispute, send, sign
from tests.support.registry import Registry
from tests.support.shops import Shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply

pytestmark = pytest.mark.timeout(180)

DAY = 86_400
LIVES: Final = {
    "lost": ("chargeback", "chargeback_lost"),
    "won, then lost": ("chargeback", "chargeback_won", "chargeback_reopened", "chargeback_lost"),
    "lost, won back": ("chargeback", "chargeback_lost", "chargeback_reversed"),
    "escalated and lost": ("inquiry", "inquiry_escalated", "chargeback_lost"),
}


@pytest.fixture(scope="module")
def registry(tree: Tree) -> Iterator[Registry]:
    with Registry(tree) as found:
        yield found


@pytest.fixture
def shop(registry: Registry) -> Shop:
    return registry.shop()


class Network:
    """The sandbox provider's own calls: what happens there without our simulate call."""

    def __init__(self, tree: Tree) -> None:
        host, _, port = str(tree.dev["sandboxUrl"]).removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._secret = (tree.data / "sandbox" / "secret").read_text().strip()

    def post(self, path: str, body: object) -> dict[str, Any]:
        found = self._call("POST", path, body)
        assert found.status == 200, found
        return found.json

    def cases(self, charge: str) -> list[dict[str, Any]]:
        found = self._call("GET", f"/record/disputes?charge={charge}", None).json["data"]
        assert isinstance(found, list)
        return found

    def charge_of(self, payment: str) -> dict[str, Any]:
        """The charge of a payment: references begin with the payment's name."""
        name, cursor = payment.replace("-", ""), 0
        while True:
            page = self._call("GET", f"/record/charges?after={cursor}", None).json
            for row in page["data"]:
                if row["reference"].startswith(name):
                    return dict(row)
            cursor = page["next"]
            assert cursor is not None, f"no charge for {payment}"

    def _call(self, method: str, path: str, body: object) -> Reply:
        headers = [("Authorization", f"Bearer {self._secret}")]
        data = None
        if body is not None:
            assert isinstance(body, dict)
            headers.append(("X-Book", str(body.pop("book", ""))))
            data = json.dumps(body).encode()
        with Line(self._address) as line:
            return line.call(method, path, headers, data)


def end_of(shop: Shop, payment: str) -> list[tuple[str, str, str | None, float]]:
    """What came of the claims on a payment, without names and times."""
    claims = sorted(shop.claims_of(payment), key=lambda one: (one["createdAt"], one["kind"]))
    return sorted(
        (one["kind"], one["status"], one["resolution"], one["amountReleased"]) for one in claims
    )


def calm_end(shop: Shop, life: str) -> list[tuple[str, str, str | None, float]]:
    """The end when nothing is disturbed: the yardstick."""
    payment = shop.take_payment(method="sbx_card")
    for action in LIVES[life]:
        shop.post(f"/payments/{payment}/simulate", {"action": action}, 200)
    return end_of(shop, payment)


@pytest.mark.parametrize(
    ("fault", "life"),
    [
        *(
            (f, life)
            for f in ("none", "duplicate", "out_of_order", "bad_signature")
            for life in LIVES
        ),
        ("late", "won, then lost"),
    ],
)
def test_a_case_ends_the_same_however_its_notices_come(
    tree: Tree, shop: Shop, fault: str, life: str
) -> None:
    network = Network(tree)
    wanted = calm_end(shop, life)
    payment = shop.take_payment(method="sbx_card")
    charge = network.charge_of(payment)
    script = {"operation": "webhook", "sequence": [fault, "none"], "repeat": True}
    if fault == "late":  # for half a minute of real time: the first one alone
        script = {"operation": "webhook", "sequence": ["late"]}
    shop.post("/sandbox/faults", {**script, "transactionId": payment})
    for action in LIVES[life]:
        asked = {"book": charge["book"], "action": action}
        network.post(f"/charges/{charge['reference']}/disputes", asked)
    tree.until("the end is the same", lambda: end_of(shop, payment) == wanted, 60)
    time.sleep(0.2)
    assert end_of(shop, payment) == wanted
    (left,) = [one for one in shop.get("/sandbox/faults")["data"] if one["transactionId"]]
    assert left["remaining"] != script["sequence"] or fault == "none" or len(LIVES[life]) % 2 == 0


@pytest.mark.parametrize("end", ["chargeback_won", "chargeback_lost"])
def test_what_was_lost_is_asked_for(tree: Tree, shop: Shop, end: str) -> None:
    """The verdict's notice never comes: the network is asked how the case stands."""
    network = Network(tree)
    payment = shop.take_payment(method="sbx_card")
    claim = shop.post(f"/payments/{payment}/simulate", {"action": "chargeback"}, 200)["claimId"]
    shop.post("/sandbox/faults", {"operation": "webhook", "sequence": ["lost"]})
    charge = network.charge_of(payment)
    asked = {"book": charge["book"], "action": end}
    told = network.post(f"/charges/{charge['reference']}/disputes", asked)
    time.sleep(0.3)
    assert shop.get(f"/claims/{claim}")["status"] == "pending", "nobody has told it"
    shop.post("/sandbox/clock", {"advanceSeconds": 17 * DAY}, 200)
    found = shop.get(f"/claims/{claim}")
    assert (found["status"], told["status"]) in {("rejected", "won"), ("released", "lost")}


def test_a_verdict_on_a_case_that_nobody_heard_of_opens_it(tree: Tree, shop: Shop) -> None:
    network = Network(tree)
    payment = shop.take_payment()
    charge = network.charge_of(payment)
    shop.post("/sandbox/faults", {"operation": "webhook", "sequence": ["lost"]})
    for action, amount in (("chargeback", 80_000), ("chargeback_lost", 30_000)):
        asked = {"book": charge["book"], "action": action, "amountMinor": amount}
        network.post(f"/charges/{charge['reference']}/disputes", asked)
    wanted = [("chargeback", "released", "partially_lost", 300)]
    tree.until("it is on record", lambda: end_of(shop, payment) == wanted, 10)
    assert shop.claims_of(payment)[0]["amount"] == 800


def test_a_refund_made_outside_is_one_however_often_it_is_told(tree: Tree, shop: Shop) -> None:
    network = Network(tree)
    payment = shop.take_payment()
    charge = network.charge_of(payment)
    shop.post("/sandbox/faults", {"operation": "webhook", "sequence": ["duplicate"]})
    asked = {"book": charge["book"], "amountMinor": 10_000}
    network.post(f"/charges/{charge['reference']}/refunds", asked)
    wanted = [("user_dispute", "released", "refunded", 100)]
    tree.until("it is on record", lambda: end_of(shop, payment) == wanted, 10)
    time.sleep(0.5)
    assert end_of(shop, payment) == wanted
    assert shop.get(f"/payments/{payment}")["remaining"] == 761.18
    for log in (tree.data / "logs").glob("api-*.log"):
        assert "batch_failed" not in log.read_text(), "the second one was an error of ours"


@pytest.mark.parametrize("fault", ["lost", "out_of_order"])
def test_a_case_about_a_payment_that_we_think_unpaid_is_folded(
    tree: Tree, shop: Shop, fault: str
) -> None:
    """The payer paid, and we were not told, or told too late: a dispute says that it was paid."""
    network = Network(tree)
    payment = shop.take_payment(action="")
    charge = network.charge_of(payment)
    path = f"/charges/{charge['reference']}"
    shop.post("/sandbox/faults", {"operation": "webhook", "sequence": [fault]})
    network.post(f"{path}/simulate", {"book": charge["book"], "status": "completed"})
    assert shop.get(f"/payments/{payment}")["status"] == "pending"
    network.post(f"{path}/disputes", {"book": charge["book"], "action": "chargeback"})
    tree.until("it is on record", lambda: len(shop.claims_of(payment)) == 1, 10)
    assert shop.get(f"/payments/{payment}")["status"] == "completed"
    (claim,) = shop.claims_of(payment)
    assert (claim["kind"], claim["status"], claim["frozenUsd"]) == ("chargeback", "pending", 50)


def test_facts_about_what_is_not_there_are_taken(tree: Tree) -> None:
    for number, charge in enumerate(("TXN0000000000000001", "nobody's", "TXNZZZZZZZZZZZZ0001")):
        for _ in range(2):
            reply = send(tree, f"early-{number}", dispute(charge))
            assert (reply.status, reply.json) == (200, {"received": True})
    strange = send(tree, "strange", {"type": "weather.changed"})
    assert strange.status == 200
    no_such = dispute("TXN0000000000000001", status="exploded")
    assert send(tree, "exploded", no_such).status == 200


def test_what_is_not_the_providers_is_not_believed(tree: Tree) -> None:
    stale = send(tree, "stale", dispute("TXN0000000000000001"), late=301)
    assert (stale.status, stale.json["error"]["code"]) == (401, "stale_timestamp")
    body = json.dumps(dispute("TXN0000000000000001")).encode()
    with Line(tree.address) as line:
        headers = sign(tree, "forged", body + b" ", milliseconds(real_now()) // 1000)
        forged = line.call("POST", f"{API}/providers/sandbox/webhooks", headers, body)
        assert (forged.status, forged.json["error"]["code"]) == (401, "invalid_signature")
        unknown = line.call("POST", f"{API}/providers/nobody/webhooks", headers, body)
        assert (unknown.status, unknown.json["error"]["code"]) == (404, "route_not_found")


def test_a_currency_that_differs_posts_nothing(tree: Tree, shop: Shop) -> None:
    network = Network(tree)
    payment = shop.take_payment(method="sbx_card")
    charge = network.charge_of(payment)["reference"]
    assert send(tree, f"odd-{charge}", dispute(charge, currency="BRL")).status == 200
    assert shop.claims_of(payment) == []
    balance = shop.get("/me/balance")["balance"]
    assert balance["frozen"] == 0


def test_one_event_about_two_payments_is_folded_for_each(tree: Tree, shop: Shop) -> None:
    """A provider that names two facts alike: neither is lost, a repeat of either is one."""
    network = Network(tree)
    payments = [shop.take_payment(method="sbx_card") for _ in range(2)]
    charges = [network.charge_of(payment)["reference"] for payment in payments]
    for charge in (*charges, *charges):
        told = dispute(charge, id=f"shared-{charges[0]}", case=f"case-{charge}")
        assert send(tree, f"shared-{charges[0]}", told).status == 200
    for payment in payments:
        (claim,) = shop.claims_of(payment)
        assert (claim["kind"], claim["amount"], claim["status"]) == ("chargeback", 10, "pending")


def test_other_money_than_was_asked_is_not_booked(shop: Shop, tree: Tree) -> None:
    """The provider's first word about a charge has a wrong amount; it is asked again."""
    shop.post("/sandbox/faults", {"operation": "charge", "sequence": ["wrong_amount"]})
    payment = shop.take_payment(method="sbx_card", action="")
    assert shop.get(f"/payments/{payment}")["status"] == "pending"
    assert shop.get("/ledger/entries")["data"] == []

    def captured() -> bool:
        return bool(shop.get(f"/payments/{payment}")["status"] == "completed")

    tree.until("it is asked again", captured, 30)
    assert [one["type"] for one in shop.get("/ledger/entries")["data"]] == ["capture"]

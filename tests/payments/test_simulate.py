"""Each simulate action in each state of a payment, over HTTP: what it leads to, or what is allowed.

The allowed actions of a state are written out by hand from the contract, section 12; a payment on
which an action was refused stands as before.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.support.counts import sampled
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)

ACTIONS: Final = (
    "paid", "processing", "failed", "expired", "refunded", "chargeback", "inquiry", "med",
    "chargeback_won", "med_won", "inquiry_won", "chargeback_lost", "med_lost",
    "chargeback_withdrawn", "inquiry_escalated", "chargeback_reopened", "chargeback_reversed",
    "refund_paid", "refund_failed", "refund_failed_late", "refund_paid_late",
)  # fmt: skip
DAY: Final = 86_400
OPENINGS: Final = ("chargeback", "inquiry", "med")
LEADS_TO: Final = {
    # action: status of the payment if that is all, or of the claim that the answer names
    "paid": ("completed", None),
    "processing": ("processing", None),
    "failed": ("failed", None),
    "expired": ("expired", None),
    "refunded": (None, "released"),
    "chargeback": (None, "pending"),
    "inquiry": (None, "pending"),
    "med": (None, "pending"),
    "chargeback_won": (None, "rejected"),
    "med_won": (None, "rejected"),
    "inquiry_won": (None, "rejected"),
    "chargeback_lost": (None, "released"),
    "med_lost": (None, "released"),
    "chargeback_withdrawn": (None, "canceled"),
    "inquiry_escalated": (None, "pending"),
    "chargeback_reopened": (None, "pending"),
    "chargeback_reversed": (None, "reversed"),
    "refund_paid": (None, "released"),
    "refund_failed": (None, "failed"),
    "refund_failed_late": (None, "reversed"),
    "refund_paid_late": (None, "released"),
}
Scene = Callable[[Shop], str]


@pytest.fixture(scope="module")
def shop(tree: Tree) -> Shop:
    return other_shop(tree, "MCH-SIMULATE")


def do(shop: Shop, payment: str, action: str, **more: object) -> dict[str, Any]:
    return shop.post(f"/payments/{payment}/simulate", {"action": action, **more}, 200)


def unpaid(*actions: str) -> Scene:
    """A PIX payment that nobody has paid, and what was done to it."""

    def scene(shop: Shop) -> str:
        payment = shop.take_payment(method="sbx_pix", country="BR", action="")
        for action in actions:
            do(shop, payment, action)
        return payment

    return scene


def paid(*actions: str, **more: object) -> Scene:
    """A PIX payment that was paid, and what was done to it; `more` goes with the last action."""

    def scene(shop: Shop) -> str:
        payment = shop.take_payment(method="sbx_pix", country="BR")
        for number, action in enumerate(actions, 1):
            do(shop, payment, action, **(more if number == len(actions) else {}))
        return payment

    return scene


def refunded(fault: str, status: str, *actions: str, amount: float | None = 10) -> Scene:
    """A paid payment with a refund that went a fault's way, and what was done to it."""

    def scene(shop: Shop) -> str:
        payment = shop.take_payment(method="sbx_pix", country="BR")
        script = {"operation": "refund", "sequence": [fault], "transactionId": payment}
        shop.post("/sandbox/faults", script)
        body = {} if amount is None else {"amount": amount}
        claim = shop.post(f"/payments/{payment}/refund", body)["refundId"]
        wait(shop, claim, status)
        for action in actions:
            do(shop, payment, action)
        return payment

    return scene


def wait(shop: Shop, claim: str, status: str) -> None:
    """Until the claim has this status; an approved one until it was sent."""
    end = time.monotonic() + 10
    while True:
        found = shop.get(f"/claims/{claim}")
        was_sent = [one for one in found["attempts"] if one["outcome"] is not None]
        if found["status"] == status and was_sent:
            return
        assert time.monotonic() < end, found
        time.sleep(0.02)


SCENES: Final[dict[str, tuple[Scene, tuple[str, ...]]]] = {
    "pending": (unpaid(), ("paid", "processing", "failed", "expired")),
    "processing": (unpaid("processing"), ("paid", "failed", "expired")),
    "failed": (unpaid("failed"), ("paid",)),
    "expired": (unpaid("expired"), ("paid",)),
    "completed": (paid(), ("refunded", *OPENINGS)),
    "refund approved": (
        refunded("never_settles", "approved"),
        ("refunded", *OPENINGS, "refund_paid", "refund_failed"),
    ),
    "refund released": (
        refunded("never_settles", "approved", "refund_paid"),
        ("refunded", *OPENINGS, "refund_failed_late"),
    ),
    "refund failed": (
        refunded("decline", "failed"),
        ("refunded", *OPENINGS, "refund_paid_late"),
    ),
    "refund reversed": (
        refunded("never_settles", "approved", "refund_paid", "refund_failed_late"),
        ("refunded", *OPENINGS, "refund_paid_late"),
    ),
    "refunded in full": (
        refunded("never_settles", "approved", "refund_paid", amount=None),
        (*OPENINGS, "refund_failed_late"),
    ),
    "refunded outside": (paid("refunded"), (*OPENINGS, "refund_failed_late")),
    "refunded outside and returned": (
        paid("refunded", "refund_failed_late"),
        ("refunded", *OPENINGS, "refund_paid_late"),
    ),
    "inquiry open": (paid("inquiry"), ("chargeback", "med", "inquiry_won", "inquiry_escalated")),
    "inquiry won": (paid("inquiry", "inquiry_won"), ("refunded", *OPENINGS)),
    "inquiry escalated": (
        paid("inquiry", "inquiry_escalated"),
        ("inquiry", "med", "chargeback_won", "chargeback_lost", "chargeback_withdrawn"),
    ),
    "chargeback open": (
        paid("chargeback"),
        ("inquiry", "med", "chargeback_won", "chargeback_lost", "chargeback_withdrawn"),
    ),
    "chargeback won": (
        paid("chargeback", "chargeback_won"),
        ("refunded", *OPENINGS, "chargeback_reopened"),
    ),
    "chargeback withdrawn": (
        paid("chargeback", "chargeback_withdrawn"),
        ("refunded", *OPENINGS, "chargeback_reopened"),
    ),
    "chargeback lost": (
        paid("chargeback", "chargeback_lost"),
        (*OPENINGS, "chargeback_reversed"),
    ),
    "chargeback lost in part": (
        paid("chargeback", "chargeback_lost", amount=100),
        ("refunded", *OPENINGS, "chargeback_reversed"),
    ),
    "chargeback won back": (
        paid("chargeback", "chargeback_lost", "chargeback_reversed"),
        ("refunded", *OPENINGS, "chargeback_reopened"),
    ),
    "chargeback reopened": (
        paid("chargeback", "chargeback_won", "chargeback_reopened"),
        ("inquiry", "med", "chargeback_won", "chargeback_lost", "chargeback_withdrawn"),
    ),
    "med open": (paid("med"), ("chargeback", "inquiry", "med_won", "med_lost")),
    "med won": (paid("med", "med_won"), ("refunded", *OPENINGS)),
    "med lost": (paid("med", "med_lost"), OPENINGS),
}


@pytest.mark.parametrize("state", sampled(SCENES, every=2))
def test_what_is_not_possible_says_what_is(shop: Shop, state: str) -> None:
    make, allowed = SCENES[state]
    payment = make(shop)
    before = shop.get(f"/payments/{payment}")
    for action in ACTIONS:
        if action in allowed:
            continue
        reply = shop.call("POST", f"/payments/{payment}/simulate", {"action": action})
        assert reply.status == 409, (action, reply)
        error = reply.json["error"]
        assert error["code"] == "simulate_not_possible"
        assert error["details"]["action"] == action
        assert error["details"]["status"] == before["status"]
        assert tuple(error["details"]["allowed"]) == tuple(a for a in ACTIONS if a in allowed)
    after = shop.get(f"/payments/{payment}")  # a reference may come later, without a version
    assert {**after, "updatedAt": None} == {**before, "updatedAt": None}


@pytest.mark.parametrize(
    ("state", "action"),
    sampled(((state, one) for state, (_, all_) in SCENES.items() for one in all_), every=4),
)
def test_what_is_possible_is_done_at_once(shop: Shop, state: str, action: str) -> None:
    make, _ = SCENES[state]
    payment = make(shop)
    told = do(shop, payment, action)
    payment_status, claim_status = LEADS_TO[action]
    assert (told["transactionId"], told["action"]) == (payment, action)
    now = shop.get(f"/payments/{payment}")
    assert told["status"] == now["status"]
    if claim_status is None:
        assert (told["status"], told["claimId"]) == (payment_status, None)
        return
    claim = shop.get(f"/claims/{told['claimId']}")
    assert (told["claimStatus"], claim["status"]) == (claim_status, claim_status)
    assert now["disputed"] == any(
        one["kind"] != "user_dispute" and one["status"] in {"pending", "approved"}
        for one in shop.claims_of(payment)
    )


def test_a_chargeback_lives_its_whole_life_in_under_a_second(tree: Tree) -> None:
    """Opened, won, reopened, lost by silence after 15 days, won back, reopened, withdrawn."""
    shop = other_shop(tree, "MCH-WHOLE-LIFE")
    fastest = min(_whole_life(shop) for _ in range(3))  # whatever else this machine does
    assert fastest < 1.0, f"a chargeback's life took {fastest:.2f} s"


def _whole_life(shop: Shop) -> float:
    """One life, checked at each turn; how many seconds it took."""
    payment = shop.take_payment()
    begun = time.monotonic()
    opened = do(shop, payment, "chargeback")
    claim = opened["claimId"]
    assert opened["claimStatus"] == "pending"
    move(shop, 5 * DAY)
    assert do(shop, payment, "chargeback_won")["claimStatus"] == "rejected"
    move(shop, 20 * DAY)
    assert do(shop, payment, "chargeback_reopened")["claimStatus"] == "pending"
    move(shop, 15 * DAY + 60)
    lost = shop.get(f"/claims/{claim}")
    assert (lost["status"], lost["resolution"]) == ("released", "lost")
    assert do(shop, payment, "chargeback_reversed")["claimStatus"] == "reversed"
    assert do(shop, payment, "chargeback_reopened")["claimStatus"] == "pending"
    assert do(shop, payment, "chargeback_withdrawn")["claimStatus"] == "canceled"
    seconds = time.monotonic() - begun
    found = shop.get(f"/claims/{claim}")
    assert [row["to"] for row in found["timeline"] if row["to"] != row["from"]] == [
        "pending", "rejected", "pending", "approved", "released", "reversed", "pending", "canceled",
    ]  # fmt: skip
    assert shop.get(f"/payments/{payment}")["status"] == "completed"
    return seconds


def move(shop: Shop, seconds: int) -> None:
    told = shop.post("/sandbox/clock", {"advanceSeconds": seconds}, 200)
    assert told["status"] == "ready"


def test_a_notice_of_what_was_simulated_changes_nothing_more(shop: Shop) -> None:
    payment = paid("chargeback", "chargeback_lost")(shop)
    (claim,) = shop.claims_of(payment)
    events = [one["type"] for one in shop.get("/events", objectId=claim["id"])["data"]]
    assert events == ["claim.opened", "claim.approved", "claim.released"]
    time.sleep(0.3)
    assert [one["version"] for one in shop.claims_of(payment)] == [3]


def test_amounts_reasons_and_claims_are_as_asked(shop: Shop) -> None:
    payment = shop.take_payment()
    opened = do(shop, payment, "chargeback", amount=100.5, reason="No such order")
    claim = shop.get(f"/claims/{opened['claimId']}")
    assert (claim["amount"], claim["reason"]) == (100.5, "No such order")
    lost = do(shop, payment, "chargeback_lost", amount=40, claimId=opened["claimId"])
    claim = shop.get(f"/claims/{lost['claimId']}")
    assert (claim["amountReleased"], claim["resolution"]) == (40, "partially_lost")
    outside = do(shop, payment, "refunded", amount=10)
    claim = shop.get(f"/claims/{outside['claimId']}")
    assert (claim["kind"], claim["amount"], claim["status"]) == ("user_dispute", 10, "released")
    assert [row["to"] for row in claim["timeline"]] == ["pending", "approved", "released"]
    assert shop.get(f"/payments/{payment}")["remaining"] == 811.18


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing_field", "action"),
        ({"action": "dance"}, 400, "invalid_field", "action"),
        ({"action": "chargeback", "amount": 0}, 400, "invalid_amount", "amount"),
        ({"action": "chargeback", "amount": None}, 400, "invalid_amount", "amount"),
        ({"action": "chargeback", "amount": 10.005}, 400, "invalid_amount", "amount"),
        ({"action": "refunded", "amount": 861.19}, 400, "invalid_amount", "amount"),
        ({"action": "chargeback", "reason": "x" * 501}, 400, "invalid_field", "reason"),
        ({"action": "chargeback_won", "claimId": "CLM-00000000-0000"}, 404, "not_found", None),
        ({"action": "chargeback_won", "claimId": "nonsense"}, 404, "not_found", None),
        ({"action": "paid", "colour": "red"}, 400, "unknown_field", "colour"),
    ],
)
def test_what_is_malformed_is_refused(
    shop: Shop, body: dict[str, object], status: int, code: str, param: str | None
) -> None:
    payment = shop.take_payment()
    reply = shop.call("POST", f"/payments/{payment}/simulate", body)
    assert reply.status == status, reply
    assert (reply.json["error"]["code"], reply.json["error"].get("param")) == (code, param)


def test_a_med_is_of_pix_alone_and_a_payment_of_another_book_is_not_there(
    tree: Tree, shop: Shop
) -> None:
    payment = shop.take_payment()
    reply = shop.call("POST", f"/payments/{payment}/simulate", {"action": "med"})
    assert reply.json["error"]["details"]["allowed"] == ["refunded", "chargeback", "inquiry"]
    stranger = Shop(tree.address, tree.dev["secretKey"])
    for name in (payment, "TXN-00000000-0000", "nonsense"):
        reply = stranger.call("POST", f"/payments/{name}/simulate", {"action": "refunded"})
        assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("action", ["refunded", "chargeback", "paid"])
def test_a_key_does_it_once(shop: Shop, action: str) -> None:
    payment = shop.take_payment(action="" if action == "paid" else "paid")
    path = f"/payments/{payment}/simulate"
    body = {"action": action, "amount": 10}
    first = shop.call("POST", path, body, f"K-{payment}")
    again = shop.call("POST", path, body, f"K-{payment}")
    assert (first.status, again.status) == (200, 200)
    assert first.json == again.json
    assert len(shop.claims_of(payment)) == (action != "paid")
    other = shop.call("POST", path, {"action": "expired"}, f"K-{payment}")
    assert (other.status, other.json["error"]["code"]) == (409, "idempotency_conflict")
    refused = shop.call("POST", path, {"action": "processing"}, f"R-{payment}")
    assert refused.status == 409
    free = shop.call("POST", path, {"action": "inquiry"}, f"R-{payment}")
    assert free.status == 200, "a refusal leaves the key free"


@pytest.mark.parametrize(
    "body",
    [
        {"action": "refunded"},
        {"action": "refunded", "amount": 12.5},
        {"action": "chargeback", "amount": 12.5},
        {"action": "chargeback_lost", "amount": 7},
        {"action": "paid"},
    ],
)
def test_copies_of_one_request_at_once_do_it_once(shop: Shop, body: dict[str, object]) -> None:
    """Copies that find the key taken resume the first one; none starts another."""
    payment = shop.take_payment(action="" if body["action"] == "paid" else "paid")
    if body["action"] == "chargeback_lost":
        do(shop, payment, "chargeback")
    path = f"/payments/{payment}/simulate"

    def copy(_: int) -> Any:  # noqa: ANN401 - it is what JSON says
        reply = shop.call("POST", path, body, f"C-{payment}")
        assert reply.status == 200, reply
        return reply.json

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(copy, range(6)))
    assert all(one == told[0] for one in told)
    assert len(shop.claims_of(payment)) == (body["action"] != "paid")
    assert told[0]["status"] == shop.get(f"/payments/{payment}")["status"]

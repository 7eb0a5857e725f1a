"""Sequences of up to eight turns through API and sandbox end as the naive model says.

The sequences and what must come of them are those of tests/model/naive.py; here each is simulated
in a book of its own, and it is proved after every turn.
"""

import random
from typing import Any, Final

import pytest

from tests.claims.scene import Scene, e4
from tests.model import naive
from tests.model.naive import Naive, Turn
from tests.support.counts import count, seeded
from tests.support.registry import Registry
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(3_600)

SEQUENCES: Final = count(3, 300)
ACTIONS: Final = {
    "paid": "refund_paid", "failed": "refund_failed", "failed_late": "refund_failed_late",
    "paid_late": "refund_paid_late", "outside": "refunded", "chargeback": "chargeback",
    "inquiry": "inquiry", "inquiry_won": "inquiry_won", "escalated": "inquiry_escalated",
    "won": "chargeback_won", "withdrawn": "chargeback_withdrawn", "lost": "chargeback_lost",
    "reversed": "chargeback_reversed", "reopened": "chargeback_reopened",
}  # fmt: skip
OPENING: Final = {"outside", "chargeback", "inquiry"}


class Played(Scene):
    """A payment in a book with 10,000 USD to spare, and its claims in their order."""

    def __init__(self, tree: Tree, registry: Registry) -> None:
        """The spare money is settled before the payment is taken."""
        super().__init__(tree, registry, spare_usd=naive.SPARE_E4 // 10_000)
        self.claims: list[str] = []

    def take(self, turn: Turn) -> None:
        """Let it happen."""
        what, number, amount = turn
        claim = self.claims[number] if number >= 0 else ""
        match what:
            case "refund":
                path = f"/payments/{self.payment}/refund"
                self.shop.post(path, {"amount": amount / 100})
            case "cancel":
                self.shop.post(f"/claims/{claim}/cancel", {}, 200)
            case "reject":
                self.second.post(f"/claims/{claim}/reject", {"reason": "no"}, 200)
            case "send":
                self.send(claim)
            case _:
                asked: dict[str, object] = {"action": ACTIONS[what]}
                asked |= {"amount": amount / 100} if amount else {}
                asked |= {} if what in OPENING else {"claimId": claim}
                self.shop.post(f"/payments/{self.payment}/simulate", asked, 200)
        rows = [one["id"] for one in self.shop.claims_of(self.payment)]
        self.claims += [one for one in reversed(rows) if one not in self.claims]

    def balance(self) -> dict[str, int]:
        """What the merchant reads of it."""
        shown = self.shop.get("/me/balance")
        held, flows = shown["balance"], shown["feeSummary"]
        payment = self.shop.get(f"/payments/{self.payment}")
        gone = payment["amountRefunded"] + payment["amountChargedBack"]
        return {
            "frozen": e4(held["frozen"]),
            "inTransit": e4(held["inTransit"]),
            "returned": e4(flows["returned"]),
            "loss": e4(flows["loss"]),
            "debt": e4(held["debt"]),
            "own": e4(held["pending"]) + e4(held["available"]),
            "local": round(payment["amountLocal"] * 100) - round(gone * 100),
            "remaining": round(payment["remaining"] * 100),
        }

    def statuses(self) -> list[str]:
        """How each claim stands."""
        return [str(self.shop.get(f"/claims/{one}")["status"]) for one in self.claims]


def is_beyond_the_sandbox(known: Naive, turn: Turn) -> bool:
    """Whether the naive model, which has no provider, knows less than the sandbox.

    Refunds never give back more than was paid there, its network takes any refund that is enough
    for the answer to an inquiry that it holds open, and decides a case at once that is given in to.
    """
    what, number, _ = turn
    gone = sum(one["gone"] for one in known.claims if one["kind"] == "refund")
    if what == "paid_late":
        too_much = gone + known.claims[number]["amount"] > naive.LOCAL
        return too_much or known.has_answered()
    if what == "send":
        return bool(known.of("inquiry", "pending", "approved"))
    return what == "accept" or (what == "outside" and known.has_answered())


def play(tree: Tree, registry: Registry, taken: list[Turn]) -> None:
    """After each turn the books are right, and are what the naive model says."""
    known, made = Naive(), Played(tree, registry)
    for turn in taken:
        if is_beyond_the_sandbox(known, turn):
            return
        known.take(turn)
        made.take(turn)
        made.check_books()
        assert made.statuses() == known.statuses(), (turn, taken)
        assert made.balance() == known.balance(), (turn, taken)


def test_a_sample_of_sequences_ends_in_the_documented_balance(
    tree: Tree, registry: Registry
) -> None:
    draw = seeded()
    turns = 0
    for _ in range(SEQUENCES):
        taken = naive.sequence(draw, ("chargeback",))
        turns += len(taken)
        play(tree, registry, taken)
    print(f"{SEQUENCES} sequences, {turns} turns")
    assert turns >= SEQUENCES


def test_an_end_that_is_not_the_documented_one_is_seen(
    tree: Tree, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a naive model in which excess is nobody's loss."""
    balance = Naive.balance

    def wrong(self: Naive) -> dict[str, Any]:
        return {**balance(self), "loss": 0}

    monkeypatch.setattr(Naive, "balance", wrong)
    taken: list[Turn] = [
        ("refund", -1, 10_000), ("send", 0, 0), ("paid", 0, 0), ("chargeback", -1, naive.LOCAL),
        ("lost", 1, naive.LOCAL),
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="loss"):
        play(tree, registry, taken)


def test_sequences_are_played_again_by_their_seed() -> None:
    first = naive.sequence(random.Random(1))
    assert first == naive.sequence(random.Random(1))

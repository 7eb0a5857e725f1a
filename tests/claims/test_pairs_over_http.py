"""The pair table over HTTP: each cell in a book of its own, the books checked after each turn.

A refund that is approved and not sent is there for a moment only while a worker runs, so that one
is held meanwhile; a MED is of PIX, so those payments are of 269.75 BRL.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.claims import pairs
from tests.claims.scene import Scene, e4
from tests.support import notices
from tests.support.registry import Registry
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)

MOST_OF_IT: Final = (950_000, 0)
"""A fee that leaves 2.50 USD of a payment: what waits for funds then."""

Cell = tuple[str, str, str]
WAYS: Final = {"inquiry": ("sbx_spei", "MX"), "chargeback": ("sbx_spei", "MX"),
               "med": ("sbx_pix", "BR")}  # fmt: skip
USUAL: Final = [cell for cell in pairs.PAIRS if cell[1] != "med" or cell[2] == "lost"][::2]


class Pair(Scene):
    """A refund of 100 and a case on one payment."""

    def __init__(self, tree: Tree, registry: Registry, cell: Cell) -> None:
        """Take the payment."""
        self.refund, self.kind, self.turn = cell
        method, country = WAYS[self.kind]
        fees = {method: MOST_OF_IT} if self.refund == "waiting" else {}
        threshold = None if self.refund == "waiting" else 1
        super().__init__(
            tree, registry, method=method, country=country, fees=fees, threshold_usd_e4=threshold
        )
        found = self.shop.get(f"/payments/{self.payment}")
        self.whole = round(found["amountLocal"] * 100)
        self.wanted = pairs.pair(*cell, whole=self.whole)
        self.claim = ""

    def ask(self) -> None:
        """Bring the refund to where it stands when the case comes."""
        path = f"/payments/{self.payment}/refund"
        self.claim = str(self.shop.post(path, {"amount": 100})["refundId"])
        if self.refund in {"at the provider", "released"}:
            self.send(self.claim)
        if self.refund == "released":
            self.simulate("refund_paid")
        if self.refund == "approved":
            self.second.post(f"/claims/{self.claim}/approve", {}, 200)
        waits = {"waiting": "awaiting_funds", "frozen": "awaiting_approval"}
        found = self.shop.get(f"/claims/{self.claim}")
        assert found["pendingReason"] == waits.get(self.refund, found["pendingReason"])
        assert self.refund != "approved" or found["attempts"] == []

    def simulate(self, action: str, **more: object) -> dict[str, Any]:
        """Make it happen."""
        path = f"/payments/{self.payment}/simulate"
        return self.shop.post(path, {"action": action, **more}, 200)

    def dispute(self) -> str:
        """The case comes, and its turn; its claim's id."""
        amount = pairs.PART if self.kind == "inquiry" else self.whole
        case = str(self.simulate(self.kind, amount=amount / 100)["claimId"])
        self.check_books()
        if self.wanted is None:
            self._say_what_is_no_turn(case)
        elif self.turn != "opened":
            self.simulate(f"{self.kind}_{self.turn}")
        self.check_books()
        return case

    def _say_what_is_no_turn(self, case: str) -> None:
        """There is no action for it, and a network that says it all the same is not believed."""
        body = {"action": f"{self.kind}_{self.turn}"}
        reply = self.shop.call("POST", f"/payments/{self.payment}/simulate", body)
        assert (reply.status, reply.code) == (400, "invalid_field")
        name = self.shop.get(f"/claims/{case}")["providerReference"]
        said = {"case": name, "kind": self.kind, "status": self.turn, "id": f"{name}-lost"}
        minor = {"amountMinor": pairs.PART, "demandedMinor": pairs.PART}
        notices.tell(self.tree, notices.dispute(self.charge, **said, **minor))

    def check(self, case: str) -> None:
        """Both claims stand as written, and the payment says the same."""
        stands = self.shop.get(f"/claims/{case}")
        if self.wanted is None:
            assert (stands["status"], stands["needsReview"]) == ("pending", True)
            return
        found = self.shop.get(f"/payments/{self.payment}")
        assert self._stands(self.claim) == self.wanted.refund
        assert self._stands(case) == self.wanted.case
        given = round(found["remaining"] * 100), round(found["amountChargedBack"] * 100)
        assert given == (self.wanted.remaining, self.wanted.charged_back)
        loss = e4(self.shop.get("/me/balance")["feeSummary"]["loss"])
        assert (loss > 0) == self.wanted.loss

    def finish(self) -> None:
        """Let funds come, a second person agree, the worker send and the provider settle."""
        merchant = str(self.shop.get("/me")["id"])
        if self.refund == "waiting":
            method, country = WAYS[self.kind]
            self.registry.set(merchant, {method: None})
            self.shop.take_payment(method=method, country=country)
            self.advance(49 * 3_600)
        if self.shop.get(f"/claims/{self.claim}")["pendingReason"] == "awaiting_approval":
            self.second.post(f"/claims/{self.claim}/approve", {}, 200)
        if self.refund == "at the provider":
            self.simulate("refund_paid")
        self.advance(10)
        self.check_books()
        if self.wanted is not None:
            assert self._stands(self.claim) == self.wanted.later

    def _stands(self, claim: str) -> str:
        found = self.shop.get(f"/claims/{claim}")
        return f"{found['status']} {found['resolution'] or ''}".strip()


@contextmanager
def held_worker(tree: Tree) -> Iterator[None]:
    """The worker does nothing meanwhile."""
    pid = tree.pid("worker")
    assert pid is not None
    time.sleep(0.3)  # it has nothing to do, and holds nothing
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def try_pair(tree: Tree, registry: Registry, cell: Cell) -> None:
    pair = Pair(tree, registry, cell)
    if pair.refund == "approved":
        with held_worker(tree):
            pair.ask()
            case = pair.dispute()
            pair.check(case)
    else:
        pair.ask()
        case = pair.dispute()
        pair.check(case)
    pair.finish()


@pytest.mark.parametrize("cell", USUAL, ids="-".join)
def test_a_pair(tree: Tree, registry: Registry, cell: Cell) -> None:
    try_pair(tree, registry, cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", [c for c in pairs.PAIRS if c not in USUAL], ids="-".join)
def test_every_other_pair(tree: Tree, registry: Registry, cell: Cell) -> None:
    try_pair(tree, registry, cell)


def test_a_pair_that_ends_otherwise_is_seen(tree: Tree, registry: Registry) -> None:
    """The control: the cell of a lost chargeback, compared with that of one that was won."""
    pair = Pair(tree, registry, ("frozen", "chargeback", "lost"))
    pair.ask()
    case = pair.dispute()
    pair.check(case)
    pair.wanted = pairs.pair("frozen", "chargeback", "won", pair.whole)
    with pytest.raises(AssertionError):
        pair.check(case)

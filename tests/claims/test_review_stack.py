"""Every state in review resolved on the whole stack: real notices, lanes, worker; the audit after.

The provider's notices are signed with its secret, and say what contradicts the books. What two
people find goes the way of the command line.
"""

import asyncio
import json
from typing import Any, Final

import asyncpg
import pytest

from clawback.claims.reviews import FINDINGS, Reviewed
from clawback.cli import trail
from clawback.cli.operating import Operator
from clawback.cli.output import Stop
from clawback.clock import real_now, wire_time
from clawback.db import pool
from clawback.ids import opaque
from tests.claims.reviewing import CELLS
from tests.sandbox.test_disturbed_notices import Network
from tests.support.counts import LONG
from tests.support.databases import Database
from tests.support.notices import dispute, send
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(240)

ANA: Final = Operator("user:ana", "cli:test@here")
BEN: Final = Operator("user:ben", "cli:test@here")
WORDS: Final = {
    "released": ("lost",),
    "rejected": ("won",),
    "canceled": ("withdrawn",),
    "reversed": ("lost", "reversed"),
}
ACTIONS: Final = {
    "released": ("refund_paid",),
    "failed": ("refund_failed",),
    "reversed": ("refund_paid", "refund_failed_late"),
}
TRIED: Final = (
    CELLS
    if LONG
    else [
        cell for place, cell in enumerate(CELLS) if cell[0] != "med" and place // 3 % 3 == place % 3
    ]
)
"""Each kind and status once, the findings in turn, unless there is time: a MED is as a chargeback.
All cells are tried on the model each time."""


class Scene:
    """A merchant whose refunds wait for a second principal, and that principal."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.shop = other_shop(tree, "MCH-REVIEWED")
        tree.told("books", "set", "MCH-REVIEWED", "threshold=0", "dispute-fee=0")
        made = tree.told("keys", "create", "MCH-REVIEWED", "--rate", "10000")
        self.checker = Shop(tree.address, str(made["secret"]))
        self.network = Network(tree)
        self.dsn = str(tree.dev["databaseUrl"])

    def claim(self, claim: str) -> dict[str, Any]:
        return self.shop.get(f"/claims/{claim}")

    def until(self, claim: str, **wanted: object) -> dict[str, Any]:
        def is_so() -> bool:
            found = self.claim(claim)
            return all(found[name] == value for name, value in wanted.items())

        self.tree.until(f"{claim} {wanted}", is_so, 30)
        return self.claim(claim)

    # Bringing claims there.

    def brought(self, kind: str, status: str) -> str:
        """A claim of this kind in this status."""
        return self._refund(status) if kind == "user_dispute" else self._case(kind, status)

    def _refund(self, status: str) -> str:
        payment = self.shop.take_payment()
        faults = {"operation": "refund", "sequence": ["never_settles"], "transactionId": payment}
        self.shop.post("/sandbox/faults", faults)
        claim = str(self.shop.post(f"/payments/{payment}/refund", {"amount": 100})["refundId"])
        if status == "canceled":
            self.shop.post(f"/claims/{claim}/cancel", {}, 200)
        elif status == "rejected":
            self.checker.post(f"/claims/{claim}/reject", {"reason": "no"}, 200)
        elif status != "pending":
            self.checker.post(f"/claims/{claim}/approve", {}, 200)
            self.tree.until("it is sent", lambda: self._is_sent(claim), 30)
            for action in ACTIONS.get(status, ()):
                self.shop.post(f"/payments/{payment}/simulate", {"action": action}, 200)
        return claim

    def _is_sent(self, claim: str) -> bool:
        tries = self.claim(claim)["attempts"]
        return bool(tries) and tries[-1]["outcome"] == "accepted"

    def _case(self, kind: str, status: str) -> str:
        payment = self.shop.take_payment(*_method(kind))
        action = {"action": kind, "amount": 100}
        told = self.shop.post(f"/payments/{payment}/simulate", action, 200)
        claim = str(told["claimId"])
        if status == "approved":
            faults = {"operation": "accept", "sequence": ["unavailable"] * 20}
            self.shop.post("/sandbox/faults", {**faults, "transactionId": payment})
            self.shop.post(f"/claims/{claim}/accept", {}, 200)
        for word in WORDS.get(status, ()):
            self._say(claim, word)
        return claim

    # What contradicts the books.

    def doubt(self, claim: str) -> None:
        """Have the provider say what cannot be."""
        found = self.claim(claim)
        if found["kind"] != "user_dispute":
            self._say(claim, "lost" if found["kind"] == "inquiry" else "escalated")
        else:
            self._notice(found)
        self.until(claim, needsReview=True)

    def _notice(self, found: dict[str, Any]) -> None:
        charge = self.network.charge_of(found["transactionId"])
        word = "returned" if found["status"] == "released" else "settled"
        now = wire_time(real_now())
        body = {
            "id": "n", "type": f"refund.{word}", "createdAt": now, "book": charge["book"],
            "reference": found["id"].replace("-", "") + charge["reference"][15:17] + "00",
            "chargeReference": charge["reference"], "providerReference": f"sbx_{found['id']}",
            "amountMinor": 10_000 - bool(found["attempts"]), "currency": "MXN", "status": word,
            "railReference": None, "reason": "odd", "at": now,
        }  # fmt: skip
        reply = send(self.tree, opaque("odd_"), body)
        assert (reply.status, reply.json) == (200, {"received": True})

    def _say(self, claim: str, word: str) -> None:
        found = self.claim(claim)
        charge = self.network.charge_of(found["transactionId"])
        name = opaque("odd_")
        body = dispute(
            charge["reference"], id=name, case=found["providerReference"], kind=found["kind"],
            status=word, amountMinor=10_000, currency=found["currency"], nextCase="next",
        )  # fmt: skip
        assert send(self.tree, name, body).status == 200

    # What people find.

    def find(self, claim: str, finding: str, by: Operator = ANA) -> Reviewed:
        """One person says it."""

        async def said() -> Reviewed:
            session = await pool.connect(self.dsn, application_name="clawback cli")
            try:
                what = trail.Finding(claim, finding, "the bank's statement", None)
                return await trail.resolve(session, self.dsn, by, what)
            finally:
                await session.close()

        return asyncio.run(said())

    def proved(self) -> None:
        """The whole database is right."""
        self.tree.audit()


def _method(kind: str) -> tuple[int, str, str]:
    return (50, "sbx_pix", "BR") if kind == "med" else (50, "sbx_card", "MX")


@pytest.fixture(scope="module")
def scene(tree: Tree) -> Scene:
    return Scene(tree)


@pytest.mark.parametrize(("kind", "status", "finding", "end"), TRIED)
def test_every_state_in_review_is_resolved(
    scene: Scene, kind: str, status: str, finding: str, end: str
) -> None:
    claim = scene.brought(kind, status)
    scene.doubt(claim)
    assert scene.claim(claim)["status"] == status
    if end == "refused":
        with pytest.raises(Stop, match="claim_transition_invalid"):
            scene.find(claim, finding)
        return
    proposed = scene.find(claim, finding)
    assert proposed.review.confirmed_by is None
    assert scene.claim(claim)["needsReview"] is True, "one person changes nothing"
    scene.find(claim, finding, BEN)
    found = scene.claim(claim)
    if finding == "resume" and status in {"pending", "approved"}:
        assert found["needsReview"] is False or found["status"] == "approved"
    else:
        assert (found["status"], found["needsReview"], found["reviewReason"]) == (end, False, None)
        assert found["timeline"][-1]["actor"] == "user:ben"
        assert "found by user:ana and user:ben" in found["timeline"][-1]["note"]
    scene.proved()


def test_nobody_confirms_their_own(scene: Scene) -> None:
    claim = scene.brought("user_dispute", "pending")
    scene.doubt(claim)
    scene.find(claim, "not_paid")
    with pytest.raises(Stop, match="self_approval"):
        scene.find(claim, "not_paid")
    assert scene.claim(claim)["needsReview"] is True
    scene.find(claim, "not_paid", BEN)
    assert scene.claim(claim)["needsReview"] is False


def test_the_database_itself_refuses_one_principal(scene: Scene, tree: Tree) -> None:
    claim = scene.brought("user_dispute", "pending")
    scene.doubt(claim)
    scene.find(claim, "paid")
    write = (
        "UPDATE reviews SET confirmed_by = $2, confirmed_principal = $3, confirmed_reason = 'x',"
        " confirmed_at = proposed_at WHERE claim_id = $1"
    )
    with Database(str(tree.dev["databaseUrl"])) as rows:
        for actor, principal in (("user:ana", None), ("key:key_b", "user:ana")):
            with pytest.raises(asyncpg.CheckViolationError, match=r"reviews_(self|two)_"):
                rows.execute(write, claim, actor, principal)
        rows.execute(write, claim, "user:ben", None)  # the control: another one is taken


@pytest.mark.long
def test_the_command_line_of_reviews(scene: Scene, tree: Tree) -> None:
    """It lists what waits, takes a name and a reason, and says what is still to be done."""
    claim = scene.brought("user_dispute", "approved")
    scene.doubt(claim)
    listed = tree.told("claims", "reviews", "--merchant", "MCH-REVIEWED")["data"]
    mine = next(one for one in listed if one["claim"] == claim)
    assert (mine["status"], mine["proposals"]) == ("approved", [])
    assert "amount or currency differs" in mine["reason"]
    say = ("claims", "resolve", claim, "--as", "paid", "--reason", "seen on the statement")
    nobody = tree.run(*say)
    assert (nobody.returncode, "who are you?" in nobody.stderr) == (1, True)
    first = tree.run(*say, "--operator", "ana")
    assert first.returncode == 0, first.stderr
    assert "Another person has to say the same" in first.stderr
    again = tree.run(*say, "--operator", "ana")
    assert (again.returncode, "another person has to confirm" in again.stderr) == (1, True)
    shown = tree.run("claims", "reviews").stdout
    assert "seen on the statement" in shown
    done = tree.run(*say, "--operator", "ben", "--json")
    assert json.loads(done.stdout)["confirmedBy"] == "user:ben", done.stderr
    found = scene.claim(claim)
    assert (found["status"], found["resolution"], found["amountReleased"]) == (
        "released", "refunded", 100,
    )  # fmt: skip
    acts = tree.told("acts", "list", "--object", claim)["data"]
    assert [(one["action"], one["actor"]) for one in acts][:2] == [
        ("review_paid_confirmed", "user:ben"), ("review_paid_proposed", "user:ana"),
    ]  # fmt: skip
    assert all(one["via"].startswith("cli:") for one in acts[:2])
    wrong = tree.run(*say, "--operator", "ben")
    assert (wrong.returncode, "Only a claim in review" in wrong.stderr) == (1, True)
    scene.proved()


def test_all_findings_are_tried() -> None:
    assert {cell[2] for cell in TRIED} == set(FINDINGS)

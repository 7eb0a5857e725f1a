"""A claim of any kind in any status, made over HTTP in a book of its own, and what is done to it.

The twin of `acting`: the same statuses and the same actions by the same names, but through the
public API and the providers' webhook. What a network says is a signed notice of a case that the
sandbox provider does not know, so nothing happens by itself.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clawback.clock import real_now
from clawback.clock import wire_time as wire
from clawback.providers.references import charge_reference, refund_reference
from tests.support import notices
from tests.support.counts import LONG
from tests.support.registry import Registry
from tests.support.trees import Tree
from tests.support.wire import Reply

WAIT_SECONDS: Final = 60.0
WORDS: Final = {"opened", "won", "withdrawn", "escalated", "lost", "reversed", "reopened"}
NOTICED: Final = {"settled", "declined", "returned"}
_CASE_WAY: Final = {
    "released": ("lost",),
    "rejected": ("won",),
    "canceled": ("withdrawn",),
    "reversed": ("lost", "reversed"),
}
_REFUND_WAY: Final = {
    "released": ("settled",),
    "failed": ("declined",),
    "reversed": ("settled", "returned"),
}


class Scene:
    """One payment in a book of its own, with two people who can decide."""

    def __init__(
        self,
        tree: Tree,
        registry: Registry,
        *,
        method: str = "sbx_spei",
        country: str = "MX",
        spare_usd: int = 0,
        fees: Mapping[str, tuple[int, int]] | None = None,
        threshold_usd_e4: int | None = 1,
    ) -> None:
        """A payment of 50 USD, usually 861.18 MXN; every refund needs a second person.

        `spare_usd`: what else the book has, settled.
        """
        self.tree = tree
        self.registry = registry
        self.shop = registry.shop(
            fees, dispute_fee_usd_e4=0, approval_threshold_usd_e4=threshold_usd_e4
        )
        merchant = str(self.shop.get("/me")["id"])
        self.second = registry.key(merchant)
        self.shard = registry.shard(merchant)
        if spare_usd:
            self.shop.take_payment(spare_usd)
            self.advance(49 * 3_600)
        self.payment = self.shop.take_payment(method=method, country=country)
        self.charge = charge_reference(self.payment, self.shard)
        self._told = 0

    def brought(self, kind: str, status: str) -> str:
        """A claim of this kind, brought to this status by the shortest way; its id."""
        claim = self._refund(status) if kind == "user_dispute" else self._case(kind, status)
        found = self.shop.get(f"/claims/{claim}")
        assert (found["kind"], found["status"]) == (kind, status), found
        return claim

    def _refund(self, status: str) -> str:
        claim = str(self.shop.post(f"/payments/{self.payment}/refund", {"amount": 100})["refundId"])
        match status:
            case "rejected":
                self.second.post(f"/claims/{claim}/reject", {"reason": "no"}, 200)
            case "canceled":
                self.shop.post(f"/claims/{claim}/cancel", {}, 200)
            case "approved" | "released" | "failed" | "reversed":
                self.send(claim)
                for word in _REFUND_WAY.get(status, ()):
                    self.say_refund(claim, word)
            case _:
                assert status == "pending", status
        return claim

    def send(self, claim: str) -> None:
        """Have it approved and sent to a provider that never settles it."""
        script = {"operation": "refund", "sequence": ["never_settles"]}
        self.shop.post("/sandbox/faults", {**script, "transactionId": self.payment})
        self.second.post(f"/claims/{claim}/approve", {}, 200)

        def was_sent() -> bool:
            attempts = self.shop.get(f"/claims/{claim}")["attempts"]
            return any(one["outcome"] is not None for one in attempts)

        self.tree.until("it was sent", was_sent, WAIT_SECONDS)

    def _case(self, kind: str, status: str) -> str:
        self.say(kind, "opened")
        (claim,) = [one["id"] for one in self.shop.claims_of(self.payment)]
        if status == "approved":
            self.shop.post(f"/claims/{claim}/accept", {}, 200)
        for word in _CASE_WAY.get(status, ()):
            self.say(kind, word)
        return str(claim)

    # What is done to a claim.

    def act(self, claim: Mapping[str, Any], action: str) -> Reply | None:
        """Do it, whether it is allowed or not; a refusal is an answer like another."""
        path = f"/claims/{claim['id']}"
        if action in WORDS:
            if claim["kind"] != "user_dispute":
                self.say(claim["kind"], action)
            return None
        if action in NOTICED:
            if claim["kind"] == "user_dispute" and claim["attempts"]:
                self.say_refund(claim["id"], action)
            return None
        match action:
            case "cancel":
                return self.shop.call("POST", f"{path}/cancel", {})
            case "approve":
                return self.second.call("POST", f"{path}/approve", {})
            case "reject":
                return self.second.call("POST", f"{path}/reject", {"reason": "no"})
            case "accept":
                return self.shop.call("POST", f"{path}/accept", {})
            case "deadline":
                self.advance(181 * 86_400)
                return None
            case _:
                raise AssertionError(action)

    def advance(self, seconds: int) -> None:
        """Move the book's clock, and wait until all that fell due has been done."""
        told = self.shop.post("/sandbox/clock", {"advanceSeconds": seconds}, 200)
        end = time.monotonic() + WAIT_SECONDS
        while told["status"] != "ready":
            assert time.monotonic() < end, told
            time.sleep(0.05)
            told = self.shop.get("/sandbox/clock")

    def say(self, kind: str, word: str, *, amount_minor: int = 86_118) -> None:
        """The network says this of its case over the whole payment."""
        self._told += 1
        notices.tell(
            self.tree,
            notices.dispute(
                self.charge,
                id=f"{self.charge}-{self._told}",
                case=f"{self.charge}-{kind}",
                kind=kind,
                status=word,
                round=2 if word == "reopened" else 1,
                amountMinor=amount_minor,
                demandedMinor=amount_minor,
                evidenceDueAt=wire(real_now().replace(year=real_now().year + 1, day=1)),
                nextCase=f"{self.charge}-next" if word == "escalated" else None,
            ),
        )

    def say_refund(self, claim: str, word: str) -> None:
        """The provider tells what became of a refund."""
        reference = refund_reference(claim, self.shard, 0)
        time.sleep(0.002)  # later than what was said before
        notices.tell(self.tree, notices.refund(reference, self.charge, word))

    # What can be seen.

    def events(self, claim: str) -> Iterator[tuple[str, str | None, str, str]]:
        """Type, from, to and actor of each version, but for what the worker notes by itself."""
        rows = self.shop.get(f"/claims/{claim}")["timeline"]  # first: the worker may add to both
        types = {
            one["data"]["version"]: one["type"]
            for one in self.shop.get("/events", objectId=claim, limit=100)["data"]
            if one["type"] not in {"claim.deadline_near", "claim.excess_recorded"}
        }
        assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
        for row in rows:
            kind = types[row["version"]]
            if (kind, row["actor"]) != ("claim.updated", "worker"):
                yield kind, row["from"], row["to"], row["actor"]

    def check_books(self) -> None:
        """The book is right, by its proof and by what balance and claims say of each other.

        A long run audits the whole database each time, others once at their end.
        """
        if LONG:
            self.registry.audit()
        proof = self.shop.get("/ledger/proof")
        assert proof["balanced"], proof
        assert proof["chain"]["intact"], proof
        assert all(one["ok"] for one in proof["checks"]), proof
        shown = self.shop.get("/me/balance")
        held, flows = shown["balance"], shown["feeSummary"]
        buckets = ("available", "pending", "frozen", "inTransit", "reserve")
        net = sum(e4(held[name]) for name in buckets) - e4(held["debt"])
        came = e4(flows["grossVolume"]) - e4(flows["totalFees"]) - e4(flows["returned"])
        came += e4(flows["loss"]) - e4(held["paidOut"])
        assert net == came == e4(flows["netBalance"]), shown
        claims = list(self.shop.rows("/claims"))
        assert e4(held["frozen"]) == sum(e4(one["frozenUsd"]) for one in claims)
        assert e4(held["inTransit"]) == sum(e4(one["inTransitUsd"]) for one in claims)
        gone = sum(e4(one["amountReleasedUsd"]) for one in claims)
        assert e4(flows["returned"]) == gone, shown


def e4(usd: float) -> int:
    """A USD amount of an answer in 1/10,000."""
    return round(usd * 10_000)

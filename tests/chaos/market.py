"""A market under a chaotic provider: merchants, refunds, what was planted, and a judge.

The judge compares accounts that were kept apart: what each merchant can read of its claims, and
what the provider has paid by its own record. A claim is planted when its payment's answers are
scripted to be wrong for good; which claims these are is known before anything happens.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, NamedTuple

from tests.support.counts import count
from tests.support.shops import Shop, ask_provider, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, bearer

PER_PAYMENT: Final = 20
"""Refunds of 0.01, 0.02 … 0.20 on each payment: what the provider holds for one is never short."""

CALLERS: Final = 6
PATIENCE: Final = count(120, 900)
"""Seconds in which all that a clock made due must be done."""
WRONG_AT: Final = ("timeout_after_effect", "wrong_amount")
"""How a wrong amount is told: by the look-up after a lost answer, or by the answer itself."""

MIXES: Final[dict[str, dict[str, int]]] = {
    "refund": {
        "timeout_after_effect": 20,
        "error_after_effect": 5,
        "fails_after_3_days": 1,
        "timeout_before_effect": 3,
        "unavailable": 2,
        "bad_body": 2,
    },
    "lookup": {"timeout_before_effect": 10, "unavailable": 5, "bad_body": 5},
    "webhook": {"duplicate": 10, "out_of_order": 20, "lost": 10},
}


class Paid(NamedTuple):
    """A refund in the provider's record: whose it is, what became of it."""

    claim: str
    status: str
    effects: int


class Market:
    """Some merchants on one tree, and the provider beside it."""

    def __init__(self, tree: Tree, merchants: int) -> None:
        """Open their books."""
        self.tree = tree
        self.shops = [other_shop(tree, f"MCH-CHAOS-{number}") for number in range(merchants)]
        self.asked: dict[str, str] = {}
        self.planted: set[str] = set()
        self.fired: dict[str, dict[str, Any]] = {}
        self._before: frozenset[str] = frozenset()
        host, _, port = str(tree.dev["sandboxUrl"]).removeprefix("http://").partition(":")
        self._provider = (host, int(port))
        self._secret = (tree.data / "sandbox" / "secret").read_text().strip()
        self._before = frozenset(one.claim for one in self.record())

    # The provider, from outside.

    def provider(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """What the provider answers."""
        data = None if body is None else json.dumps(body).encode()
        with Line(self._provider) as line:
            headers = [("Authorization", f"Bearer {self._secret}")]
            found = line.call(method, path, headers, data)
        assert found.status == 200, found
        return found.json

    def break_it(self, seed: int, *, hold_seconds: float, **mixes: Mapping[str, int]) -> None:
        """From now on calls and notices go wrong, as mixed."""
        for operation, percent in mixes.items():
            asked = {"operation": operation, "percent": percent, "seed": seed}
            self.provider("POST", "/mixes", {**asked, "holdSeconds": hold_seconds})

    def struck(self) -> dict[str, dict[str, Any]]:
        """What the mixes have done, by operation."""
        return {one["operation"]: one for one in self.provider("GET", "/mixes")["data"]}

    def heal_it(self) -> None:
        """The faults end."""
        self.provider("DELETE", "/mixes")

    def record(self) -> list[Paid]:
        """Every refund that the provider was asked for since this market opened."""
        rows = self._read("SELECT reference, status, effects FROM refunds")
        found = [Paid(f"CLM-{name[3:11]}-{name[11:15]}", *rest) for name, *rest in rows]
        return [one for one in found if one.claim not in self._before]

    def notices(self) -> tuple[Counter[str], int]:
        """Notices by what was made of them, and how many are still on their way."""
        rows = self._read("SELECT fault, due_at_ms FROM notices")
        return Counter(fault for fault, _ in rows), sum(due is not None for _, due in rows)

    def late(self) -> int:
        """How many refunds come back later, or have."""
        return len(self._read("SELECT 1 FROM refunds WHERE bounces = 1"))

    def _read(self, query: str, *values: str) -> list[Any]:
        """What the record's file says, read beside the process that writes it."""
        path = self.tree.data / "sandbox" / "record.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            return file.execute(query, values).fetchall()

    # The merchants.

    def take_payments(self, claims: int, mismatches: int) -> Iterator[tuple[Shop, str, int, bool]]:
        """Payments for so many claims, some of them planted: shop, payment, claims, planted."""
        left, number = claims - mismatches, 0
        while left > 0:
            shop = self.shops[number % len(self.shops)]
            many = min(PER_PAYMENT, left)
            yield shop, shop.take_payment(), many, False
            left, number = left - many, number + 1
        for number in range(mismatches):
            shop = self.shops[number % len(self.shops)]
            payment = shop.take_payment()
            self._plant(payment, WRONG_AT[number % len(WRONG_AT)])
            yield shop, payment, 1, True

    def _plant(self, payment: str, first: str) -> None:
        pattern = payment.replace("-", "") + "%"
        ((charge,),) = self._read("SELECT reference FROM charges WHERE reference LIKE ?", pattern)
        for operation, sequence in (
            ("refund", [first]), ("lookup", ["wrong_amount"]), ("webhook", ["lost"]),
        ):  # fmt: skip
            asked = {"operation": operation, "sequence": sequence, "chargeReference": charge}
            ask_provider(self.tree, **asked, repeat=operation != "refund")

    def refund(self, payments: Sequence[tuple[Shop, str, int, bool]]) -> None:
        """Ask for every refund, over a few connections."""
        jobs = [
            (shop, payment, minor, planted)
            for minor in range(1, PER_PAYMENT + 1)
            for shop, payment, many, planted in payments
            if minor <= many
        ]
        with ThreadPoolExecutor(CALLERS) as pool:
            parts = [jobs[number::CALLERS] for number in range(CALLERS)]
            for found in pool.map(self._refund, parts):
                for claim, payment, planted in found:
                    assert claim not in self.asked, "a claim's id comes twice"
                    self.asked[claim] = payment
                    self.planted |= {claim} if planted else set()

    def _refund(self, jobs: Sequence[tuple[Shop, str, int, bool]]) -> list[tuple[str, str, bool]]:
        found = []
        with Line(self.tree.address) as line:
            for shop, payment, minor, planted in jobs:
                body = f'{{"amount":0.{minor:02}}}'.encode()
                path = f"{API}/payments/{payment}/refund"
                reply = line.call("POST", path, bearer(shop.key), body)
                assert reply.status == 201, reply
                found.append((str(reply.json["refundId"]), payment, planted))
        return found

    def claims(self) -> list[dict[str, Any]]:
        """Every claim that the merchants can read."""
        return [row for shop in self.shops for row in shop.rows("/claims")]

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Every event of these types."""
        return [
            row for shop in self.shops for one in types for row in shop.rows("/events", type=one)
        ]

    def advance(self, seconds: int) -> None:
        """Move all clocks, and wait until everything that fell due has been done."""
        with ThreadPoolExecutor(len(self.shops)) as pool:
            list(pool.map(lambda shop: _advance(shop, seconds), self.shops))


def _advance(shop: Shop, seconds: int) -> None:
    told = shop.post("/sandbox/clock", {"advanceSeconds": seconds}, 200)
    end = time.monotonic() + PATIENCE
    while told["status"] != "ready":
        assert time.monotonic() < end, told
        time.sleep(0.2)
        told = shop.get("/sandbox/clock")


def judge(
    asked: Mapping[str, str],
    planted: set[str],
    claims: Sequence[Mapping[str, Any]],
    record: Sequence[Paid],
    events: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Everything that is wrong; empty if all is well. `events`: of claims that failed or rose."""
    wrong = [f"{name} is not there" for name in asked.keys() - {one["id"] for one in claims}]
    wrong += [f"{one['id']}: nobody asked for it" for one in claims if one["id"] not in asked]
    effects: Counter[str] = Counter()
    returned = set()
    for paid in record:
        effects[paid.claim] += paid.effects
        returned |= {paid.claim} if paid.status == "returned" else set()
    for claim in claims:
        name, status = claim["id"], claim["status"]
        if claim["needsReview"] != (name in planted):
            wrong.append(f"{name}: review is {claim['needsReview']}: {claim['reviewReason']}")
        wanted = "approved" if name in planted else "reversed" if name in returned else "released"
        if status != wanted:
            wrong.append(f"{name}: {status}, not {wanted}")
        times = effects[name]
        if times > 1:
            wrong.append(f"{name}: paid {times} times")
        elif times != (name not in returned):
            wrong.append(f"{name}: {status}, and paid {times} times")
    wrong += [f"paid for nothing: {name}" for name in effects.keys() - asked.keys()]
    for event in events:
        wrong.append(f"{event['data']['object']['id']}: {event['type']}, though nobody refused it")
    return wrong

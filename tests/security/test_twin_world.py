"""What a book's caller sees is the same whether other books exist or not (invariants, S2).

One merchant lives the same life, drawn from one seed, in two worlds: alone on a machine of its own,
and beside others that use the same order numbers and idempotency keys and never rest. Every answer
to it, headers too, must be the same bytes once names, times and the provider's numbers are replaced
by the order of their first appearance.
"""

import random
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import ndiff
from pathlib import Path
from typing import Final

import pytest

from tests.support.counts import count, seeded
from tests.support.databases import BookHash
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import Reply

MERCHANT: Final = "MCH-TWIN"
METHODS: Final = (("sbx_spei", "MX"), ("sbx_pix", "BR"), ("sbx_card", "CO"), ("sbx_oxxo", "MX"))
VARIES: Final = {"date", "request-id", "ratelimit-remaining", "ratelimit-reset"}
READS: Final = (
    "/payments", "/payments?limit=2", "/payments?merchantOrderId=A-1", "/payments?status=completed",
    "/claims", "/claims?limit=1", "/claims?status=released", "/events", "/events?type=claim.*",
    "/ledger/accounts", "/ledger/entries", "/ledger/entries?type=release", "/me/balance",
    "/payment-methods", "/me",
)  # fmt: skip
_NAMES: Final = re.compile(
    r"(?:TXN|CLM|SHP)-[0-9A-Z]{8}-[0-9A-Z]{4}|(?:evt|ent|att|key|req)_[0-9a-z]+|\b[0-9a-f]{64}\b"
)
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z")
_PROVIDERS: Final = re.compile(
    r'(?<="paymentData":){[^}]*}|(?<="railReference":)"[^"]*"|(?<="providerReference":)"[^"]*"'
)
"""What the provider numbers through for all its callers."""
_ATTEMPTS: Final = re.compile(r'"attempts":\[.+?\],(?="timeline":)')
"""Whether a notice or a question brings the news first is a matter of milliseconds."""


class Transcript:
    """Everything that was answered, without what must differ."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def note(self, asked: str, reply: Reply) -> None:
        """Write an answer down."""
        headers = sorted(one for one in reply.headers if one[0] not in VARIES)
        text = f"{asked} -> {reply.status} {headers} {reply.body.decode()}"
        text = _ATTEMPTS.sub("", text)
        text = _PROVIDERS.sub("<number>", _TIME.sub("<time>", text))
        text = _NAMES.sub(self._ordinal, text)
        self.lines.append(re.sub(r"'content-length', '[0-9]+'", "'content-length'", text))

    def _ordinal(self, found: re.Match[str]) -> str:
        kind = re.split("[-_]", found[0])[0] if len(found[0]) < 64 else "hash"
        return self._names.setdefault(found[0], f"<{kind[:3]} {len(self._names)}>")


class Life:
    """One merchant's life in a world."""

    def __init__(self, tree: Tree, shop: Shop, number: int) -> None:
        self._shop = shop
        self._draw = random.Random(number)
        self._book = BookHash(tree.dev["databaseUrl"], MERCHANT)
        self._told = Transcript()
        self._payments: list[str] = []
        self._claims: list[str] = []

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Reply:
        found = self._shop.call(method, path, body, key)
        self._told.note(f"{method} {path}", found)
        if method == "POST":
            self._book.quiet(0.05)
        return found

    def live(self, foreign: tuple[str, str]) -> list[str]:
        """Take payments, give back, look at everything; `foreign`: names that are not ours."""
        for number, (method, country) in enumerate(METHODS):
            body = {"amount": self._draw.randint(1, 99), "paymentMethodId": method,
                    "country": country, "merchantOrderId": f"A-{number}"}  # fmt: skip
            self._payments.append(
                str(self.ask("POST", "/payments", body, f"key-{number}").json["id"])
            )
            self.ask("POST", "/payments", body, f"key-{number}")
            if method != "sbx_card":
                self.ask("POST", f"/payments/{self._payments[-1]}/simulate", {"action": "paid"})
        for number in range(count(2, 20)):
            payment = self._draw.choice(self._payments[:3])
            body = {"amount": self._draw.randint(1, 9)}
            self._refund(payment, body, f"refund-{number}")
            self._shop.wait_until_settled(30)
        self._refund(self._payments[3], {"amount": 2}, None)
        self.ask("POST", f"/claims/{self._claims[-1]}/cancel", {})
        self._refund(self._payments[2], {}, None)
        self._look(foreign)
        return self._told.lines

    def _refund(self, payment: str, body: object, key: str | None) -> None:
        found = self.ask("POST", f"/payments/{payment}/refund", body, key)
        if found.status == 201:
            self._claims.append(str(found.json["refundId"]))

    def _look(self, foreign: tuple[str, str]) -> None:
        for path in READS:
            self.ask("GET", path)
        for payment in (*self._payments, foreign[0]):
            self.ask("GET", f"/payments/{payment}")
            self.ask("GET", f"/claims?transactionId={payment}")
            self.ask("GET", f"/ledger/entries?transactionId={payment}")
        for claim in (*self._claims, foreign[1]):
            self.ask("GET", f"/claims/{claim}")
            self.ask("GET", f"/ledger/entries?claimId={claim}")
            self.ask("POST", f"/claims/{claim}/cancel", {})
        self.ask("GET", f"/payments?after={foreign[0]}")
        self.ask("GET", f"/claims?after={foreign[1]}")
        self.ask("POST", f"/payments/{foreign[0]}/refund", {"amount": 1}, "refund-0-foreign")
        self.ask("POST", f"/payments/{foreign[0]}/simulate", {"action": "paid"})

    def close(self) -> None:
        self._book.__exit__(None, None, None)


class Neighbours:
    """Books that do much the same, without a rest."""

    def __init__(self, tree: Tree, names: tuple[str, ...]) -> None:
        self._shops = [other_shop(tree, name) for name in names]
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(len(names))
        self.rounds = 0
        self.foreign = self._use_the_same_words(self._shops[0])
        self._work = [self._pool.submit(self._go_on, shop) for shop in self._shops]

    @staticmethod
    def _use_the_same_words(shop: Shop) -> tuple[str, str]:
        for number, (method, country) in enumerate(METHODS):
            body = {"amount": 7, "paymentMethodId": method, "country": country,
                    "merchantOrderId": f"A-{number}"}  # fmt: skip
            made = shop.call("POST", "/payments", body, f"key-{number}")
            assert made.status == 201, made
        payment = shop.take_payment()
        refunds = [shop.call("POST", f"/payments/{payment}/refund", {"amount": 3}, f"refund-{n}")
                   for n in range(3)]  # fmt: skip
        return payment, str(refunds[0].json["refundId"])

    def _go_on(self, shop: Shop) -> None:
        while not self._done.is_set():
            payment = shop.take_payment()
            shop.post(f"/payments/{payment}/refund", {"amount": 1})
            self.rounds += 1
            self._done.wait(0.05)

    @property
    def one(self) -> Shop:
        return self._shops[0]

    def close(self) -> None:
        self._done.set()
        for work in self._work:
            work.result()
        self._pool.shutdown()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path / "alone", processes=1)
    try:
        yield tree
        tree.audit()
    finally:
        tree.close()


@pytest.mark.long
def test_other_books_change_nothing_that_a_caller_sees(served: Tree, alone: Tree) -> None:
    number = seeded().randrange(2**31)
    twin = other_shop(served, MERCHANT)
    around = Neighbours(served, ("MCH-TWIN-B", "MCH-TWIN-C"))
    lives = [
        (Life(alone, other_shop(alone, MERCHANT), number), around.foreign),
        (Life(served, twin, number), around.foreign),
    ]
    with ThreadPoolExecutor(2) as pool:
        lonely, crowded = pool.map(lambda one: one[0].live(one[1]), lives)
    around.close()
    for life, _ in lives:
        life.close()
    assert around.rounds > 10, "the neighbours were not there"
    assert len(lonely) > 50
    for one, other in zip(lonely, crowded, strict=True):
        assert one == other, "\n".join(ndiff(one.split(","), other.split(",")))
    _check_that_it_can_fail(twin, around.one)


def _check_that_it_can_fail(twin: Shop, other: Shop) -> None:
    for path in ("/payments", "/claims", "/events", "/me/balance", "/ledger/entries"):
        ours, theirs = Transcript(), Transcript()
        ours.note(path, twin.call("GET", path))
        theirs.note(path, other.call("GET", path))
        assert ours.lines != theirs.lines, path

"""A naive model of one payment: plain dicts, fractions and the contract's sentences, nothing else.

Up to four claims go through up to eight turns in a book with money to spare. Which turns are legal,
and what the books must hold in the end, is worked out here without a line of the product: the same
sequences are then played on the pure model and over HTTP.
"""

import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, TypedDict

TURNS: Final = 8
CLAIMS: Final = 4
USD_E4: Final = 500_000
LOCAL: Final = 86_118
SPARE_E4: Final = 100_000_000
"""What else is in the book: 10,000 USD, settled."""

OPEN: Final = ("pending", "sent")
FORCED: Final = ("chargeback", "med")
Turn = tuple[str, int, int]
"""What happens, to which claim (its number), over how many minor units."""


class Known(TypedDict):
    """A claim as the naive model knows it. `excess`: local; `gone`: local, once released."""

    kind: str
    status: str
    amount: int
    before: int
    before_e4: int
    excess: int
    excess_e4: int
    gone: int
    replaced: list[int]


class Naive:
    """The payment, its claims, and nothing about how they came to be."""

    def __init__(self, forced: tuple[str, ...] = FORCED) -> None:
        """A captured payment without claims; `forced`: the kinds that a network takes it by."""
        self.claims: list[Known] = []
        self._forced = forced

    # The contract's sentences.

    def worth(self, claim: Known, part: int) -> int:
        """V(x) up to this part, less what was claimed before."""
        exact = Fraction((claim["before"] + part) * USD_E4, LOCAL)
        return max(0, round(exact) - claim["before_e4"])

    def counting(self) -> list[Known]:
        """Those that count under the cap: all that are open or done, but inquiries."""
        return [
            one
            for one in self.claims
            if one["kind"] != "inquiry" and one["status"] in (*OPEN, "released")
        ]

    def taken(self) -> int:
        """claimed + forced."""
        done = {id(one): one["gone"] for one in self.counting() if one["status"] == "released"}
        return sum(done.get(id(one), one["amount"]) for one in self.counting())

    @property
    def remaining(self) -> int:
        """What a merchant may still ask for."""
        return max(0, LOCAL - self.taken())

    def counted_e4(self) -> int:
        """The USD claimed so far."""
        return sum(
            self.worth(one, one["gone"] if one["status"] == "released" else one["amount"])
            for one in self.counting()
        )

    def of(self, kind: str, *statuses: str) -> list[int]:
        """The numbers of the claims of a kind that stand like that."""
        return self.of_any((kind,), *statuses)

    def of_any(self, kinds: tuple[str, ...], *statuses: str) -> list[int]:
        """The same of several kinds."""
        return [
            number
            for number, one in enumerate(self.claims)
            if one["kind"] in kinds and one["status"] in statuses
        ]

    # What can happen, and what comes of it.

    def legal(self, draw: random.Random) -> list[Turn]:
        """The turns that are possible now, with amounts drawn."""
        return list(self._openings(draw)) + list(self._refunds()) + list(self._cases(draw))

    def _openings(self, draw: random.Random) -> Iterator[Turn]:
        if len(self.claims) >= CLAIMS:
            return
        any_part = draw.choice((1, 10_000, LOCAL // 3, LOCAL - 1, LOCAL))
        inquiries, cases = self.of("inquiry", *OPEN), self.of_any(FORCED, *OPEN)
        asked = [self.claims[number]["amount"] for number in inquiries]
        least = min(max(asked, default=1), self.remaining)
        if self.remaining and not cases:
            yield "refund", -1, draw.choice((least, self.remaining))
        if self.remaining and not cases and not inquiries:
            yield "outside", -1, draw.choice((1, self.remaining))
        if not cases:
            yield draw.choice(self._forced), -1, any_part
        if inquiries and not cases:
            yield "escalated", inquiries[0], 0
        if not inquiries and not self.has_answered():
            yield "inquiry", -1, any_part

    def has_answered(self) -> bool:
        """Whether a refund answers an inquiry and has not been paid: the network holds it open.

        One that a chargeback superseded never will be.
        """
        unpaid = self.of("refund", "pending", "sent", "canceled")
        return any(self.claims[number]["replaced"] for number in unpaid)

    def _refunds(self) -> Iterator[Turn]:
        for number in self.of("refund", "pending"):
            yield "cancel", number, 0
            yield "reject", number, 0
            yield "send", number, 0
        for number in self.of("refund", "sent"):
            yield "paid", number, 0
            yield "failed", number, 0
        for number in self.of("refund", "released"):
            if not self.claims[number]["replaced"]:
                yield "failed_late", number, 0
        if not self.of("inquiry", *OPEN):
            for number in self.of("refund", "failed", "reversed"):
                if not self.claims[number]["replaced"]:
                    yield "paid_late", number, 0

    def _cases(self, draw: random.Random) -> Iterator[Turn]:
        for number in self.of("inquiry", *OPEN):
            yield "inquiry_won", number, 0
        for number in self.of_any(FORCED, *OPEN):
            amount = self.claims[number]["amount"]
            yield "won", number, 0
            yield "withdrawn", number, 0
            yield "lost", number, draw.choice((amount, max(1, amount // 3)))
        for number in self.of_any(FORCED, "pending"):
            yield "accept", number, 0
        for number in self.of_any(FORCED, "released"):
            yield "reversed", number, 0
        if not self.of_any(FORCED, *OPEN):
            for number in self.of_any(FORCED, "rejected", "canceled", "reversed"):
                yield "reopened", number, 0

    def take(self, turn: Turn) -> None:
        """Let it happen."""
        what, number, amount = turn
        before = self.taken()
        match what:
            case "refund" | "outside" | "chargeback" | "med" | "inquiry":
                self._open(what, amount)
            case "escalated":
                self.claims[number]["status"] = "canceled"
                self._open("chargeback", self.claims[number]["amount"])
            case "paid":
                self._release(number, self.claims[number]["amount"])
            case "lost":
                self._release(number, amount)
                self._relieve(before)
            case "paid_late":
                self._count_anew(number)
                self._release(number, self.claims[number]["amount"])
            case "reopened":
                self._supersede()
                self._count_anew(number)
            case _:
                self._end(number, what)
                self._relieve(before)

    def _open(self, what: str, amount: int) -> None:
        kind = "refund" if what == "outside" else what
        replaced = self.of("inquiry", *OPEN) if kind == "refund" else []
        for number in replaced:
            self.claims[number]["status"] = "canceled"
        if kind in FORCED:
            self._supersede()
        self.claims.append(
            Known(kind=kind, status="pending", amount=amount, before=self.taken(),
                  before_e4=self.counted_e4(), excess=0, excess_e4=0, gone=0, replaced=replaced)
        )  # fmt: skip
        self._fit(len(self.claims) - 1)
        if what == "outside":
            self._release(len(self.claims) - 1, amount)

    def _supersede(self) -> None:
        """Refunds that were not sent are canceled; what they replaced stays as it is."""
        before = self.taken()
        for number in self.of("refund", "pending"):
            self.claims[number]["status"] = "canceled"
        self._relieve(before)

    def _fit(self, number: int) -> None:
        """What does not fit beside the others is excess."""
        claim = self.claims[number]
        others = self.taken() - (claim["amount"] if claim in self.counting() else 0)
        fits = min(claim["amount"], max(0, LOCAL - others))
        self._set_excess(claim, claim["amount"] - fits)

    def _set_excess(self, claim: Known, excess: int) -> None:
        whole = self.worth(claim, claim["amount"])
        claim["excess"] = excess
        claim["excess_e4"] = whole - self.worth(claim, claim["amount"] - excess)

    def _count_anew(self, number: int) -> None:
        self.claims[number]["status"] = "pending"
        self.claims[number]["gone"] = 0
        self._fit(number)

    def _release(self, number: int, granted: int) -> None:
        """Money left: what was granted, of which what does not fit is the merchant's loss."""
        claim = self.claims[number]
        fits = min(granted, claim["amount"] - claim["excess"])
        worth = self.worth(claim, granted)
        covered = worth if claim["excess"] == 0 else min(worth, self.worth(claim, fits))
        claim["status"], claim["gone"] = "released", granted
        claim["excess"], claim["excess_e4"] = granted - fits, worth - covered

    def _end(self, number: int, what: str) -> None:
        claim = self.claims[number]
        claim["status"] = {
            "send": "sent", "accept": "sent", "cancel": "canceled", "reject": "rejected",
            "failed": "failed", "failed_late": "reversed", "inquiry_won": "rejected",
            "won": "rejected", "withdrawn": "canceled", "reversed": "reversed",
        }[what]  # fmt: skip
        if what in {"send", "accept"}:
            return
        claim["gone"] = claim["excess"] = claim["excess_e4"] = 0
        if what in {"cancel", "reject", "failed"}:
            for inquiry in claim["replaced"]:
                self.claims[inquiry]["status"] = "pending"
                self._fit(inquiry)
            claim["replaced"] = []

    def _relieve(self, before: int) -> None:
        """A pending claim's excess falls when another ends and there is room; it never rises."""
        if self.taken() >= before:
            return
        overlap = max(0, self.taken() - LOCAL)
        for claim in self.claims:
            if claim["status"] != "pending" or claim["excess"] == 0:
                continue
            if claim["kind"] == "inquiry":
                left = claim["amount"] - min(claim["amount"], self.remaining)
            else:
                others = sum(one["excess"] for one in self.counting() if one is not claim)
                left = max(0, overlap - others)
            if left < claim["excess"]:
                self._set_excess(claim, left)

    # What the books must hold.

    def balance(self) -> dict[str, int]:
        """USD in 1/10,000, and what the provider holds in local minor units.

        `own` is `pending` and `available` together: which of the two money lies in may depend on
        the order of things.
        """
        found = dict.fromkeys(("frozen", "inTransit", "returned", "loss", "debt"), 0)
        gone = 0
        for claim in self.claims:
            whole = self.worth(claim, claim["amount"])
            match claim["status"]:
                case "pending":
                    found["frozen"] += whole - claim["excess_e4"]
                case "sent":
                    found["inTransit"] += whole
                    found["loss"] += claim["excess_e4"]
                case "released":
                    found["returned"] += self.worth(claim, claim["gone"])
                    found["loss"] += claim["excess_e4"]
                    gone += claim["gone"]
                case _:
                    pass  # it ended, and took nothing
        came = USD_E4 + SPARE_E4 - found["returned"] + found["loss"]
        found["own"] = came - found["frozen"] - found["inTransit"]
        found["local"] = LOCAL - gone
        found["remaining"] = self.remaining
        return found

    def statuses(self) -> list[str]:
        """How each claim stands, in the order in which they came."""
        return ["approved" if one["status"] == "sent" else one["status"] for one in self.claims]


def sequence(draw: random.Random, forced: tuple[str, ...] = FORCED) -> list[Turn]:
    """Up to eight legal turns."""
    naive, turns = Naive(forced), []
    for _ in range(draw.randint(1, TURNS)):
        legal = naive.legal(draw)
        if not legal:
            break
        turns.append(draw.choice(legal))
        naive.take(turns[-1])
    return turns

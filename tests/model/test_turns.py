"""Any legal sequence of up to eight turns of up to four claims ends in the documented balance.

Hypothesis draws the sequences; what must come of each is worked out by `naive`, apart from the
model. Money is conserved per currency after every turn. The controls break one rule each.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clawback.balances import model as balances
from clawback.claims import disputes, ending, shares
from clawback.claims.decisions import RejectRefund
from clawback.claims.ending import CancelRefund
from clawback.ids import ClaimId
from clawback.money import major_text
from tests.claims.acting import OTHER, accept
from tests.model import naive
from tests.model.naive import Naive, Turn
from tests.model_checks import check
from tests.model_world import KEY, World
from tests.support.counts import count

CASES: Final = settings(
    max_examples=count(200, 20_000),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
WORDS: Final = {"won": "won", "withdrawn": "withdrawn", "lost": "lost", "reversed": "reversed",
                "inquiry_won": "won", "escalated": "escalated", "reopened": "reopened"}  # fmt: skip
NOTICED: Final = {"paid": "settled", "failed": "declined", "failed_late": "returned",
                  "paid_late": "settled"}  # fmt: skip


class Play:
    """The turns of a sequence, as commands."""

    def __init__(self) -> None:
        """The payment, in a book with money to spare."""
        self.world = World(dispute_fee_usd_e4=0)
        spare = self.world.pay(usd_e4=naive.SPARE_E4, local_minor=17_223_600)
        self.world.later(hours=49)
        self.world.settle(spare)
        self.payment = self.world.pay().payment_id
        self.spare_minor = spare.captured_minor
        self.claims: list[ClaimId] = []
        self.outside: set[ClaimId] = set()
        self.rounds: Counter[str] = Counter()

    def take(self, turn: Turn) -> None:
        """Let it happen, at a time of its own."""
        what, number, amount = turn
        world, payment = self.world, self.world.payment(self.payment)
        world.later(seconds=1)
        claim = world.claim(self.claims[number]) if number >= 0 else None
        match what:
            case "refund":
                world.opened(payment, major_text(amount, 2))
            case "outside":
                world.refunded_outside(payment, amount, name=f"out_{len(self.claims)}")
            case "chargeback" | "med" | "inquiry":
                case = f"{what}-{len(self.claims)}"
                world.touched(payment, "opened", what, case=case, amount_minor=amount)
            case "cancel":
                assert claim is not None
                world.accepted(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
            case "send":
                assert claim is not None
                world.start(claim)
            case "reject":
                assert claim is not None
                world.accepted(RejectRefund(claim_id=claim.claim_id, reason="no", actor=OTHER))
            case "accept":
                assert claim is not None
                accept(world, claim)
            case "paid" | "failed" | "failed_late" | "paid_late":
                assert claim is not None
                if claim.claim_id in self.outside:
                    name = claim.provider_reference or ""
                    world.refunded_outside(payment, claim.amount_minor, NOTICED[what], name=name)
                else:
                    world.notice(claim, NOTICED[what])
            case _:
                assert claim is not None
                case = claim.provider_reference or ""
                self.rounds[case] += what == "reopened"
                world.dispute(
                    payment, WORDS[what], claim.kind, case=case, round=1 + self.rounds[case],
                    amount_minor=amount or claim.amount_minor,
                    next_case=f"chargeback-{len(self.claims)}",
                )  # fmt: skip
        self._name(what)

    def _name(self, what: str) -> None:
        new = [one.claim_id for one in self.world.claims if one.claim_id not in self.claims]
        self.claims += new
        self.outside |= set(new) if what == "outside" else set()

    def balance(self) -> dict[str, int]:
        """What the books hold."""
        world = self.world
        return {
            "frozen": world.balance("frozen"),
            "inTransit": world.balance("payable"),
            "returned": world.state.head.returned_usd_e4,
            "loss": -world.balance("loss"),
            "debt": -world.balance("debt"),
            "own": world.balance("pending") + world.balance("available"),
            "local": -world.balance("provider:sandbox", "MXN") - self.spare_minor,
            "remaining": world.payment(self.payment).remaining_minor,
        }

    def statuses(self) -> list[str]:
        """How each claim stands."""
        return [self.world.claim(name).status for name in self.claims]


def play(taken: list[Turn]) -> None:
    """After each turn the books balance, and are what the naive model says."""
    known, made = Naive(), Play()
    for turn in taken:
        known.take(turn)
        made.take(turn)
        check(made.world)
        assert made.statuses() == known.statuses(), (turn, taken)
        assert made.balance() == known.balance(), (turn, taken)


@CASES
@given(st.integers(0, 2**32))
def test_any_legal_sequence_ends_in_the_documented_balance(seed: int) -> None:
    play(naive.sequence(random.Random(seed)))


def test_sequences_reach_every_turn_and_every_status() -> None:
    """What is drawn: all turns, four claims at once, eight turns, each end of each kind."""
    kinds: Counter[str] = Counter()
    ends: set[tuple[str, str]] = set()
    lengths: Counter[int] = Counter()
    most = 0
    for seed in range(800):
        taken = naive.sequence(random.Random(seed))
        known = Naive()
        for turn in taken:
            known.take(turn)
            kinds[turn[0]] += 1
        ends |= {(one["kind"], one["status"]) for one in known.claims}
        lengths[len(taken)] += 1
        most = max(most, len(known.claims))
    assert set(kinds) == {
        "refund", "outside", "chargeback", "med", "inquiry", "escalated", "cancel", "reject",
        "send", "paid", "failed", "failed_late", "paid_late", "inquiry_won", "accept", "won",
        "withdrawn", "lost", "reversed", "reopened",
    }  # fmt: skip
    assert (most, max(lengths)) == (naive.CLAIMS, naive.TURNS)
    assert {end for kind, end in ends if kind == "refund"} == {
        "pending", "sent", "released", "rejected", "canceled", "failed", "reversed",
    }  # fmt: skip
    for forced in naive.FORCED:
        assert {end for kind, end in ends if kind == forced} == {
            "pending", "sent", "released", "rejected", "canceled", "reversed",
        }  # fmt: skip


GIVE_BACK = balances.give_back
PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a part is worth its share rounded down": lambda patch: patch.setattr(
        shares, "usd_e4_of_first", lambda part, payment: part * payment.amount_usd_e4
        // payment.amount_minor,
    ),
    "a chargeback leaves unsent refunds running": lambda patch: patch.setattr(
        disputes, "supersede", lambda _draft, _payment, _actor: None
    ),
    "excess is never relieved": lambda patch: patch.setattr(
        shares, "_fit", lambda _draft, _payment, _claim, _gain, _actor: None
    ),
    "money is given back twice": lambda patch: patch.setattr(
        ending, "give_back", lambda draft, claim, kind, e4: GIVE_BACK(
            draft, GIVE_BACK(draft, claim, kind, e4), kind, e4
        ),
    ),
    "an inquiry stays gone when its refund fails": lambda patch: patch.setattr(
        ending, "_resume_inquiries", lambda *_: None
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controls: each of these must make a sequence end otherwise."""
    PLANTED[bug](monkeypatch)

    @settings(CASES, max_examples=600, database=None, phases=(Phase.generate,))
    @given(st.integers(0, 2**32))
    def find(seed: int) -> None:
        play(naive.sequence(random.Random(seed)))

    with pytest.raises((AssertionError, IndexError, ExceptionGroup)):
        find()

"""A state machine over refunds and disputes of few payments, with a naive oracle beside it.

The oracle is a list of plain dicts. It knows the contract's rules by heart (who is refused, what a
case comes to, what remains) and nothing of the model. `make test-long` runs 100,000 steps, a
hundredth of them runs each time; the controls plant bugs and must see the machine fail.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from clawback.balances import model as balances
from clawback.claims import disputes, ending, fold, shares, turns
from clawback.claims.ending import CancelRefund
from clawback.claims.evidence import AcceptDispute
from clawback.claims.standing import Standing, Told
from clawback.errors import Refused
from clawback.ids import ClaimId
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.ledger import entries
from clawback.money import major_text
from clawback.providers.port import DisputeKind, DisputeNotice, DisputeStatus
from tests.model_checks import check
from tests.model_world import KEY, World
from tests.support.counts import sampled

STEPS = 50
RUNS = 2_000 if os.environ.get("LONG") else 20
CASES = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
RANK = ["opened", "reopened", "withdrawn", "won", "lost", "reversed"]
ENDS = {
    "opened": ("pending", None),
    "reopened": ("pending", None),
    "withdrawn": ("canceled", "withdrawn"),
    "won": ("rejected", "won"),
    "escalated": ("canceled", "escalated"),
    "lost": ("released", "lost"),
    "reversed": ("reversed", "won_back"),
}
OPEN = ("pending", "approved")


class Case(TypedDict):
    """What the oracle knows of a case: the strongest word, and how much it demands."""

    kind: str
    name: str
    amount: int
    is_known: bool
    best: tuple[int, int, int]
    word: str


class Machine(RuleBasedStateMachine):
    """Random turns of up to four claims on each of two payments."""

    def __init__(self) -> None:
        """A book with a fee, a reserve and a credit line."""
        super().__init__()
        self.world = World(
            reserve_percent_e4=50_000, credit_line_usd_e4=7_000, dispute_fee_usd_e4=1_500
        )
        self.cases: dict[tuple[str, str, str], Case] = {}

    @initialize(fee=st.sampled_from([(0, 0), (100_000, 0)]))
    def two_payments(self, fee: tuple[int, int]) -> None:
        """One that the page tells of, one with awkward fractions."""
        self.world.pay(fee=fee)
        self.world.pay(usd_e4=33_333, local_minor=17)

    def _payment(self, number: int) -> Payment:
        made = self.world.payments
        return made[number % len(made)]

    def _mine(self, payment: Payment) -> list[Claim]:
        return [c for c in self.world.claims if c.payment_id == payment.payment_id]

    def _remaining(self, payment: Payment) -> int:
        """What remains, by the claims' own figures."""
        taken = 0
        for claim in self._mine(payment):
            if claim.kind == "inquiry" or claim.status not in (*OPEN, "released"):
                continue
            taken += claim.released_minor if claim.status == "released" else claim.amount_minor
        return max(0, payment.amount_minor - taken)

    @rule(number=st.integers(0, 1), share=st.integers(1, 12), full=st.booleans())
    def refund(self, number: int, share: int, *, full: bool) -> None:
        """A refund is taken exactly if there is room, and no dispute stands in its way."""
        payment = self._payment(number)
        if len(self._mine(payment)) >= 4:
            return
        part = payment.amount_minor if full else max(1, payment.amount_minor * share // 10)
        room = self._remaining(payment)
        is_open = [c for c in self._mine(payment) if c.status in OPEN]
        forced = [c for c in is_open if c.kind in {"chargeback", "med"}]
        inquiries = [c for c in is_open if c.kind == "inquiry"]
        least = min(max((c.amount_minor for c in inquiries), default=0), room)
        outcome = self.world.refund(payment, None if full else major_text(part, 2))
        in_time = payment.refund_deadline_at is None or (
            self.world.now <= payment.refund_deadline_at
        )
        must = not forced and part >= least and part <= room and in_time
        assert isinstance(outcome, Claim) == must, ("C1", outcome, part, room)
        if isinstance(outcome, Claim):
            for inquiry in inquiries:
                after = self.world.claim(inquiry.claim_id)
                assert (after.status, after.resolution) == ("canceled", "refunded_instead")

    @rule(number=st.integers(0, 30))
    def cancel(self, number: int) -> None:
        """Withdraw; accepted exactly while it is a refund that was not sent."""
        refunds = [c for c in self.world.claims if c.kind == "user_dispute"]
        if not refunds:
            return
        claim = refunds[number % len(refunds)]
        outcome = self.world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
        must = claim.status in OPEN and claim.attempts == 0
        assert isinstance(outcome, Refused) != must

    @rule(
        number=st.integers(0, 30),
        words=st.lists(st.sampled_from(["settled", "declined", "returned", "unknown"]), max_size=3),
    )
    def carry(self, number: int, words: list[str]) -> None:
        """A worker sends a refund, and the provider says what became of it."""
        refunds = [c for c in self.world.claims if c.kind == "user_dispute"]
        if not refunds:
            return
        claim = refunds[number % len(refunds)]
        if claim.attempts == 0:
            self.world.start(claim)
        if self.world.claim(claim.claim_id).attempts:
            for word in words:
                self.world.later(seconds=1)
                self.world.notice(claim, word)

    @rule(
        number=st.integers(0, 1),
        kind=st.sampled_from(["chargeback", "med", "inquiry"]),
        name=st.sampled_from(["a", "b"]),
        word=st.sampled_from(RANK),
        round_=st.integers(1, 2),
        share=st.integers(1, 12),
    )
    def say(
        self,
        number: int,
        kind: DisputeKind,
        name: str,
        word: DisputeStatus,
        round_: int,
        share: int,
    ) -> None:
        """A network says anything of a case, in any order; the strongest word holds."""
        payment = self._payment(number)
        place = (payment.payment_id, kind, name)
        case = self.cases.get(place)
        if kind == "inquiry" and word in {"lost", "reversed"}:
            return
        is_known = case is not None and case["is_known"]
        if not is_known and len(self._mine(payment)) >= 4:
            return
        demand = max(1, payment.amount_minor * share // 10) if case is None else case["amount"]
        amount = max(1, demand * share // 12) if word == "lost" else demand
        before = [c for c in self._mine(payment) if c.kind == "user_dispute" and c.status in OPEN]
        claim = self.world.dispute(
            payment, word, kind, case=name, round=round_, amount_minor=amount
        )
        strength = (round_, RANK.index(word), amount)
        if case is None:
            case = self.cases[place] = Case(
                kind=kind, name=name, amount=demand, is_known=False, best=strength, word=word
            )
        elif strength > case["best"]:
            case["best"], case["word"] = strength, word
        case["is_known"] = case["is_known"] or word in {"opened", "reopened"}
        assert (claim is not None) == case["is_known"], "a verdict waits for its demand"
        if claim is None:
            return
        for refund in before if kind != "inquiry" and not is_known else ():
            after = self.world.claim(refund.claim_id)
            assert (after.status == "canceled") == (refund.attempts == 0), "C3"
        self._check_case(claim, case)

    def _check_case(self, claim: Claim, case: Case) -> None:
        """C8: the claim stands where the strongest word puts it."""
        if claim.resolution == "refunded_instead":
            return
        status, resolution = ENDS[case["word"]]
        if status == "pending" and claim.status == "approved":
            return
        assert (claim.status, claim.amount_minor) == (status, case["amount"]), case
        if case["word"] == "lost":
            assert claim.released_minor == case["best"][2], case
            is_part = case["best"][2] < case["amount"]
            is_accepted = claim.resolution == "accepted" and claim.approved_by is not None
            resolution = "accepted" if is_accepted else "lost"
            resolution = "partially_lost" if is_part else resolution
        assert claim.resolution == resolution, case

    @rule(number=st.integers(0, 1), share=st.integers(1, 12), back=st.booleans())
    def outside(self, number: int, share: int, *, back: bool) -> None:
        """The provider refunds by itself, perhaps twice told, perhaps undone."""
        payment = self._payment(number)
        if len(self._mine(payment)) >= 4:
            return
        amount = max(1, payment.amount_minor * share // 10)
        name = f"out_{len(self.world.claims)}"
        claim = self.world.refunded_outside(payment, amount, name=name)
        assert claim is not None
        assert (claim.status, claim.released_minor) == ("released", amount)
        if back:
            self.world.later(seconds=1)
            claim = self.world.refunded_outside(payment, amount, "returned", name=name)
            assert claim is not None
            assert claim.status == "reversed"

    @rule(number=st.integers(0, 30))
    def accept(self, number: int) -> None:
        """Give in: approved if all of it is frozen, else recorded until it is."""
        forced = [c for c in self.world.claims if c.kind in {"chargeback", "med"}]
        if not forced:
            return
        claim = forced[number % len(forced)]
        may = claim.status == "pending" and claim.approved_by is None
        command = AcceptDispute(
            claim_id=claim.claim_id, refund_id=ClaimId("CLM-MP331G7R-NONE"), actor=KEY
        )
        outcome = self.world.run(command)
        assert isinstance(outcome, Refused) != may
        if may:
            after = self.world.claim(claim.claim_id)
            is_frozen = claim.missing_usd_e4 == 0
            assert after.status == ("approved" if is_frozen else "pending"), "C6"

    @rule(hours=st.sampled_from([0, 1, 48, 24 * 14]))
    def tick(self, hours: int) -> None:
        """Time goes on, and what is due happens."""
        self.world.later(hours=hours, seconds=31)
        for payment in self.world.payments:
            self.world.settle(payment)
        for claim in self.world.claims:
            if claim.kind != "user_dispute":
                self.world.start(claim)

    @invariant()
    def holds(self) -> None:
        """All that can be seen from the data, and what the payments say of themselves."""
        check(self.world)
        for payment in self.world.payments:
            assert payment.remaining_minor == self._remaining(payment), "8.4: what remains"
            for claim in self._mine(payment):
                self._check_worth(payment, claim)

    def _check_worth(self, payment: Payment, claim: Claim) -> None:
        """L10 by fractions: a claim, and a part of it, is worth V less what was before it."""

        def worth(part_minor: int) -> int:
            reached = claim.claimed_before_minor + part_minor
            exact = Fraction(reached * payment.amount_usd_e4, payment.amount_minor)
            return max(0, round(exact) - claim.claimed_before_usd_e4)

        assert claim.amount_usd_e4 == worth(claim.amount_minor), "L10"
        if claim.status == "released":
            assert claim.released_usd_e4 == worth(claim.released_minor), "L10: a part"


def run() -> None:
    """One run of the machine."""
    run_state_machine_as_test(Machine, settings=CASES)


def test_all_sequences_keep_the_invariants() -> None:
    """Random turns, checked after each."""
    run()


def _by_arrival(
    told: list[Told],
    *,
    currency: str,
    amount_minor: int,
) -> Standing | None:
    """The last word wins, whatever was said before."""
    return Standing(told[-1].notice, None, told[-1].notice.round) if told else None


def _rounded_down(part_minor: int, payment: Payment) -> int:
    return part_minor * payment.amount_usd_e4 // payment.amount_minor


def _half_excess(above_cap_e4: int, without_funds_e4: int) -> entries.Recipe:
    whole = EXCESS(above_cap_e4, without_funds_e4)
    return entries.Recipe("excess", whole.legs[:-1])


def _twice(draft: Draft, claim: Claim, kind: str, amount_e4: int) -> Claim:
    GIVE_BACK(draft, claim, kind, amount_e4)
    return GIVE_BACK(draft, claim, kind, amount_e4)


def _too_much(want_e4: int, offers: entries.Sources) -> entries.Sources:
    return tuple((source, want_e4) for source, _ in offers[:1])


def _only_with_funds(
    draft: Draft, payment: Payment, notice: DisputeNotice, claim_id: ClaimId, actor: str
) -> Claim | None:
    """A network's claim is refused where there is no money for it."""
    rich = payment.pending_usd_e4 + payment.reserve_usd_e4 >= payment.amount_usd_e4
    return OPEN_CASE(draft, payment, notice, claim_id, actor) if rich else None


EXCESS, GIVE_BACK, OPEN_CASE = entries.excess, balances.give_back, disputes.open_case
Patch = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, Patch] = {
    "the cap ignores what networks take": lambda patch: patch.setattr(
        Payment, "remaining_minor", property(lambda one: one.captured_minor - one.claimed_minor)
    ),
    "an open inquiry counts under the cap": lambda patch: patch.setattr(turns, "INQUIRY", "none"),
    "a posting of excess is missing": lambda patch: patch.setattr(entries, "excess", _half_excess),
    "release comes without resolve_approved": lambda patch: patch.setattr(
        entries, "resolve_approved", lambda _e4: entries.Recipe("resolve_approved", ())
    ),
    "money is given back twice": lambda patch: patch.setattr(ending, "give_back", _twice),
    "a freeze takes more than there is": lambda patch: patch.setattr(entries, "take", _too_much),
    "a part is worth its share rounded down": lambda patch: patch.setattr(
        shares, "usd_e4_of_first", _rounded_down
    ),
    "local amounts are written with another exponent": lambda patch: patch.setattr(
        turns, "local_book_minor", lambda _payment, minor: minor * 100
    ),
    "a chargeback leaves unsent refunds running": lambda patch: patch.setattr(
        disputes, "supersede", lambda _draft, _payment, _actor: None
    ),
    "a network's claim is refused for lack of funds": lambda patch: patch.setattr(
        disputes, "open_case", _only_with_funds
    ),
    "a reversal after success is ignored": lambda patch: patch.setattr(
        turns, "reverse", lambda _draft, claim, _actor, _note=None: claim
    ),
    "a refund that comes back is ignored": lambda patch: patch.setattr(
        fold, "_returned", lambda _draft, claim, _report, _actor: (claim, ())
    ),
    "facts hold in the order of their arrival": lambda patch: patch.setattr(
        disputes, "standing", _by_arrival
    ),
    "excess is never relieved": lambda patch: patch.setattr(
        shares, "_fit", lambda _draft, _payment, _claim, _gain, _actor: None
    ),
    "a part not granted stays in the cap": lambda patch: patch.setattr(
        turns, "_granted", lambda _draft, _before, after, _granted, _actor: after
    ),
}


@pytest.mark.parametrize("bug", sampled(PLANTED, every=4))
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controls: each of these must make the machine fail."""
    PLANTED[bug](monkeypatch)
    with pytest.raises((AssertionError, AttributeError, ExceptionGroup)):
        run_state_machine_as_test(
            Machine, settings=settings(CASES, max_examples=300, phases=(Phase.generate,))
        )

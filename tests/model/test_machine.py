"""A state machine over all commands, with the invariants checked after every step.

A naive oracle, written apart from the model, says of each refund whether it must be accepted and
what it is worth. `make test-long` runs 100,000 steps; a hundredth of them runs each time. The
controls plant bugs into the model and must see the machine fail.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Final

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
from clawback.claims import ending, fold
from clawback.claims import model as claims
from clawback.claims.ending import CancelRefund
from clawback.claims.model import OpenRefund
from clawback.errors import Refused
from clawback.lanes.records import Claim, Fact, Payment
from clawback.ledger import entries
from clawback.money import major_text
from clawback.payments.model import RecordCharge, SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World

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
COUNTS = ("pending", "approved", "released")
FEES = ((0, 0), (29_000, 3_000), (100_000, 0), (0, 30_000))
PRICES = ((500_000, 86_118), (100, 17), (10_000, 13_850), (33_333, 1), (70_000, 131_894))


class Machine(RuleBasedStateMachine):
    """Random commands on one book with few payments, so that they collide."""

    def __init__(self) -> None:
        """A book with a reserve and a credit line."""
        super().__init__()
        self.world = World(reserve_percent_e4=50_000, credit_line_usd_e4=7_000)
        self.naive: dict[str, dict[str, Fraction]] = {}
        self.paid: dict[str, int] = {}

    def _payment(self, number: int) -> Payment | None:
        made = self.world.payments
        return made[number % len(made)] if made else None

    def _claim(self, number: int) -> Claim | None:
        made = self.world.claims
        return made[number % len(made)] if made else None

    @initialize()
    def two_payments(self) -> None:
        """Something to refund from the start."""
        self.world.pay()
        self.world.pay(usd_e4=100, local_minor=17)

    @rule(price=st.sampled_from(PRICES), fee=st.sampled_from(FEES), captured=st.booleans())
    def pay(self, price: tuple[int, int], fee: tuple[int, int], *, captured: bool) -> None:
        """Few payments, most of them captured."""
        if len(self.world.payments) < 4:
            usd_e4, local_minor = price
            self.world.pay(usd_e4=usd_e4, local_minor=local_minor, fee=fee, captured=captured)

    @rule(
        number=st.integers(0, 9),
        status=st.sampled_from(["completed", "failed", "expired", "processing", "unknown"]),
    )
    def charge(self, number: int, status: str) -> None:
        """The provider says something of a charge, perhaps again, perhaps late."""
        payment = self._payment(number)
        if payment is not None:
            self.world.accepted(
                RecordCharge(
                    payment_id=payment.payment_id,
                    status=status,
                    actor="provider:sandbox",
                    amount_minor=payment.amount_minor,
                    currency=payment.currency,
                    window_days=180,
                )
            )

    @rule(number=st.integers(0, 9), share=st.integers(1, 12), full=st.booleans())
    def refund(self, number: int, share: int, *, full: bool) -> None:
        """Ask for a part or all; the oracle knows whether that must be accepted."""
        payment = self._payment(number)
        if payment is None:
            return
        part = payment.amount_minor if full else max(1, payment.amount_minor * share // 10)
        taken = [
            claim
            for claim in self.world.claims
            if claim.payment_id == payment.payment_id and claim.status in COUNTS
        ]
        room = payment.captured_minor - sum(claim.amount_minor for claim in taken)
        outcome = self.world.refund(payment, None if full else major_text(part, 2))
        deadline = payment.refund_deadline_at
        is_open = deadline is None or self.world.now <= deadline
        must = payment.captured_minor > 0 and is_open and part <= room
        assert isinstance(outcome, Claim) == must, ("C1", outcome, part, room)
        if isinstance(outcome, Claim):
            self._check_worth(payment, taken, outcome)

    def _check_worth(self, payment: Payment, taken: list[Claim], claim: Claim) -> None:
        """L10 by fractions: V(all so far) less what was claimed, never below zero."""
        local = sum(one.amount_minor for one in taken) + claim.amount_minor
        exact = Fraction(local * payment.amount_usd_e4, payment.amount_minor)
        worth = round(exact) - sum(one.amount_usd_e4 for one in taken)
        assert claim.amount_usd_e4 == max(0, worth), "L10"

    @rule(amount_e4=st.sampled_from([1, 5_000, 400_000]), number=st.integers(0, 5))
    def pay_out(self, amount_e4: int, number: int) -> None:
        """The operator pays the merchant, perhaps twice; only from what is free, past nobody."""
        free = self.world.balance("available")
        is_held = self.world.state.head.waiting > 0 or self.world.balance("debt") < 0
        name = f"bank-{number}"
        known = self.paid.get(name)
        outcome = self.world.accepted(
            balances.RecordPayout(
                reference=name, amount_usd_e4=amount_e4, note=None, actor="user:ana"
            )
        ).response
        assert isinstance(outcome, balances.PayoutOutcome)
        must = known is None and not is_held and amount_e4 <= free
        assert outcome.is_new == must, (outcome, free)
        if must:
            self.paid[name] = amount_e4
        assert self.world.balance("paid_out") == sum(self.paid.values())

    @rule(number=st.integers(0, 30))
    def cancel(self, number: int) -> None:
        """Withdraw; accepted exactly while nothing was sent."""
        claim = self._claim(number)
        if claim is None:
            return
        held = self.world.payment(claim.payment_id)
        is_quiet = self.world.state.head.waiting == 0 and held.settled_at is None
        outcome = self.world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
        must = claim.status == "pending" or (claim.status == "approved" and not claim.attempts)
        assert isinstance(outcome, Refused) != must
        if must and is_quiet:
            own = sum(part for source, part in claim.sources if source == "pending")
            after = self.world.payment(claim.payment_id)
            assert after.pending_usd_e4 == held.pending_usd_e4 + own, "C7: where it came from"

    @rule(number=st.integers(0, 30), returned=st.booleans())
    def carry(self, number: int, *, returned: bool) -> None:
        """A worker and a provider do their part at once; the money may come back later."""
        claim = self._claim(number)
        if claim is None or self.world.start(claim).attempt is None:
            return
        claim = self.world.report(claim, "settled")
        if returned and claim.status == "released":
            self.world.accepted(
                fold.RecordNotice(
                    claim_id=claim.claim_id,
                    fact=fact(self.world, claim, "refund.returned"),
                    report=self.world.said(claim, "returned"),
                    actor="provider:sandbox",
                )
            )
            assert self.world.claim(claim.claim_id).status == "reversed", "C12"

    @rule(number=st.integers(0, 30))
    def start(self, number: int) -> None:
        """A worker takes the next step; an approval needs the whole amount frozen."""
        claim = self._claim(number)
        if claim is not None:
            self.world.start(claim)

    @rule(
        number=st.integers(0, 30),
        status=st.sampled_from(
            ["accepted", "settled", "declined", "unavailable", "unknown", "absent", "returned"]
        ),
        stale=st.booleans(),
    )
    def report(self, number: int, status: str, *, stale: bool) -> None:
        """An outcome arrives, perhaps of an attempt that is not the newest; that is nothing."""
        claim = self._claim(number)
        if claim is None or claim.attempts == 0:
            return
        before = (self.world.claim(claim.claim_id), len(self.world.entries))
        attempt = claim.attempts - 1 if stale else claim.attempts
        after = self.world.report(claim, status, number=attempt)
        if stale:
            assert (after, len(self.world.entries)) == before, "P5"

    @rule(hours=st.sampled_from([0, 1, 24, 48, 90 * 24]))
    def tick(self, hours: int) -> None:
        """Time goes on, and what is due happens."""
        self.world.later(hours=hours, seconds=31)
        for payment in self.world.payments:
            if payment.captured_minor:
                self.world.accepted(SettleDue(payment_id=payment.payment_id))

    @invariant()
    def holds(self) -> None:
        """All that can be seen from the data."""
        check(self.world)


def fact(world: World, claim: Claim, kind: str) -> Fact:
    """Something the provider tells by itself."""
    name = f"note_{len(world.state.facts)}"
    return Fact(
        fact_id=name,
        book_id=None,
        provider="sandbox",
        provider_account="default",
        source="notice",
        event_key=name,
        type=kind,
        reference="R",
        object_id=claim.claim_id,
        received_at=world.now,
    )


def run() -> None:
    """One run of the machine."""
    run_state_machine_as_test(Machine, settings=CASES)


def test_all_sequences_keep_the_invariants() -> None:
    """Random commands, checked after each."""
    run()


def _uncapped(payment: Payment) -> int:
    return payment.captured_minor


def _give_back_to_available(
    _draft: object, _payment: object, _source: str, part_e4: int, _so_far: object
) -> tuple[tuple[str, int], ...]:
    return (("available", part_e4),)


def _plain_ratio(part_minor: int, payment: Payment) -> int:
    return part_minor * payment.amount_usd_e4 // payment.amount_minor


def _never_differs(_claim: object, _report: object) -> bool:
    return False


def _takes_too_much(want_e4: int, offers: entries.Sources) -> entries.Sources:
    return tuple((source, want_e4) for source, _ in offers[:1])


def _worth_by_ratio(payment: Payment, asked: int) -> int:
    return round(asked * payment.amount_usd_e4 / payment.amount_minor)


def _stays_counted(
    _draft: object,
    claim: Claim,
    _status: str,
    _resolution: str,
    *,
    counted_e4: int,
) -> Claim:
    return claim


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the cap is not checked": lambda patch: patch.setattr(
        Payment, "remaining_minor", property(_uncapped)
    ),
    "money goes back to available whatever it came from": lambda patch: patch.setattr(
        balances, "_places", _give_back_to_available
    ),
    "a part is worth its ratio, rounded down": lambda patch: patch.setattr(
        claims, "usd_e4_of_first", _plain_ratio
    ),
    "a part is worth its own ratio, whatever was claimed before": lambda patch: patch.setattr(
        claims, "worth_e4", _worth_by_ratio
    ),
    "a freeze takes more than there is": lambda patch: patch.setattr(
        entries, "take", _takes_too_much
    ),
    "waiting claims are not served": lambda patch: patch.setattr(
        balances, "_top_up_all", lambda _draft: 0
    ),
    "a released claim keeps what is on its way": lambda patch: patch.setattr(
        entries, "release", lambda _amount_e4, _local: entries.Recipe("release", ())
    ),
    "an ended claim keeps its share of the cap": lambda patch: patch.setattr(
        ending,
        "closed",
        _stays_counted,
    ),
}


SLOW: Final = "waiting claims are not served"


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, marks=pytest.mark.long) if bug == SLOW else bug for bug in PLANTED]
)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controls: each of these must make the machine fail."""
    PLANTED[bug](monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(
            Machine, settings=settings(CASES, max_examples=2_000, phases=(Phase.generate,))
        )


def test_the_oracle_is_not_the_model() -> None:
    """The machine asks for refunds through the model's own command, and nothing else of it."""
    assert OpenRefund.__module__ == "clawback.claims.model"

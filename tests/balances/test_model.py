"""Buckets: who is served first, where money goes back to, and how debt is paid down."""

from clawback.balances.model import PayoutOutcome, RecordPayout
from clawback.claims.ending import CancelRefund
from clawback.payments.model import SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World


def test_freezing_takes_in_order_own_parts_then_available_then_credit() -> None:
    """The payment's pending part, its reserve, the book's available, then its credit line."""
    world = World(reserve_percent_e4=100_000, credit_line_usd_e4=5_000)
    settled = world.pay(usd_e4=20_000, local_minor=3_445)
    world.later(hours=48)
    world.accepted(SettleDue(payment_id=settled.payment_id))
    card = world.pay(fee=(100_000, 0))
    claim = world.opened(card)
    assert claim.sources == (
        ("pending", 400_000),
        ("reserve", 50_000),
        ("available", 18_000),
        ("debt", 5_000),
    )
    assert claim.missing_usd_e4 == 27_000
    check(world)


def test_the_earliest_deadline_is_served_first_then_the_oldest() -> None:
    """Waiting claims are a queue by deadline; money is never split against it."""
    world = World()
    late = world.opened(world.pay(fee=(100_000, 0), window_days=300))
    soon = world.opened(world.pay(fee=(100_000, 0), window_days=30))
    source = world.pay(usd_e4=60_000, local_minor=10_334)
    world.later(hours=48)
    world.accepted(SettleDue(payment_id=source.payment_id))
    assert world.claim(soon.claim_id).missing_usd_e4 == 0
    assert world.claim(late.claim_id).missing_usd_e4 == 40_000
    check(world)


def test_no_newer_claim_takes_from_available_while_one_waits() -> None:
    """The newer one may take its own payment's parts only."""
    world = World()
    world.opened(world.pay(fee=(100_000, 0)))
    newer = world.opened(world.pay(fee=(100_000, 0)), "10")
    assert newer.sources == (("pending", 5_806),)
    check(world)


def test_giving_back_serves_the_claims_of_the_same_payment() -> None:
    """What a canceled refund frees goes to the refund that waits on that payment."""
    world = World()
    card = world.pay(fee=(100_000, 0))
    first = world.opened(card, "430.59")
    second = world.opened(card, "430.59")
    assert second.missing_usd_e4 == 50_000
    world.accepted(CancelRefund(claim_id=first.claim_id, reason=None, actor=KEY))
    assert world.claim(second.claim_id).missing_usd_e4 == 0
    check(world)


def test_debt_is_paid_down_once_nobody_waits() -> None:
    """A fee above gross leaves debt; the next credit pays it."""
    world = World()
    world.pay(usd_e4=10_000, local_minor=1_722, fee=(0, 30_000))
    assert world.balance("debt") == -20_000
    payment = world.pay()
    world.later(hours=48)
    world.accepted(SettleDue(payment_id=payment.payment_id))
    assert (world.balance("debt"), world.balance("available")) == (0, 480_000)
    check(world)


def test_who_waits_comes_before_debt() -> None:
    """A credit goes to the claim that waits; the debt is as it was until nobody does."""
    world = World()
    waiting = world.opened(world.pay(fee=(1_000_000, 0)), "10")
    world.dispute(world.pay(), "opened")
    source = world.pay(usd_e4=5_000, local_minor=861)
    world.later(hours=48)
    world.accepted(SettleDue(payment_id=source.payment_id))
    assert world.claim(waiting.claim_id).missing_usd_e4 == 806
    assert world.balance("debt") == -150_000
    check(world)


def test_more_waiting_claims_than_one_commit_serves() -> None:
    """Two hundred in one, the rest in the commands that follow; in the end nobody waits."""
    world = World()
    for _ in range(230):
        world.opened(world.pay(usd_e4=100, local_minor=17, fee=(1_000_000, 0)))
    assert world.state.head.waiting == 230
    source = world.pay()
    world.later(hours=48)
    world.accepted(SettleDue(payment_id=source.payment_id))
    assert world.state.head.waiting == 0
    check(world)


def paid_out(world: World, amount_e4: int, reference: str = "bank-1") -> PayoutOutcome:
    """What comes of recording a payout."""
    command = RecordPayout(
        reference=reference, amount_usd_e4=amount_e4, note=None, actor="user:ana"
    )
    outcome = world.accepted(command).response
    assert isinstance(outcome, PayoutOutcome)
    return outcome


def with_available() -> World:
    """A book of 50 USD that settled."""
    world = World()
    payment = world.pay()
    world.later(hours=48)
    world.settle(payment)
    return world


def test_a_payout_takes_from_available_only_and_once_for_each_reference() -> None:
    world = with_available()
    first = paid_out(world, 120_000)
    assert (first.is_new, first.held_by, first.left_usd_e4) == (True, None, 380_000)
    assert (world.balance("available"), world.balance("paid_out")) == (380_000, 120_000)
    entries = len(world.entries)
    again = paid_out(world, 120_000)
    assert (again.payout, again.is_new, again.held_by) == (first.payout, False, None)
    other = paid_out(world, 120_001)
    assert (other.payout, other.is_new, other.held_by) == (first.payout, False, "another_amount")
    more = paid_out(world, 380_001, "bank-2")
    assert (more.payout, more.held_by, more.left_usd_e4) == (None, "available", 380_000)
    assert len(world.entries) == entries
    assert paid_out(world, 380_000, "bank-2").is_new
    assert world.balance("available") == 0
    check(world)


def test_nothing_is_paid_out_past_a_claim_that_waits() -> None:
    world = with_available()
    waiting = world.opened(world.pay(fee=(1_000_000, 0)))
    assert waiting.missing_usd_e4 == 0, "it took what was available"
    world.opened(world.pay(fee=(1_000_000, 0)))
    assert world.state.head.waiting == 1
    assert paid_out(world, 1).held_by == "claims_waiting"
    check(world)


def test_nothing_is_paid_out_past_debt() -> None:
    world = World()
    world.pay(usd_e4=10_000, local_minor=1_722, fee=(0, 30_000))
    assert world.balance("debt") == -20_000
    assert paid_out(world, 1).held_by == "debt"
    check(world)


def test_money_that_was_paid_out_is_not_frozen_again() -> None:
    world = with_available()
    assert paid_out(world, 500_000).is_new
    claim = world.opened(world.payments[0])
    assert (claim.frozen_usd_e4, claim.missing_usd_e4) == (0, 500_000)
    check(world)

"""Refunds decided without a database: what is accepted, what is refused and in which order."""

import pytest

from clawback.claims.ending import CancelRefund
from clawback.errors import Refused
from clawback.ids import PaymentId
from clawback.lanes.records import Claim
from clawback.payments.model import SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World


def test_the_refund_page_in_numbers() -> None:
    """50 USD are 861.18 MXN; 10 MXN back are 0.5806 USD, and the rest is exactly the rest."""
    world = World()
    payment = world.pay()
    first = world.opened(payment, "10")
    assert (first.amount_minor, first.amount_usd_e4) == (1_000, 5_806)
    assert (first.status, first.pending_reason) == ("pending", "processing")
    assert (first.frozen_usd_e4, first.sources) == (5_806, (("pending", 5_806),))
    rest = world.opened(payment, "851.18")
    assert rest.amount_usd_e4 == 494_194
    assert world.payment(payment.payment_id).remaining_minor == 0
    check(world)


def test_parts_are_worth_what_the_whole_is() -> None:
    """Each third alone would be 16.6667 USD; the three are 50 USD, whatever each is rounded to."""
    world = World()
    payment = world.pay()
    parts = [world.opened(payment, "287.06").amount_usd_e4 for _ in range(3)]
    assert parts == [166_667, 166_666, 166_667]
    assert world.payment(payment.payment_id).claimed_usd_e4 == 500_000
    check(world)


@pytest.mark.parametrize(
    ("rail", "captured", "earlier", "amount", "expected", "code"),
    [
        (("spei", "MX", "MXN"), True, None, "10.001", None, "invalid_amount"),
        (("spei", "MX", "MXN"), False, None, "10", None, "payment_not_refundable"),
        (("pse", "CO", "COP"), True, None, "10", None, "partial_refund_not_supported"),
        (("pse", "CO", "COP"), True, "861.18", None, None, "multiple_refunds_not_supported"),
        (("spei", "MX", "MXN"), True, None, "10", "5", "remaining_changed"),
        (("spei", "MX", "MXN"), True, None, "900", "5", "remaining_changed"),
        (("spei", "MX", "MXN"), True, None, "861.19", None, "refund_exceeds_remaining"),
        (("spei", "MX", "MXN"), True, "1", None, None, "refund_exceeds_remaining"),
    ],
)
def test_refusals_in_the_order_of_the_contract(
    rail: tuple[str, str, str],
    captured: bool,  # noqa: FBT001 - a column of the table
    earlier: str | None,
    amount: str | None,
    expected: str | None,
    code: str,
) -> None:
    """Each refusal has its code and changes nothing at all."""
    world = World()
    payment = world.pay(rail=rail, captured=captured)
    if earlier is not None:
        world.opened(payment, earlier)
    before = (dict(world.state.payments), len(world.entries), len(world.notices))
    refused = world.refund(payment, amount, expected=expected)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert (dict(world.state.payments), len(world.entries), len(world.notices)) == before
    check(world)


def test_the_window_closes_with_its_last_moment() -> None:
    """On the deadline a refund is taken, a moment later it is not."""
    world = World()
    payment = world.pay(rail=("pix", "BR", "BRL"), window_days=90)
    world.later(days=90)
    assert isinstance(world.refund(payment, "1"), Claim)
    world.later(milliseconds=1)
    refused = world.refund(payment, "1")
    assert isinstance(refused, Refused)
    assert refused.code == "refund_window_closed"


def test_a_refund_without_funds_waits_and_the_next_credit_serves_it() -> None:
    """A card's fee is kept: a full refund waits for what is missing and blocks newer claims."""
    world = World()
    card = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
    claim = world.opened(card)
    assert (claim.pending_reason, claim.missing_usd_e4) == ("awaiting_funds", 17_500)
    other = world.pay()
    world.later(hours=48)
    world.accepted(_settle(other.payment_id))
    claim = world.claim(claim.claim_id)
    assert (claim.pending_reason, claim.missing_usd_e4, claim.version) == ("processing", 0, 2)
    assert claim.sources == (("pending", 482_500), ("available", 17_500))
    check(world)


def test_a_threshold_asks_for_a_second_principal() -> None:
    """At the threshold the claim waits for approval; below it does not."""
    world = World(approval_threshold_usd_e4=5_806)
    payment = world.pay()
    assert world.opened(payment, "10").pending_reason == "awaiting_approval"
    assert world.opened(payment, "9").pending_reason == "processing"


def test_limits_of_a_key_hold_per_claim_and_per_day() -> None:
    """`key_limit_exceeded` names the limit; the next day starts anew."""
    world = World()
    payment = world.pay()
    refused = world.refund(payment, "20", max_claim_usd_e4=10_000)
    assert isinstance(refused, Refused)
    assert refused.code == "key_limit_exceeded"
    assert isinstance(world.refund(payment, "10", max_day_usd_e4=10_000), Claim)
    refused = world.refund(payment, "10", max_day_usd_e4=10_000)
    assert isinstance(refused, Refused)
    assert refused.code == "key_limit_exceeded"
    world.later(days=1)
    assert isinstance(world.refund(payment, "10", max_day_usd_e4=10_000), Claim)
    check(world)


def test_canceling_gives_back_where_it_came_from_and_frees_the_cap() -> None:
    """From pending back to pending; after the payment settled, to available."""
    world = World()
    payment = world.pay()
    claim = world.opened(payment, "100")
    world.accepted(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    assert world.claim(claim.claim_id).status == "canceled"
    assert world.balance("pending") == 500_000
    claim = world.opened(payment, "100")
    world.later(hours=48)
    world.accepted(_settle(payment.payment_id))
    world.accepted(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    assert (world.balance("pending"), world.balance("available")) == (0, 500_000)
    assert world.payment(payment.payment_id).remaining_minor == 86_118
    check(world)


def test_a_refund_in_flight_cannot_be_canceled() -> None:
    """Once an attempt exists it is `claim_in_flight`, and after its end no transition at all."""
    world = World()
    claim = world.opened(world.pay(), "100")
    world.start(claim)
    refused = world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    assert isinstance(refused, Refused)
    assert refused.code == "claim_in_flight"
    world.report(claim, "settled")
    refused = world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    assert isinstance(refused, Refused)
    assert refused.code == "claim_transition_invalid"
    check(world)


def _settle(payment_id: PaymentId) -> SettleDue:
    return SettleDue(payment_id=payment_id)

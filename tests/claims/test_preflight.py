"""Preflight equals the refund: over rails, states, dates, amounts, limits, disputes and money.

What preflight foresees is compared with what the refund call's own command then does in the same
book. The controls change one rule on one side only and must be caught.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from clawback.claims.model import OpenRefund
from clawback.claims.preflight import Foreseen, foresee, show
from clawback.errors import InvalidAmount, NotFound, Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.records import Claim, Payment
from clawback.money import major_text, read_amount
from clawback.payments.model import SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World
from tests.support.counts import count

replace = msgspec.structs.replace

RAILS: Final = {
    ("spei", "MX", "MXN"): 180,
    ("oxxo", "MX", "MXN"): 365,
    ("pix", "BR", "BRL"): 90,
    ("pse", "CO", "COP"): 90,
    ("card", "CL", "CLP"): 180,
    ("card", "US", "USD"): 180,
    ("unheard", "MX", "MXN"): None,
}
CLP: Final = {"CLP": 0}

Scene = tuple[World, Payment, dict[str, Any]]
Between = Callable[[World, OpenRefund], OpenRefund]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A book with a payment in some state, and a refund to be asked for."""
    world = World(
        approval_threshold_usd_e4=draw(st.sampled_from((None, 0, 5_806, 400_000))),
        credit_line_usd_e4=draw(st.sampled_from((0, 10_000))),
        reserve_percent_e4=draw(st.sampled_from((0, 100_000))),
    )
    rail = draw(st.sampled_from(sorted(RAILS)))
    fee = draw(st.sampled_from(((0, 0), (29_000, 3_000))))
    captured = draw(st.sampled_from((True, True, True, False)))
    payment = world.pay(rail=rail, fee=fee, window_days=RAILS[rail], captured=captured)
    places = CLP.get(payment.currency, 2)
    for _ in range(draw(st.integers(0, 2))):
        part = draw(st.integers(1, 50_000))
        claim = world.refund(payment, major_text(part, places))
        if (
            isinstance(claim, Claim)
            and claim.pending_reason == "processing"
            and draw(st.booleans())
        ):
            world.start(claim)
            world.report(claim, draw(st.sampled_from(("settled", "declined", "accepted"))))
    if draw(st.booleans()):
        other = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
        world.refund(other)
    world.later(days=draw(st.sampled_from((0, 3, 89, 90, 91, 180, 181, 400))))
    if captured and draw(st.booleans()):
        world.accepted(SettleDue(payment_id=payment.payment_id))
    if captured and draw(st.integers(0, 4)) == 0:
        _dispute(world, payment, draw(st.sampled_from(("chargeback", "med"))))
    payment = world.payment(payment.payment_id)
    left = payment.remaining_minor
    amount = draw(
        st.none()
        | st.sampled_from(("10", "0.01", "0.001", "861.18", "861.19", "1"))
        | st.sampled_from((max(1, left), left + 1, max(1, left - 1))).map(
            lambda minor: major_text(minor, places)
        )
    )
    limits = {
        "max_claim_usd_e4": draw(st.sampled_from((None, 5_806, 400_000))),
        "max_day_usd_e4": draw(st.sampled_from((None, 5_806, 500_000))),
    }
    return world, payment, {"amount": amount, **limits}


def _dispute(world: World, payment: Payment, kind: str) -> None:
    """An open dispute as its row stands, frozen over nothing."""
    claim = Claim(
        claim_id=ClaimId("CLM-MPDUIYQW-T4X1"),
        book_id=payment.book_id,
        payment_id=payment.payment_id,
        shop_id=payment.shop_id,
        kind=kind,
        status="pending",
        pending_reason="awaiting_evidence",
        amount_minor=100,
        currency=payment.currency,
        amount_usd_e4=0,
        claimed_before_minor=0,
        claimed_before_usd_e4=0,
        requested_by="provider:sandbox",
        provider="sandbox",
        provider_account="default",
        created_at=world.now,
        updated_at=world.now,
    )
    world.state.claims[claim.claim_id] = claim
    world.state.payments[payment.payment_id] = replace(
        world.payment(payment.payment_id), open_dispute_id=claim.claim_id
    )


def asked(
    payment: Payment,
    amount: str | None,
    max_claim_usd_e4: int | None = None,
    max_day_usd_e4: int | None = None,
) -> OpenRefund:
    return OpenRefund(
        payment_id=payment.payment_id,
        claim_id=ClaimId("CLM-MP331G7R-ZZZZ"),
        amount=None if amount is None else read_amount(amount),
        reason=None,
        expected_remaining=None,
        actor=KEY,
        max_claim_usd_e4=max_claim_usd_e4,
        max_day_usd_e4=max_day_usd_e4,
    )


def _nothing(_: World, command: OpenRefund) -> OpenRefund:
    return command


def differs(
    world: World, payment: Payment, wanted: dict[str, Any], between: Between = _nothing
) -> str | None:
    """How preflight's answer differs from what the refund then does; None if it does not."""
    command = asked(payment, **wanted)
    seen = world.look(lambda draft: foresee(draft, command))
    if isinstance(seen, InvalidAmount):
        met = world.run(between(world, command))
        return None if met == seen else f"{met} instead of {seen}"
    assert isinstance(seen, Foreseen), seen
    shown = show(seen)
    if wanted["amount"] is None and payment.remaining_minor > 0:
        left = major_text(payment.remaining_minor, CLP.get(payment.currency, 2))
        command = asked(payment, **{**wanted, "amount": left})
    command = between(world, command)
    met = world.run(command)
    blocking = [one.code for one in shown.reasons if one.blocking]
    waits = [one.code for one in shown.reasons if not one.blocking]
    if isinstance(met, Refused):
        return None if (shown.allowed, blocking) == (False, [met.code]) else f"{met}: {shown}"
    claim = world.claim(command.claim_id)
    places = {"amount": claim.amount_minor, "worth": claim.amount_usd_e4}
    told = {"amount": seen.asked_minor, "worth": seen.worth_usd_e4}
    if not shown.allowed or blocking or told != places:
        return f"{claim}: {shown}"
    if waits != ([] if claim.pending_reason == "processing" else [claim.pending_reason]):
        return f"{claim.pending_reason}: {waits}"
    if seen.freezable_usd_e4 != claim.frozen_usd_e4:
        return f"freezes {claim.frozen_usd_e4}, said {seen.freezable_usd_e4}"
    if bytes(shown.balance.shortfall_usd) != major_text(claim.missing_usd_e4, 4).encode():
        return f"misses {claim.missing_usd_e4}: {shown.balance}"
    if shown.approval_required != claim.approval_required:
        return f"approval: {shown.approval_required}"
    if shown.missing_payer_fields != list(claim.payer_fields):
        return f"fields: {shown.missing_payer_fields}"
    check(world)
    return None


@settings(max_examples=count(400, 40_000), deadline=None)
@given(scenes())
def test_preflight_is_what_the_refund_then_does(
    scene: Scene,
) -> None:
    world, payment, wanted = scene
    assert differs(world, payment, wanted) is None


def _later(world: World, command: OpenRefund) -> OpenRefund:
    """The refund comes when the window may have closed."""
    world.later(days=60)
    return command


def _unlimited(_: World, command: OpenRefund) -> OpenRefund:
    """The refund is asked for with another key."""
    return replace(command, max_claim_usd_e4=None, max_day_usd_e4=None)


def _spent(world: World, command: OpenRefund) -> OpenRefund:
    """Another refund comes between."""
    world.run(replace(command, claim_id=ClaimId("CLM-MP331G7R-YYYY")))
    return command


@pytest.mark.parametrize("between", [_later, _unlimited, _spent])
def test_a_difference_is_found(between: Between) -> None:
    """The controls: what comes between the look and the refund makes them differ."""

    @settings(max_examples=400, deadline=None, database=None, phases=(Phase.generate,))
    @given(scenes())
    def compare(scene: Scene) -> None:
        world, payment, wanted = scene
        assert differs(world, payment, wanted, between) is None

    with pytest.raises((AssertionError, ExceptionGroup)):
        compare()


def test_looking_changes_nothing() -> None:
    world = World()
    payment = world.pay()
    before = (dict(world.state.payments), dict(world.state.claims), world.state.head)
    seen = world.look(lambda draft: foresee(draft, asked(payment, "10")))
    assert isinstance(seen, Foreseen)
    assert (dict(world.state.payments), dict(world.state.claims), world.state.head) == before


def test_nothing_left_is_answered_as_a_full_refund_would_be() -> None:
    world = World()
    payment = world.pay()
    world.opened(payment)
    seen = world.look(lambda draft: foresee(draft, asked(payment, None)))
    assert isinstance(seen, Foreseen)
    shown = show(seen)
    assert (shown.allowed, bytes(shown.amount)) == (False, b"0")
    assert [one.code for one in shown.reasons] == ["refund_exceeds_remaining"]


def test_an_absent_payment_is_not_found() -> None:
    world = World()
    other = replace(world.pay(), payment_id=PaymentId("TXN-MP331BTF-ZZZZ"))
    assert isinstance(world.look(lambda draft: foresee(draft, asked(other, "1"))), NotFound)

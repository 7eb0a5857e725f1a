"""Preflight equals the refund: over rails, states, dates, amounts, limits, disputes and money.

What preflight foresees is compared with what the refund call's own command then does in the same
book. The controls change one rule on one side only and must be caught.
"""

from collections.abc import Callable
from datetime import timedelta
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
from clawback.payments.model import RecordCharge, SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World
from tests.support.counts import LONG, count

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
COMMON: Final = {
    "payment_not_refundable", "payment_disputed", "refund_window_closed",
    "refund_exceeds_remaining", "partial_refund_not_supported", "key_limit_exceeded",
    "awaiting_funds", "awaiting_approval", "awaiting_payer_details",
}  # fmt: skip
RARE: Final = {"refund_not_supported", "multiple_refunds_not_supported"}
MET: Final[set[str]] = set()
"""The answers that scenes led to; a run that did not reach them shows nothing."""

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
    if not captured:
        _charge(world, payment, draw(st.sampled_from(("", "processing", "failed", "expired"))))
    places = CLP.get(payment.currency, 2)
    if rail[0] == "card" and draw(st.integers(0, 9)) == 0:
        for _ in range(draw(st.sampled_from((18, 19, 20)))):
            world.refund(payment, major_text(1, places))
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
    if captured and draw(st.integers(0, 2)) == 0:
        for number in range(draw(st.integers(1, 2))):
            _dispute(draw, world, payment, number)
    world.later(days=draw(st.sampled_from((0, 3, 89, 90, 91, 180, 181, 400))))
    deadline = payment.refund_deadline_at
    if deadline is not None and deadline > world.now and draw(st.integers(0, 2)) == 0:
        edge = st.sampled_from((-1_000, -1, 0, 1, 1_000))
        world.now = deadline + timedelta(milliseconds=draw(edge))
    if captured and draw(st.booleans()):
        world.accepted(SettleDue(payment_id=payment.payment_id))
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


def _charge(world: World, payment: Payment, status: str) -> None:
    """What became of a payment that was never captured."""
    if status:
        world.accepted(
            RecordCharge(
                payment_id=payment.payment_id,
                status=status,
                actor="provider:sandbox",
                amount_minor=payment.amount_minor,
                currency=payment.currency,
                window_days=None,
            )
        )


def _dispute(draw: st.DrawFn, world: World, payment: Payment, number: int) -> None:
    """A network takes up a case over a part or all, and perhaps decides it."""
    kind = draw(st.sampled_from(("inquiry", "inquiry", "chargeback", "med")))
    share = draw(st.sampled_from((1, 4, 10)))
    case = f"case_{number}"
    amount = max(1, payment.amount_minor * share // 10)
    world.dispute(payment, "opened", kind, case=case, amount_minor=amount)
    ends = ("", "", "won", "withdrawn") if kind == "inquiry" else ("", "won", "lost", "withdrawn")
    word = draw(st.sampled_from(ends))
    if word:
        world.dispute(payment, word, kind, case=case, amount_minor=amount)


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
    MET.update(one.code for one in shown.reasons)
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


def test_preflight_is_what_the_refund_then_does() -> None:
    @settings(max_examples=count(400, 40_000), deadline=None, derandomize=not LONG)
    @given(scenes())
    def compare(scene: Scene) -> None:
        world, payment, wanted = scene
        assert differs(world, payment, wanted) is None

    compare()
    missed = (COMMON | RARE if LONG else COMMON) - MET
    assert missed == set(), "scenes that were never reached"


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

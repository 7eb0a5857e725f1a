"""The pair table, cell by cell, on the pure model: ends, remainder, loss, and whole books."""

import pytest

from clawback.claims.decisions import ApproveRefund
from clawback.errors import Refused
from clawback.lanes.records import Claim, Payment
from tests.claims import pairs
from tests.model_checks import check
from tests.model_world import World


def _world(refund: str) -> tuple[World, Payment, Claim]:
    """A payment with a refund that stands as asked."""
    threshold = 1 if refund == "approved" else None
    world = World(dispute_fee_usd_e4=0, approval_threshold_usd_e4=threshold)
    fee = (950_000, 0) if refund == "waiting" else (0, 0)
    payment = world.pay(fee=fee)
    claim = world.opened(payment, "100")
    if refund == "approved":
        world.accepted(ApproveRefund(claim_id=claim.claim_id, note=None, actor="user:second"))
    if refund in {"at the provider", "released"}:
        world.start(claim)
    if refund == "released":
        world.report(claim, "settled")
    return world, world.payment(payment.payment_id), world.claim(claim.claim_id)


@pytest.mark.parametrize(("refund", "kind", "turn"), pairs.PAIRS)
def test_a_pair(refund: str, kind: str, turn: str) -> None:
    """Both claims end as written, the payment and the books agree."""
    wanted = pairs.PAIRS[refund, kind, turn]
    world, payment, claim = _world(refund)
    amount = pairs.PART if kind == "inquiry" else pairs.WHOLE
    case = world.touched(payment, "opened", kind, amount_minor=amount)
    check(world)
    if wanted is None:
        before = world.claim(case.claim_id)
        world.dispute(payment, turn, kind, amount_minor=amount)
        after = world.claim(case.claim_id)
        assert (after.status, after.needs_review) == (before.status, True)
        check(world)
        return
    if turn != "opened":
        world.dispute(payment, turn, kind, amount_minor=amount)
    check(world)
    found = world.payment(payment.payment_id)
    claim, case = world.claim(claim.claim_id), world.claim(case.claim_id)
    assert _stands(claim) == wanted.refund
    assert _stands(case) == wanted.case
    assert (found.remaining_minor, found.charged_back_minor) == (
        wanted.remaining,
        wanted.charged_back,
    )
    assert (world.balance("loss") < 0) == wanted.loss
    _finish(world, claim)
    assert _stands(world.claim(claim.claim_id)) == wanted.later
    check(world)


def _stands(claim: Claim) -> str:
    return f"{claim.status} {claim.resolution or ''}".strip()


def _finish(world: World, claim: Claim) -> None:
    """Let funds come, the worker send and the provider settle what is still to be done."""
    other = world.pay()
    world.later(hours=49)
    for payment in (other, world.payment(claim.payment_id)):
        world.settle(payment)
    if world.claim(claim.claim_id).status in {"pending", "approved"}:
        world.start(claim)
        if world.claim(claim.claim_id).status == "approved":
            world.report(claim, "settled")


def test_a_refund_beside_a_pair_is_refused_or_ends_it() -> None:
    """A new refund: refused beside what takes by force, and too small for an inquiry."""
    world = World()
    payment = world.pay()
    world.touched(payment, "opened", "inquiry")
    assert isinstance(world.refund(payment, "100"), Refused)
    assert isinstance(world.refund(payment), Claim)
    check(world)


def test_the_page_shows_the_table() -> None:
    """docs/reference/pairs.md is drawn from it."""
    assert pairs.PAGE.read_text() == pairs.render()


def test_captures_are_of_the_payment() -> None:
    """The figures of the table are those of the payment that is tried."""
    assert World().pay().captured_minor == pairs.WHOLE

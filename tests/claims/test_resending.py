"""A result that is not known, on rails that can be asked, asked again, or neither (P7)."""

from datetime import timedelta
from typing import Final

import pytest

from clawback.lanes.records import Claim
from clawback.providers.rails import rule_for
from tests.claims.reviewing import resolved
from tests.model_checks import check
from tests.model_world import World

PIX: Final = ("pix", "BR", "BRL")
PSE: Final = ("pse", "CO", "COP")
NEITHER: Final = ("iugu", PIX)
ASKED: Final = ("cielo", PIX)
AGAIN: Final = ("mercadopago", PSE)
Rail = tuple[str, tuple[str, str, str]]


def sent(rail: Rail, outcome: str = "unknown") -> tuple[World, Claim]:
    """A refund on this rail whose call came to this."""
    provider, (method, country, currency) = rail
    rule = rule_for(provider, method, country)
    assert rule is not None
    assert rule.call.can_resend == (rail != NEITHER)
    world = World()
    claim = world.opened(world.pay(rail=(method, country, currency), provider=provider))
    world.start(claim)
    claim = world.report(claim, outcome)
    world.later(seconds=31)
    return world, claim


def test_nothing_is_sent_again_where_it_could_pay_twice() -> None:
    """It waits for people, with its money in `payable`; no time ends that."""
    world, claim = sent(NEITHER)
    started = world.start(claim)
    held = world.claim(claim.claim_id)
    assert started.attempt is None
    assert (held.status, held.needs_review, held.pending_reason, held.due_at) == (
        "approved", True, "provider_unknown", None,
    )  # fmt: skip
    assert held.payable_usd_e4 == held.amount_usd_e4 == world.balance("payable")
    for _ in range(12):
        world.later(days=30)
        assert world.start(claim).attempt is None
    assert world.claim(claim.claim_id) == held
    check(world)


def test_a_worker_that_died_there_leaves_it_to_people() -> None:
    """Its lease is over, and nobody knows what it sent."""
    world = World()
    claim = world.opened(world.pay(rail=PIX, provider="iugu"))
    world.start(claim)
    world.later(seconds=31)
    assert world.start(claim).attempt is None
    assert world.claim(claim.claim_id).needs_review
    check(world)


@pytest.mark.parametrize(
    ("finding", "end"), [("paid", "released"), ("not_paid", "failed"), ("resume", "approved")]
)
def test_people_settle_it(finding: str, end: str) -> None:
    world, claim = sent(NEITHER)
    world.start(claim)
    after = resolved(world, claim, finding)
    assert after.status == end
    check(world)
    if finding == "resume":
        assert world.start(claim).attempt is None, "it could still pay twice"
        assert world.claim(claim.claim_id).needs_review


def test_what_comes_later_settles_it_too() -> None:
    world, claim = sent(NEITHER)
    world.start(claim)
    done = world.notice(claim, "settled")
    assert (done.status, done.needs_review) == ("released", False)
    check(world)


def test_a_rail_that_can_be_asked_is_asked() -> None:
    """The control."""
    world, claim = sent(ASKED)
    attempt = world.start(claim).attempt
    assert attempt is not None
    assert attempt.operation == "lookup"


def test_an_idempotent_call_is_the_way_to_ask() -> None:
    """Under the same reference, which has one effect."""
    provider, rail = AGAIN
    world = World()
    claim = world.opened(world.pay(rail=rail, provider=provider))
    first = world.start(claim).attempt
    assert first is not None
    world.report(claim, "unknown")
    world.later(seconds=31)
    again = world.start(claim).attempt
    assert again is not None
    assert (again.operation, again.reference) == ("refund", first.reference)
    check(world)


def test_an_accepted_one_may_be_silent_until_its_latest_arrival() -> None:
    """And for a day where a rail says that it is done at once."""
    world, claim = sent(NEITHER, "accepted")
    assert claim.resolved_at is not None
    assert claim.expected_by == claim.created_at
    until = claim.resolved_at + timedelta(days=1)
    assert world.start(claim).attempt is None
    waiting = world.claim(claim.claim_id)
    assert (waiting.needs_review, waiting.due_at) == (False, until)
    world.now = until - timedelta(seconds=1)
    world.start(claim)
    assert world.claim(claim.claim_id) == waiting
    world.now = until
    world.start(claim)
    assert world.claim(claim.claim_id).needs_review
    check(world)

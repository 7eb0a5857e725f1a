"""Who may decide a refund, and what a decision does: as a table, without a database."""

import pytest

from clawback.claims.decisions import ApproveRefund, RejectRefund
from clawback.claims.ending import Changed
from clawback.errors import Refused
from clawback.lanes.command import Decided
from clawback.lanes.records import Claim
from clawback.payments.model import SettleDue
from tests.model_checks import check
from tests.model_world import KEY, World

OTHER = "key:key_other"
ANA = "user:ana"


def approve(
    world: World,
    claim: Claim,
    actor: str = OTHER,
    principal: str | None = None,
    limit_e4: int | None = None,
) -> Claim | Refused:
    outcome = world.run(
        ApproveRefund(
            claim_id=claim.claim_id,
            note="looks right",
            actor=actor,
            principal=principal,
            max_claim_usd_e4=limit_e4,
        )
    )
    return outcome if isinstance(outcome, Refused) else world.claim(claim.claim_id)


def reject(
    world: World, claim: Claim, actor: str = OTHER, principal: str | None = None
) -> Claim | Refused:
    outcome = world.run(
        RejectRefund(claim_id=claim.claim_id, reason="no cause", actor=actor, principal=principal)
    )
    return outcome if isinstance(outcome, Refused) else world.claim(claim.claim_id)


def strict() -> World:
    """A book in which every refund needs a second principal."""
    return World(approval_threshold_usd_e4=0)


def told(outcome: Claim | Refused) -> str:
    return outcome.code if isinstance(outcome, Refused) else outcome.status


def test_a_frozen_refund_is_approved_at_once_and_is_due() -> None:
    world = strict()
    claim = world.opened(world.pay(), "10")
    assert claim.pending_reason == "awaiting_approval"
    done = approve(world, claim)
    assert isinstance(done, Claim)
    assert (done.status, done.version, done.due_at) == ("approved", 2, world.now)
    assert (done.approved_by, done.approved_at) == (OTHER, world.now)
    assert (done.payable_usd_e4, done.frozen_usd_e4) == (5_806, 0)
    last = world.notices[-1]
    assert (last.type, last.actor, last.movement, last.note) == (
        "claim.approved", OTHER, "resolve_approved", "looks right",
    )  # fmt: skip
    started = world.start(done)
    assert started.attempt is not None
    assert started.attempt.operation == "refund"
    check(world)


def test_an_approval_is_kept_until_the_money_comes() -> None:
    world = strict()
    card = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
    claim = world.opened(card)
    assert (claim.pending_reason, claim.missing_usd_e4) == ("awaiting_approval", 17_500)
    kept = approve(world, claim)
    assert isinstance(kept, Claim)
    assert (kept.status, kept.pending_reason, kept.approved_by) == (
        "pending", "awaiting_funds", OTHER,
    )  # fmt: skip
    entries = len(world.entries)
    again = approve(world, kept, "key:key_third")
    assert again == kept
    assert len(world.entries) == entries
    other = world.pay()
    world.later(hours=49)
    world.accepted(SettleDue(payment_id=other.payment_id))
    served = world.claim(claim.claim_id)
    assert (served.pending_reason, served.missing_usd_e4) == ("processing", 0)
    assert world.start(served).claim.status == "approved"
    assert world.claim(claim.claim_id).approved_by == OTHER
    check(world)


def test_without_a_threshold_an_approval_is_taken_too() -> None:
    world = World()
    claim = world.opened(world.pay(), "10")
    assert claim.pending_reason == "processing"
    assert told(approve(world, claim)) == "approved"
    check(world)


def test_rejecting_gives_everything_back() -> None:
    world = strict()
    payment = world.pay()
    claim = world.opened(payment, "10")
    done = reject(world, claim)
    assert isinstance(done, Claim)
    assert (done.status, done.resolution, done.frozen_usd_e4) == (
        "rejected", "rejected_by_approver", 0,
    )  # fmt: skip
    assert world.payment(payment.payment_id).remaining_minor == 86_118
    last = world.notices[-1]
    assert (last.type, last.movement, last.note) == (
        "claim.rejected", "resolve_rejected", "no cause",
    )  # fmt: skip
    check(world)


def test_a_rejected_refund_serves_those_that_wait() -> None:
    world = strict()
    card = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
    settled = world.pay()
    world.later(hours=49)
    world.accepted(SettleDue(payment_id=settled.payment_id))
    first = world.opened(settled, "861.18")
    second = world.opened(card)
    assert second.missing_usd_e4 == 17_500
    reject(world, first)
    assert world.claim(second.claim_id).missing_usd_e4 == 0
    check(world)


@pytest.mark.parametrize(
    ("asker", "actor", "principal", "code"),
    [
        (None, KEY, None, "self_approval"),
        (ANA, KEY, ANA, "self_approval"),
        (ANA, OTHER, ANA, "self_approval"),
        (ANA, ANA, ANA, "self_approval"),
        (ANA, OTHER, "user:ben", "approved"),
        (ANA, OTHER, None, "approved"),
        (None, OTHER, ANA, "approved"),
        (None, OTHER, None, "approved"),
    ],
)
def test_a_key_counts_as_its_owner(
    asker: str | None, actor: str, principal: str | None, code: str
) -> None:
    world = strict()
    claim = world.refund(world.pay(), "10", principal=asker)
    assert isinstance(claim, Claim)
    if code == "self_approval":
        assert told(reject(world, claim, actor, principal)) == "self_approval"
    assert told(approve(world, claim, actor, principal)) == code
    check(world)


def test_refusals_come_in_the_order_of_the_contract() -> None:
    world = strict()
    claim = world.opened(world.pay(), "10")
    assert told(approve(world, claim, KEY, limit_e4=1)) == "self_approval"
    refused = approve(world, claim, limit_e4=5_805)
    assert isinstance(refused, Refused)
    assert refused.code == "key_limit_exceeded"
    assert refused.details() is not None
    assert told(approve(world, claim, limit_e4=5_806)) == "approved"
    for decide in (approve, reject):
        assert told(decide(world, claim)) == "claim_transition_invalid"
        assert told(decide(world, claim, KEY)) == "claim_transition_invalid"


def test_what_waits_for_payer_details_or_is_too_late_is_not_approved() -> None:
    world = strict()
    oxxo = world.opened(world.pay(rail=("oxxo", "MX", "MXN")), "10")
    assert oxxo.pending_reason == "awaiting_payer_details"
    assert told(approve(world, oxxo)) == "claim_transition_invalid"
    spei = world.opened(world.pay(window_days=1), "10")
    world.later(days=1, seconds=1)
    assert told(approve(world, spei)) == "claim_transition_invalid"
    assert told(reject(world, oxxo)) == "rejected"
    check(world)


def test_what_the_caller_is_told_is_what_this_command_did() -> None:
    world = strict()
    claim = world.opened(world.pay(), "10")
    outcome = world.accepted(ApproveRefund(claim_id=claim.claim_id, note=None, actor=OTHER))
    assert isinstance(outcome, Decided)
    assert isinstance(outcome.response, Changed)
    assert [entry.type for entry in outcome.response.entries] == ["resolve_approved"]
    assert [notice.version for notice in outcome.response.notices] == [2]

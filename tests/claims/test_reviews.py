"""What two people find about a claim in review, as a table, without a database."""

import pytest

from clawback.claims.ending import CancelRefund
from clawback.claims.moves import TABLES
from clawback.claims.reviews import FINDINGS, Reviewed
from clawback.errors import Refused
from clawback.lanes.command import Decided
from clawback.lanes.records import Claim
from tests.claims.reviewing import (
    ANA,
    BEN,
    CELLS,
    approved_unsent,
    doubtful_notice,
    in_review,
    resolved,
    says,
)
from tests.model_checks import check
from tests.model_world import KEY, World


@pytest.mark.parametrize(("kind", "status", "finding", "end"), CELLS)
def test_every_state_in_review_can_be_resolved(
    kind: str, status: str, finding: str, end: str
) -> None:
    """By the moves of its table, whole books after it; only an inquiry is never found paid."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    claim = in_review(world, payment, kind, status)
    told = len(world.notices)
    if end == "refused":
        outcome = says(world, claim, finding)
        assert isinstance(outcome, Refused)
        assert outcome.code == "claim_transition_invalid"
        return
    after = resolved(world, claim, finding)
    check(world)
    assert (after.status, after.needs_review, after.review_reason) == (end, False, None)
    for notice in world.notices[told:]:
        subject = notice.subject
        if isinstance(subject, Claim) and notice.version is not None and subject.kind == kind:
            rows = [
                row
                for row in TABLES[kind]
                if (row.event, row.source, row.target)
                == (notice.type, notice.from_status, notice.to_status)
            ]
            assert any({"review", "provider"} & set(row.by) for row in rows), notice
    if after.is_open:
        assert after.due_at == world.now or after.pending_reason == "awaiting_evidence"


@pytest.mark.parametrize("finding", FINDINGS)
def test_an_approved_refund_that_was_never_sent_can_be_resolved(finding: str) -> None:
    world = World()
    claim = approved_unsent(world, world.pay())
    doubtful_notice(world, claim)
    assert world.claim(claim.claim_id).needs_review
    end = {"paid": "released", "not_paid": "failed", "resume": "approved"}[finding]
    assert resolved(world, claim, finding).status == end
    check(world)


def test_one_person_cannot_confirm_what_they_proposed() -> None:
    """Neither under the same name, nor with another key of theirs."""
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "approved")
    entries = len(world.entries)
    assert isinstance(says(world, claim, "paid", "key:key_a", ANA), Decided)
    for actor, principal in (("key:key_a", ANA), ("key:key_b", ANA), (ANA, None)):
        outcome = says(world, claim, "paid", actor, principal)
        assert isinstance(outcome, Refused)
        assert outcome.code == "self_approval"
    assert (len(world.entries), world.claim(claim.claim_id)) == (entries, claim)
    assert isinstance(says(world, claim, "paid", BEN), Decided)
    assert world.claim(claim.claim_id).status == "released"
    check(world)


def test_two_who_disagree_change_nothing_until_one_gives_way() -> None:
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "approved")
    says(world, claim, "paid", ANA)
    says(world, claim, "not_paid", BEN)
    assert world.claim(claim.claim_id) == claim
    says(world, claim, "not_paid", ANA, reason="they were right")
    after = world.claim(claim.claim_id)
    assert (after.status, after.resolution) == ("failed", "declined_by_provider")
    check(world)


def test_what_was_given_up_cannot_be_confirmed() -> None:
    """The newest word of a principal is the one that holds."""
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "approved")
    says(world, claim, "paid", ANA)
    says(world, claim, "resume", ANA)
    says(world, claim, "paid", BEN)
    assert world.claim(claim.claim_id) == claim


def test_a_proposal_ends_when_more_is_told() -> None:
    """Nobody confirms what was found before the newest fact was known."""
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "approved")
    says(world, claim, "not_paid", ANA)
    doubtful_notice(world, claim)
    outcome = says(world, claim, "not_paid", BEN)
    assert isinstance(outcome, Decided)
    assert isinstance(outcome.response, Reviewed)
    assert outcome.response.outdated == (ANA,)
    assert world.claim(claim.claim_id).status == "approved"
    says(world, claim, "not_paid", ANA)
    assert world.claim(claim.claim_id).status == "failed"
    check(world)


def test_a_claim_that_is_not_in_review_has_nothing_to_resolve() -> None:
    world = World()
    claim = world.opened(world.pay(), "10")
    outcome = says(world, claim, "resume")
    assert isinstance(outcome, Refused)
    assert outcome.code == "claim_transition_invalid"


def test_a_resumed_refund_is_asked_about_before_it_is_sent() -> None:
    """Whether it had been sent or not: the provider spoke of it."""
    for status in ("pending", "approved"):
        world = World()
        claim = in_review(world, world.pay(), "user_dispute", status)
        resolved(world, claim, "resume")
        world.later(seconds=60)
        started = world.start(claim)
        assert started.attempt is not None
        assert started.attempt.operation == "lookup"
        world.report(claim, "absent")
        again = world.start(claim).attempt
        assert again is not None
        assert again.operation == "refund"
        world.report(claim, "settled")
        assert world.claim(claim.claim_id).status == "released"
        check(world)


@pytest.mark.parametrize("status", ["canceled", "rejected"])
def test_money_that_left_for_a_withdrawn_refund_is_another_refund(status: str) -> None:
    """Made outside: recorded, never refused; taken back if it is found not to have left."""
    world = World()
    payment = world.pay()
    claim = in_review(world, payment, "user_dispute", status)
    after = resolved(world, claim, "paid")
    made = world.claim(after.related_claim_id)  # type: ignore[arg-type]  # there is one
    assert (after.status, made.status, made.kind) == (status, "released", "user_dispute")
    assert (made.amount_minor, made.related_claim_id) == (claim.amount_minor, claim.claim_id)
    assert made.provider_reference == "sbx_re_1"
    assert world.payment(payment.payment_id).refunded_minor == claim.amount_minor
    for finding, end in (("paid", "released"), ("not_paid", "reversed"), ("paid", "released")):
        doubtful_notice(world, after)
        resolved(world, after, finding)
        assert world.claim(made.claim_id).status == end
        check(world)
    assert len(world.claims) == 2


def test_what_was_found_outlasts_what_it_settled_and_yields_to_what_comes_later() -> None:
    """An old word, told again under another name, changes nothing; a new one does."""
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "approved")
    old = world.now
    world.later(hours=1)
    assert resolved(world, claim, "not_paid").status == "failed"
    now, world.now = world.now, old
    doubtful_notice(world, world.claim(claim.claim_id))
    world.now = now
    assert (world.claim(claim.claim_id).status, world.claim(claim.claim_id).needs_review) == (
        "failed", False,
    )  # fmt: skip
    world.later(days=1)
    assert world.notice(claim, "settled").status == "released"
    check(world)


@pytest.mark.parametrize("kind", ["chargeback", "med"])
def test_a_network_may_still_decide_otherwise(kind: str) -> None:
    """What was found is one word of the case: a stronger one of the network's holds."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    claim = in_review(world, payment, kind, "pending")
    assert resolved(world, claim, "not_paid").status == "rejected"
    case = claim.provider_reference or ""
    world.dispute(payment, "opened", kind, case=case)
    assert world.claim(claim.claim_id).status == "rejected", "a weaker one changes nothing"
    world.dispute(payment, "lost", kind, case=case)
    assert world.claim(claim.claim_id).status == "released"
    world.later(seconds=1)
    world.dispute(payment, "escalated", kind, case=case, event="again")
    assert world.claim(claim.claim_id).needs_review, "a doubt that came later is another"
    check(world)


def test_withdrawing_a_refund_in_review_does_not_hide_it() -> None:
    """The provider said that it was paid: a merchant's cancel settles nothing."""
    world = World()
    claim = in_review(world, world.pay(), "user_dispute", "pending")
    world.accepted(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    after = world.claim(claim.claim_id)
    assert (after.status, after.needs_review) == ("canceled", True)
    check(world)


def test_nothing_automatic_happens_in_review() -> None:
    """No attempt, no deadline, and a top-up does not make it due."""
    world = World()
    card = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
    claim = world.opened(card)
    doubtful_notice(world, claim)
    other = world.pay()
    world.later(hours=49)
    world.settle(other)
    topped = world.claim(claim.claim_id)
    assert (topped.missing_usd_e4, topped.due_at, topped.needs_review) == (0, None, True)
    world.later(days=365)
    assert world.start(claim).attempt is None
    assert world.claim(claim.claim_id).status == "pending"
    check(world)

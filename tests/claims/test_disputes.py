"""What networks say of their cases, folded without a database."""

import msgspec
import pytest

from clawback.errors import Refused
from clawback.providers.port import DisputeKind
from tests.model_checks import check
from tests.model_world import World


def entry_types(world: World) -> list[str]:
    """All entries so far, but the capture."""
    return [entry.type for entry in world.entries if entry.type != "capture"]


def test_a_chargeback_opens_freezes_and_pays_its_fee() -> None:
    """Row 2: the whole payment frozen from its pending part, the fee becomes debt."""
    world = World()
    payment = world.pay()
    claim = world.touched(payment, "opened")
    assert (claim.status, claim.pending_reason) == ("pending", "awaiting_evidence")
    assert (claim.frozen_usd_e4, claim.forced_share_minor) == (500_000, 86_118)
    assert entry_types(world) == ["freeze", "dispute_fee"]
    assert world.balance("debt") == -150_000
    after = world.payment(payment.payment_id)
    assert (after.remaining_minor, after.open_dispute_id) == (0, claim.claim_id)
    check(world)


@pytest.mark.parametrize("kind", ["chargeback", "med"])
def test_a_lost_case_is_approved_and_released_in_one_commit(kind: DisputeKind) -> None:
    """Rows 7 and 8: money gone, payment `chargeback`."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    world.dispute(payment, "opened", kind)
    claim = world.touched(payment, "lost", kind)
    assert (claim.status, claim.resolution, claim.version) == ("released", "lost", 3)
    assert entry_types(world) == ["freeze", "resolve_approved", "release"]
    assert world.payment(payment.payment_id).status == "chargeback"
    assert world.state.head.returned_usd_e4 == 500_000
    check(world)


def test_a_part_granted_gives_the_rest_back() -> None:
    """`partially_lost`: worth by V, the part not granted where it came from."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    world.dispute(payment, "opened")
    claim = world.touched(payment, "lost", amount_minor=1_000)
    assert (claim.resolution, claim.released_minor, claim.released_usd_e4) == (
        "partially_lost",
        1_000,
        5_806,
    )
    assert entry_types(world) == ["freeze", "resolve_rejected", "resolve_approved", "release"]
    after = world.payment(payment.payment_id)
    assert (after.remaining_minor, after.charged_back_minor, after.status) == (
        85_118,
        1_000,
        "completed",
    )
    assert world.balance("pending") == 494_194
    rest = world.opened(payment, "851.18")
    assert rest.amount_usd_e4 == 494_194
    check(world)


def test_a_chargeback_above_the_cap_is_excess_and_loss() -> None:
    """A refund was released before: what does not fit is loss, what is not there is debt."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    world.released(payment, "100")
    claim = world.touched(payment, "opened")
    assert (claim.excess_minor, claim.missing_usd_e4) == (10_000, 0)
    assert [n.type for n in world.notices].count("claim.excess_recorded") == 1
    claim = world.touched(payment, "lost")
    assert world.balance("loss") == -claim.excess_usd_e4 != 0
    assert world.balance("debt") == 0
    check(world)


def test_a_case_lost_without_funds_is_debt_that_later_credits_pay() -> None:
    """Never refused for lack of funds; `debt` is paid down before anything is available."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay(fee=(29_000, 3_000))
    claim = world.touched(payment, "opened")
    assert claim.missing_usd_e4 == 17_500
    claim = world.touched(payment, "lost")
    assert world.balance("debt") == -17_500
    other = world.pay()
    world.later(hours=48)
    world.settle(other)
    assert (world.balance("debt"), world.balance("available")) == (0, 482_500)
    check(world)


def test_opening_cancels_unsent_refunds_and_refuses_new_ones() -> None:
    """Nobody is paid twice while it can be helped."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    refund = world.opened(payment, "100")
    claim = world.touched(payment, "opened")
    refund = world.claim(refund.claim_id)
    assert (refund.status, refund.resolution) == ("canceled", "superseded_by_dispute")
    assert claim.excess_minor == 0
    refused = world.refund(payment, "1")
    assert isinstance(refused, Refused)
    assert refused.code == "payment_disputed"
    assert refused.details() == {
        "claimId": claim.claim_id,
        "kind": "chargeback",
        "status": "pending",
        "minimumAmount": None,
    }
    check(world)


def test_a_refund_that_covers_an_inquiry_ends_it() -> None:
    """What the inquiry froze serves the refund; less than its amount is refused."""
    world = World()
    payment = world.pay()
    inquiry = world.touched(payment, "opened", "inquiry", amount_minor=50_000)
    assert world.payment(payment.payment_id).remaining_minor == 86_118
    refused = world.refund(payment, "100")
    assert isinstance(refused, Refused)
    assert (refused.code, refused.details()) == (
        "payment_disputed",
        {
            "claimId": inquiry.claim_id,
            "kind": "inquiry",
            "status": "pending",
            "minimumAmount": msgspec.Raw(b"500"),
        },
    )
    refund = world.opened(payment, "500")
    inquiry = world.claim(inquiry.claim_id)
    assert (inquiry.status, inquiry.resolution) == ("canceled", "refunded_instead")
    assert (inquiry.related_claim_id, refund.related_claim_id) == (
        refund.claim_id,
        inquiry.claim_id,
    )
    assert refund.missing_usd_e4 == 0
    check(world)


def test_an_escalation_is_one_commit() -> None:
    """The inquiry is canceled, its chargeback opened, and the two name each other."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    inquiry = world.touched(payment, "opened", "inquiry", case="inq")
    claim = world.touched(payment, "escalated", "inquiry", case="inq", next_case="cb")
    inquiry = world.claim(inquiry.claim_id)
    assert (claim.kind, claim.provider_reference, claim.status) == ("chargeback", "cb", "pending")
    assert (inquiry.status, inquiry.resolution) == ("canceled", "escalated")
    assert (inquiry.related_claim_id, claim.related_claim_id) == (
        claim.claim_id,
        inquiry.claim_id,
    )
    assert world.payment(payment.payment_id).open_dispute_id == claim.claim_id
    check(world)


def test_won_then_reopened_then_lost() -> None:
    """Another round freezes anew; each turn posts, none edits."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    world.dispute(payment, "opened")
    claim = world.touched(payment, "won")
    assert (claim.status, claim.resolution) == ("rejected", "won")
    assert world.balance("pending") == 500_000
    claim = world.touched(payment, "reopened", round=2)
    assert (claim.status, claim.round, claim.frozen_usd_e4) == ("pending", 2, 500_000)
    claim = world.touched(payment, "lost", round=2)
    assert claim.status == "released"
    claim = world.touched(payment, "reversed", round=2)
    assert (claim.status, claim.resolution) == ("reversed", "won_back")
    assert world.balance("available") == 500_000
    assert world.payment(payment.payment_id).status == "completed"
    check(world)

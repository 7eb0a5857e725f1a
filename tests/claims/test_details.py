"""Payer details decided without a database: who may give them, when, and what they do."""

from clawback.claims.decisions import ApproveRefund
from clawback.claims.details import PAYER, GivePayerDetails, PayerDetailsInvalid, masked
from clawback.claims.payees import Fault
from clawback.errors import Refused
from clawback.lanes.records import Claim
from tests.model_checks import check
from tests.model_world import KEY, World

FIELDS = {"rail": "spei", "holderName": "Payer Name", "account": "999180000000100177"}
OXXO = ("oxxo", "MX", "MXN")


def give(
    world: World,
    claim: Claim,
    actor: str = KEY,
    rail: str = "spei",
    faults: tuple[Fault, ...] = (),
    **fields: str,
) -> Claim | Refused:
    outcome = world.run(
        GivePayerDetails(
            claim_id=claim.claim_id,
            rail=rail,
            fields=masked({**FIELDS, **fields}),
            sealed="c2VhbGVk",
            faults=faults,
            actor=actor,
        )
    )
    return outcome if isinstance(outcome, Refused) else world.claim(claim.claim_id)


def waiting(world: World) -> Claim:
    claim = world.opened(world.pay(rail=OXXO), "10")
    assert claim.pending_reason == "awaiting_payer_details"
    return claim


def test_with_details_a_refund_goes_on() -> None:
    world = World()
    claim = waiting(world)
    done = give(world, claim, PAYER)
    assert isinstance(done, Claim)
    assert (done.pending_reason, done.due_at, done.version) == ("processing", world.now, 2)
    assert done.payer_details == {
        "rail": "spei", "holderName": "Payer Name", "account": "**************0177",
        "sealed": "c2VhbGVk",
    }  # fmt: skip
    last = world.notices[-1]
    assert (last.type, last.actor, last.note) == ("claim.updated", "payer", None)
    assert world.start(done).attempt is not None
    check(world)


def test_the_payer_gives_them_once_and_the_merchant_may_again() -> None:
    world = World(approval_threshold_usd_e4=0)
    claim = waiting(world)
    assert isinstance(give(world, claim, PAYER), Claim)
    again = give(world, claim, PAYER)
    assert isinstance(again, Refused)
    assert again.code == "claim_transition_invalid"
    assert isinstance(give(world, claim, KEY, holderName="Another"), Claim)


def test_new_details_clear_a_recorded_approval() -> None:
    world = World(approval_threshold_usd_e4=0)
    settled = world.pay(rail=("card", "MX", "MXN"), fee=(29_000, 3_000))
    claim = world.opened(settled)
    world.accepted(ApproveRefund(claim_id=claim.claim_id, note=None, actor="key:other"))
    approved = world.claim(claim.claim_id)
    assert (approved.pending_reason, approved.approved_by) == ("awaiting_funds", "key:other")
    given = give(world, claim)
    assert isinstance(given, Claim)
    assert (given.approved_by, given.approved_at, given.approved_principal) == (None, None, None)
    assert given.pending_reason == "awaiting_approval"
    check(world)


def test_what_is_not_pending_takes_none() -> None:
    world = World()
    claim = waiting(world)
    give(world, claim)
    world.start(world.claim(claim.claim_id))
    refused = give(world, claim)
    assert isinstance(refused, Refused)
    assert refused.code == "claim_transition_invalid"


def test_after_the_last_moment_none_are_taken_and_the_refund_fails() -> None:
    world = World()
    claim = waiting(world)
    assert claim.payer_details_due_at is not None
    world.later(days=30)
    for actor in (PAYER, KEY):
        refused = give(world, claim, actor)
        assert isinstance(refused, Refused)
        assert refused.code == "claim_transition_invalid"
    assert world.start(claim).claim.resolution == "payer_details_expired"
    check(world)


def test_the_state_comes_before_the_details() -> None:
    world = World()
    claim = waiting(world)
    wrong = (Fault("account", "check_digit"),)
    refused = give(world, claim, faults=wrong)
    assert refused == PayerDetailsInvalid(faults=wrong)
    world.later(days=30)
    late = give(world, claim, faults=wrong)
    assert isinstance(late, Refused)
    assert late.code == "claim_transition_invalid"


def test_the_rail_is_that_of_the_payment_s_currency() -> None:
    world = World()
    refused = give(world, waiting(world), rail="pix")
    assert refused == PayerDetailsInvalid(faults=(Fault("rail", "rail"),))


def test_a_claim_may_ask_for_more_than_its_rail() -> None:
    world = World()
    claim = world.opened(world.pay(rail=("pse", "CO", "COP")))
    assert "documentId" in claim.payer_fields
    refused = give(world, claim, rail="bank_co", accountType="SAVINGS", bankCode="1007")
    assert refused == PayerDetailsInvalid(
        faults=(Fault("documentType", "required"), Fault("documentId", "required"))
    )


def test_what_is_masked() -> None:
    shown = dict(masked({"account": "1234567890", "documentId": "12", "holderName": "Name"}))
    assert shown == {"account": "******7890", "documentId": "*2", "holderName": "Name"}

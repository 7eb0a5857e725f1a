"""Claims in review, of every kind and in every status that can be, and what each finding makes."""

from typing import Final

import msgspec

from clawback.claims.decisions import ApproveRefund
from clawback.claims.fold import RecordNotice
from clawback.claims.reviews import FINDINGS, ResolveReview
from clawback.errors import Refused
from clawback.ids import ClaimId
from clawback.lanes.command import Decided
from clawback.lanes.records import Claim, Payment
from tests.claims.acting import OTHER, brought
from tests.model_world import World

ANA: Final = "user:ana"
BEN: Final = "user:ben"

ENDS: Final[dict[str, dict[str, tuple[str, str, str]]]] = {
    "user_dispute": {
        "pending": ("released", "pending", "pending"),
        "approved": ("released", "failed", "approved"),
        "released": ("released", "reversed", "released"),
        "rejected": ("rejected", "rejected", "rejected"),
        "canceled": ("canceled", "canceled", "canceled"),
        "failed": ("released", "failed", "failed"),
        "reversed": ("released", "reversed", "reversed"),
    },
    "inquiry": {
        "pending": ("refused", "rejected", "pending"),
        "rejected": ("refused", "rejected", "rejected"),
        "canceled": ("refused", "canceled", "canceled"),
    },
}
_FORCED: Final = {
    "pending": ("released", "rejected", "pending"),
    "approved": ("released", "rejected", "approved"),
    "released": ("released", "reversed", "released"),
    "rejected": ("released", "rejected", "rejected"),
    "canceled": ("released", "canceled", "canceled"),
    "reversed": ("released", "reversed", "reversed"),
}
ENDS["chargeback"] = ENDS["med"] = _FORCED
"""By kind and status in review: how it ends if it is found paid, not paid, or to be resumed."""

CELLS: Final = [
    (kind, status, finding, ends[place])
    for kind, rows in ENDS.items()
    for status, ends in rows.items()
    for place, finding in enumerate(FINDINGS)
]


def in_review(world: World, payment: Payment, kind: str, status: str) -> Claim:
    """A claim of this kind and status that people have to look at."""
    claim = brought(world, payment, kind, status)
    if kind == "user_dispute":
        doubtful_notice(world, claim)
    else:
        word = "lost" if kind == "inquiry" else "escalated"
        case = claim.provider_reference or ""
        world.dispute(payment, word, kind, case=case, amount_minor=claim.amount_minor)
    found = world.claim(claim.claim_id)
    assert (found.status, found.needs_review) == (status, True), found
    return found


def doubtful_notice(world: World, claim: Claim) -> None:
    """Another amount, of a refund that was sent; one that was not is spoken of as if it were."""
    world.later(seconds=1)
    word = "returned" if claim.status == "released" else "settled"
    name = f"doubt_{len(world.state.facts)}"
    told = world.said(claim, word)
    if claim.attempts:
        told = msgspec.structs.replace(told, amount_minor=claim.amount_minor - 1)
    fact = world.fact(name, f"refund.{word}", claim.claim_id)
    world.accepted(
        RecordNotice(
            claim_id=claim.claim_id,
            fact=msgspec.structs.replace(
                fact, effective_at=world.now, provider_reference=told.provider_reference
            ),
            report=msgspec.structs.replace(told, at=world.now),
            actor="provider:sandbox",
        )
    )


def says(
    world: World,
    claim: Claim,
    finding: str,
    actor: str = ANA,
    principal: str | None = None,
    reason: str = "the bank's statement of 12 May",
) -> Refused | Decided:
    """A person says what was found."""
    number = (
        f"{len(world.entries):02d}{len(world.state.evidence.reviews.get(claim.claim_id, ())):02d}"
    )
    return world.run(
        ResolveReview(
            claim_id=claim.claim_id,
            review_id=f"rev_{claim.claim_id[-4:]}{number}",
            made_id=ClaimId(f"CLM-MP331G7R-M{len(world.claims):03d}"),
            finding=finding,
            reason=reason,
            actor=actor,
            principal=principal,
            real_now=world.now,
        )
    )


def resolved(world: World, claim: Claim, finding: str) -> Claim:
    """Two people find the same."""
    for who in (ANA, BEN):
        assert isinstance(says(world, claim, finding, who), Decided)
    return world.claim(claim.claim_id)


def approved_unsent(world: World, payment: Payment) -> Claim:
    """An approved refund that no attempt was made for."""
    claim = world.opened(payment, "100")
    world.accepted(ApproveRefund(claim_id=claim.claim_id, note=None, actor=OTHER))
    return world.claim(claim.claim_id)

"""Claims of every kind in every status, and everything that can be done to them, by name.

Used by the tests of the transition tables and of the pairs, which differ in what they expect.
"""

from collections.abc import Callable
from typing import Final

from clawback.claims.decisions import ApproveRefund, RejectRefund
from clawback.claims.ending import CancelRefund
from clawback.claims.evidence import AcceptDispute
from clawback.claims.fold import StartAttempt
from clawback.ids import ClaimId
from clawback.lanes.records import Claim, Payment
from tests.model_world import KEY, World

OTHER: Final = "user:second"


def brought(world: World, payment: Payment, kind: str, status: str) -> Claim:
    """A claim of this kind, brought to this status by the shortest way."""
    return (
        _refund(world, payment, status)
        if kind == "user_dispute"
        else _case(world, payment, kind, status)
    )


def _refund(world: World, payment: Payment, status: str) -> Claim:
    claim = world.opened(payment, "100")
    match status:
        case "rejected":
            world.accepted(RejectRefund(claim_id=claim.claim_id, reason="no", actor=OTHER))
        case "canceled":
            world.accepted(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
        case "approved" | "released" | "failed" | "reversed":
            world.start(claim)
            words = {"released": ["settled"], "failed": ["declined"]}
            words["reversed"] = ["settled", "returned"]
            for word in words.get(status, []):
                world.later(seconds=1)
                world.notice(claim, word)
        case _:
            assert status == "pending", status
    return world.claim(claim.claim_id)


def _case(world: World, payment: Payment, kind: str, status: str) -> Claim:
    claim = world.touched(payment, "opened", kind)
    if status == "approved":
        accept(world, claim)
    words = {
        "released": ("lost",),
        "rejected": ("won",),
        "canceled": ("withdrawn",),
        "reversed": ("lost", "reversed"),
    }
    for word in words.get(status, ()):
        world.dispute(payment, word, kind)
    return world.claim(claim.claim_id)


def accept(world: World, claim: Claim) -> None:
    """The merchant gives in, if that is allowed."""
    refund_id = ClaimId(f"CLM-MP331G7R-A{len(world.claims):03d}")
    world.run(AcceptDispute(claim_id=claim.claim_id, refund_id=refund_id, actor=KEY))


def _said(word: str, round_: int = 1) -> Callable[[World, Payment, Claim], None]:
    def say(world: World, payment: Payment, claim: Claim) -> None:
        if claim.kind != "user_dispute":
            kind, case = claim.kind, claim.provider_reference or ""
            world.dispute(payment, word, kind, case=case, round=round_, next_case="next")

    return say


def _noticed(word: str) -> Callable[[World, Payment, Claim], None]:
    def say(world: World, _payment: Payment, claim: Claim) -> None:
        if claim.kind == "user_dispute" and claim.attempts:
            world.later(seconds=1)
            world.notice(claim, word)

    return say


def _started(world: World, _payment: Payment, claim: Claim) -> None:
    world.run(
        StartAttempt(
            claim_id=claim.claim_id,
            attempt_id=f"att_{len(world.entries)}",
            real_now=world.now,
            lease_seconds=30,
            actor="worker",
        )
    )


def _too_late(world: World, payment: Payment, claim: Claim) -> None:
    world.later(days=400)
    if claim.status == "pending" and claim.kind == "user_dispute":
        _due(world, claim)
        _started(world, payment, claim)


def _due(world: World, claim: Claim) -> None:
    """As if it had waited for something until now."""
    world.state.claims[claim.claim_id] = world.claim(claim.claim_id)


ACTIONS: Final[dict[str, Callable[[World, Payment, Claim], None]]] = {
    "cancel": lambda world, _, claim: _ignore(
        world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
    ),
    "approve": lambda world, _, claim: _ignore(
        world.run(ApproveRefund(claim_id=claim.claim_id, note=None, actor=OTHER))
    ),
    "reject": lambda world, _, claim: _ignore(
        world.run(RejectRefund(claim_id=claim.claim_id, reason="no", actor=OTHER))
    ),
    "accept": lambda world, _, claim: accept(world, claim),
    "deadline": _too_late,
    "settled": _noticed("settled"),
    "declined": _noticed("declined"),
    "returned": _noticed("returned"),
    "opened": _said("opened"),
    "won": _said("won"),
    "withdrawn": _said("withdrawn"),
    "escalated": _said("escalated"),
    "lost": _said("lost"),
    "reversed": _said("reversed"),
    "reopened": _said("reopened", 2),
}
"""What merchants, providers, networks and the clock can do to a claim."""


def _ignore(_outcome: object) -> None:
    """A refusal is an answer like another; what it changed is what counts."""

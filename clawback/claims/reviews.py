"""Claims in review: two people find what is true, with a reason each; that is a fact, and folded.

Pure. The first of them proposes, another principal that proposes the same confirms it; nobody can
confirm their own. A proposal holds for the claim as it stood: once anything else happened to it,
or more was told of it, it has to be made anew. What was found is a fact of source `review`, kept
with the others and folded like them, so that a later word from outside may still correct it.
"""

from datetime import datetime, timedelta
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, serve_waiting
from clawback.claims import turns
from clawback.claims.disputes import Opener, fold_case, keep
from clawback.claims.ending import Changed, changed, invalid_transition
from clawback.claims.fold import CAME_BACK, LEFT, Report, fold, latest
from clawback.claims.moves import (
    APPROVED,
    CANCELED,
    CHARGEBACK,
    INQUIRY,
    MED,
    PENDING,
    REFUND,
    REJECTED,
    RELEASED,
)
from clawback.claims.outside import record_outside
from clawback.claims.refusals import SelfApproval
from clawback.claims.standing import standing_of
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, Mint
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.evidence import Review
from clawback.lanes.records import Claim, Fact
from clawback.lanes.state import Draft
from clawback.providers import port

replace = msgspec.structs.replace

PAID, NOT_PAID, RESUME = "paid", "not_paid", "resume"
FINDINGS: Final = (PAID, NOT_PAID, RESUME)
"""All of its money left; none of it did, or it is back; nobody knows: ask again and go on."""

Left = tuple[Command, ...]


class ResolveReview(Command, frozen=True, kw_only=True):
    """Say what was found about a claim in review. `made_id` is for a refund that it may show.

    `via` tells where an operator sat.
    """

    claim_id: ClaimId
    review_id: str
    made_id: ClaimId
    finding: str
    reason: str
    actor: str
    real_now: datetime
    principal: str | None = None
    via: str | None = None

    @property
    def who(self) -> str:
        """The principal that says it."""
        return self.principal or self.actor

    def reads(self) -> Reads:
        """The claim, what was found and told of it; the rest is discovered."""
        return Reads(
            claims=(self.claim_id,),
            reviews_of=(self.claim_id,),
            facts_of=(self.claim_id,),
            accounts=FREEZE_ACCOUNTS,
        )

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, made_id=mint.claim(unix_ms))


class Reviewed(msgspec.Struct, frozen=True):
    """The claim, and what was proposed or confirmed; `outdated`: whose proposals hold no more."""

    changed: Changed
    review: Review
    outdated: tuple[str, ...]


def decide_resolve_review(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Propose, or confirm what another principal proposed and fold it.

    Refuses: NotFound, ClaimTransitionInvalid, SelfApproval.
    """
    assert isinstance(command, ResolveReview)
    assert command.finding in FINDINGS, command
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    pays_nothing = claim.kind == INQUIRY and command.finding == PAID
    if not claim.needs_review or pays_nothing:
        return invalid_transition(claim)
    heard = len(draft.facts_about(_subject(claim)))
    made = [one for one in draft.evidence.reviews_of(claim.claim_id) if one.confirmed_at is None]
    holds = [one for one in made if (one.claim_version, one.facts) == (claim.version, heard)]
    newest = {one.proposer: one for one in holds if one.finding in FINDINGS}
    same = [one for who, one in newest.items() if one.finding == command.finding]
    rival = next((one for one in same if one.proposer != command.who), None)
    left: Left = ()
    if rival is not None:
        review = _confirmed(draft, rival, command, now)
        claim, left = _folded(draft, claim, review, command)
    elif same:
        return SelfApproval()
    else:
        review = _proposed(draft, claim, command, heard, now)
    outdated = tuple(dict.fromkeys(one.proposer for one in made if one not in holds))
    response = Reviewed(changed(draft, claim), review, outdated)
    left = left or (serve_waiting(draft, payment_id=claim.payment_id) if rival else ())
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def _subject(claim: Claim) -> str:
    """What the facts of a claim lie with: those of a network's cases lie with the payment."""
    return claim.claim_id if claim.kind == REFUND else claim.payment_id


def _proposed(
    draft: Draft, claim: Claim, command: ResolveReview, heard: int, now: datetime
) -> Review:
    _note(draft, command, "proposed")
    return draft.evidence.put_review(
        Review(
            claim_id=claim.claim_id,
            review_id=command.review_id,
            book_id=claim.book_id,
            finding=command.finding,
            reason=command.reason,
            claim_version=claim.version,
            facts=heard,
            proposed_by=command.actor,
            proposed_principal=command.principal,
            proposed_at=now,
        )
    )


def _confirmed(draft: Draft, review: Review, command: ResolveReview, now: datetime) -> Review:
    _note(draft, command, "confirmed")
    return draft.evidence.put_review(
        replace(
            review,
            confirmed_by=command.actor,
            confirmed_principal=command.principal,
            confirmed_reason=command.reason,
            confirmed_at=now,
        )
    )


def _note(draft: Draft, command: ResolveReview, step: str) -> None:
    draft.evidence.act(
        f"review_{command.finding}_{step}",
        command.claim_id,
        actor=command.actor,
        principal=command.principal,
        note=command.reason,
        via=command.via,
    )


def _folded(
    draft: Draft, claim: Claim, review: Review, command: ResolveReview
) -> tuple[Claim, Left]:
    """The claim after what was found; whatever that was, it is in review no more."""
    said = f"found by {review.proposer} and {command.who}: {review.reason}"[:500]
    if claim.kind == REFUND:
        claim, left = _refund(draft, claim, review, command, said)
    else:
        claim, left = _case(draft, claim, review, command, said), ()
    if claim.needs_review:
        claim = turns.resume(draft, claim, command.actor, said)
    return claim, left


# Refunds


def _refund(
    draft: Draft, claim: Claim, review: Review, command: ResolveReview, said: str
) -> tuple[Claim, Left]:
    """A refund. One that was withdrawn stays so: money that left all the same is another refund."""
    other = _shown_by(draft, claim)
    subject = other or claim
    is_new = claim.status in {CANCELED, REJECTED} and other is None and review.finding == PAID
    at = _after_all(draft, subject)
    told = Report(
        status="settled",
        provider_reference=_provider_reference(draft, claim),
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        at=at,
        reason=said,
    )
    object_id = command.made_id if is_new else subject.claim_id
    draft.put_fact(_fact(draft, claim, review, command, object_id, at))
    payment, actor, left = draft.known_payment(claim.payment_id), command.actor, Left()
    if is_new:
        made = record_outside(draft, payment, command.made_id, told, actor, claim.reason)
        draft.put_claim(replace(made, related_claim_id=made.related_claim_id or claim.claim_id))
        claim = draft.put_claim(replace(claim, related_claim_id=made.claim_id))
    elif review.finding == PAID and subject.status == PENDING:
        approved = turns.approve(draft, subject, 7, subject.amount_minor, actor, said)
        turns.release(draft, approved, "refunded", actor, said)
    elif review.finding == PAID:
        _, left = fold(draft, subject, told, actor)
    elif review.finding == NOT_PAID and subject.status in {APPROVED, RELEASED}:
        word = "declined" if subject.status == APPROVED else "returned"
        _, left = fold(draft, subject, replace(told, status=word), actor)
    return draft.claim(claim.claim_id) or claim, left


def _shown_by(draft: Draft, claim: Claim) -> Claim | None:
    """The refund that an earlier review of a withdrawn one has shown, if there is one."""
    if claim.status not in {CANCELED, REJECTED} or claim.related_claim_id is None:
        return None
    other = draft.claim(claim.related_claim_id)
    is_it = other is not None and other.kind == REFUND and other.created_at > claim.created_at
    return other if is_it else None


def _after_all(draft: Draft, claim: Claim) -> datetime:
    """Now, but later than all that was proved before: people knew of it when they found this."""
    known = (latest(draft, claim, LEFT), latest(draft, claim, CAME_BACK))
    instant = timedelta(microseconds=1)
    return max((draft.now, *(at + instant for at in known if at is not None)))


def _provider_reference(draft: Draft, claim: Claim) -> str | None:
    """The provider's own name for the refund, as it was last told."""
    told = [one.provider_reference for one in draft.facts_about(claim.claim_id)]
    return next((one for one in reversed(told) if one is not None), claim.provider_reference)


def _fact(
    draft: Draft,
    claim: Claim,
    review: Review,
    command: ResolveReview,
    object_id: str,
    at: datetime,
) -> Fact:
    return Fact(
        fact_id=f"fct_{review.review_id.removeprefix('rev_')}",
        book_id=claim.book_id,
        provider=claim.provider,
        provider_account=claim.provider_account,
        source="review",
        event_key=review.review_id,
        type=f"review.{review.finding}",
        reference=port.refund_reference(
            claim.claim_id, draft.book.home_of(claim.claim_id), claim.generation
        ),
        object_id=object_id,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        reason=review.reason,
        effective_at=at,
        received_at=command.real_now,
        applied_at=draft.now,
    )


# Cases of networks


def _case(draft: Draft, claim: Claim, review: Review, command: ResolveReview, said: str) -> Claim:
    """What was found as a word of the case, which settles the doubts that were there before it."""
    payment = draft.known_payment(claim.payment_id)
    word, round_ = _word(draft, claim, review.finding)
    notice = port.DisputeNotice(
        id=review.review_id,
        case=claim.provider_reference or "",
        kind=_KINDS[claim.kind],
        charge_reference=port.charge_reference(
            claim.payment_id, draft.book.home_of(claim.payment_id)
        ),
        status=word or "opened",
        round=round_,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        reason=said,
        at=draft.now,
    )
    heard = [one.received_at for one in draft.facts_about(claim.payment_id)]
    fact = _fact(draft, claim, review, command, claim.payment_id, draft.now)
    # It settles what had been heard when it was made: what is on its way now is another doubt.
    fact = replace(fact, received_at=max(heard, default=command.real_now))
    keep(draft, payment, notice, fact)
    if word is None:
        return claim
    opener = Opener(command.made_id, command.actor, fact.fact_id)
    return fold_case(draft, payment, notice, opener) or claim


def _word(draft: Draft, claim: Claim, finding: str) -> tuple[port.DisputeStatus | None, int]:
    """The network's word that says this, and its round; None if all stands as it should."""
    stands = standing_of(draft, claim)
    round_ = claim.round if stands is None else stands.notice.round
    if finding == PAID and claim.status != RELEASED:
        is_back = stands is not None and stands.notice.status == "reversed"
        return "lost", round_ + is_back
    if finding == NOT_PAID and claim.status == RELEASED:
        return "reversed", round_
    if finding == NOT_PAID and claim.is_open:
        return "won", round_
    return None, round_


_KINDS: Final[dict[str, port.DisputeKind]] = {
    INQUIRY: "inquiry",
    CHARGEBACK: "chargeback",
    MED: "med",
}

DECIDE: Final[dict[type, Decide]] = {ResolveReview: decide_resolve_review}

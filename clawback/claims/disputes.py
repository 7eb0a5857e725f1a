"""What a network says of a case: stored as a fact, then folded into its claim.

Pure. The claim is brought to where the case stands by the moves of its table, each of them if
several: what comes late or twice finds the claim there already, or implies what has not been said
yet. A claim of a network's is never refused, neither for funds nor for the cap; only what can
belong to no claim (an uncaptured payment, another currency, a verdict on a case whose demand is
not known yet) waits among the facts until more is said.
"""

import zlib
from datetime import datetime
from typing import Final, Self

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, serve_waiting
from clawback.claims import turns
from clawback.claims.ending import Changed, changed, ended
from clawback.claims.moves import (
    APPROVED,
    CANCELED,
    CHARGEBACK,
    FORCED,
    OPEN,
    PENDING,
    REFUND,
    REJECTED,
    RELEASED,
    REVERSED,
)
from clawback.claims.standing import (
    OUTCOME,
    Standing,
    chargeback_of,
    demanded,
    read_notice,
    standing,
    told_of,
    told_text,
)
from clawback.clock import milliseconds
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, Mint, PaymentId, base36
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Fact, Payment
from clawback.lanes.state import Draft
from clawback.payments.model import FoldEarly
from clawback.providers import port

replace = msgspec.structs.replace

OWN_END: Final = "refunded_instead"
"""The one end of an inquiry that is the merchant's act and not the network's word."""


class RecordDispute(Command, frozen=True, kw_only=True):
    """A network's fact about a case; stored, then folded; a repeat changes nothing.

    `claim_id` is for the claim that it may open, the chargeback of an escalation too. The
    response is `Changed` of the claim it touched, or None if it can belong to none yet.
    """

    payment_id: PaymentId
    claim_id: ClaimId
    notice: port.DisputeNotice
    fact: Fact
    actor: str

    def reads(self) -> Reads:
        """The payment with all its claims and facts."""
        return Reads(
            payments=(self.payment_id,),
            claims_of=(self.payment_id,),
            facts_of=(self.payment_id,),
            accounts=FREEZE_ACCOUNTS,
        )

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, claim_id=mint.claim(unix_ms))


class Opener(msgspec.Struct, frozen=True):
    """Who speaks, the name of the claim that it may open, and of the fact that is new."""

    claim_id: ClaimId
    actor: str
    fact_id: str | None = None


def decide_record_dispute(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - the draft's own
) -> Refused | Decided:
    """Store the fact once and fold the case. Refuses: NotFound, for the payment."""
    assert isinstance(command, RecordDispute)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    notice = command.notice
    if draft.has_fact(payment.payment_id, command.fact.event_key):
        known = find_case(draft, payment.payment_id, notice.kind, notice.case)
        return Decided(response=None if known is None else Changed(known, (), ()))
    keep(draft, payment, notice, command.fact)
    opener = Opener(command.claim_id, command.actor, command.fact.fact_id)
    claim = fold_case(draft, payment, notice, opener)
    if claim is None:
        return Decided()
    response = changed(draft, claim)
    left = serve_waiting(draft, payment_id=payment.payment_id)
    return Decided(response=response, object_id=claim.claim_id, follow_up=left)


def keep(draft: Draft, payment: Payment, notice: port.DisputeNotice, fact: Fact) -> None:
    """Store what was said, whole. All facts of a payment's cases lie with the payment."""
    draft.put_fact(
        replace(
            fact,
            book_id=payment.book_id,
            object_id=payment.payment_id,
            type=fact.type if fact.source == "review" else f"dispute.{notice.status}",
            reference=notice.charge_reference,
            amount_minor=notice.amount_minor,
            currency=notice.currency,
            provider_reference=notice.case,
            rail_reference=notice.rail_reference,
            reason=notice.reason,
            effective_at=notice.at,
            applied_at=draft.now if payment.captured_minor else None,
            notice=told_text(notice),
        )
    )


def find_case(draft: Draft, payment_id: PaymentId, kind: str, case: str) -> Claim | None:
    """The claim of a case, or None."""
    for claim in draft.claims_of(payment_id):
        if (claim.kind, claim.provider_reference) == (kind, case):
            return claim
    return None


def fold_case(
    draft: Draft, payment: Payment, notice: port.DisputeNotice, opener: Opener
) -> Claim | None:
    """Bring the claim of the case to where the case stands; None if there can be none yet."""
    if payment.captured_minor == 0:
        return None
    told = told_of(draft.facts_about(payment.payment_id), notice.kind, notice.case)
    claim = find_case(draft, payment.payment_id, notice.kind, notice.case)
    opening = None if claim is not None else demanded(told)
    if claim is None and (opening is None or opening.currency != payment.currency):
        return None
    amount_minor = opening.amount_minor if opening is not None else 0
    if claim is not None:
        amount_minor = claim.amount_minor
    found = standing(told, currency=payment.currency, amount_minor=amount_minor)
    if claim is not None and found is None:
        return turns.put_in_review(draft, claim, "what was said fits no demand", opener.actor)
    assert found is not None, "an opening is always valid"
    earlier = [one for one in told if one.fact.fact_id != opener.fact_id]
    before = standing(earlier, currency=payment.currency, amount_minor=amount_minor)
    if claim is not None and before is not None:
        found = replace(found, round_before=before.notice.round)
    elif opening is not None:
        found = replace(found, round_before=opening.round)
    if found.notice.status == "escalated":
        return _escalated(draft, payment, claim, opening, found, opener)
    if claim is None:
        assert opening is not None, notice
        claim = open_case(draft, payment, opening, opener.claim_id, opener.actor)
    return _brought(draft, claim, found, opener.actor)


def open_case(
    draft: Draft,
    payment: Payment,
    notice: port.DisputeNotice,
    claim_id: ClaimId,
    actor: str,
    related: ClaimId | None = None,
) -> Claim:
    """Row 2: always recorded. A chargeback or MED first cancels what has not been sent yet."""
    if notice.kind in FORCED:
        supersede(draft, payment.payment_id, actor)
    claim = Claim(
        claim_id=claim_id,
        book_id=payment.book_id,
        payment_id=payment.payment_id,
        shop_id=payment.shop_id,
        kind=notice.kind,
        status=PENDING,
        pending_reason=None,
        round=notice.round,
        amount_minor=notice.amount_minor,
        currency=payment.currency,
        amount_usd_e4=0,
        claimed_before_minor=0,
        claimed_before_usd_e4=0,
        reason=notice.reason,
        reason_code=notice.reason_code,
        requested_by=actor,
        provider=payment.provider,
        provider_account=payment.provider_account,
        provider_reference=notice.case,
        rail_reference=notice.rail_reference,
        related_claim_id=related,
        evidence_due_at=notice.evidence_due_at,
        created_at=draft.now,
        updated_at=draft.now,
    )
    return turns.open_claim(draft, claim, actor)


def supersede(draft: Draft, payment_id: PaymentId, actor: str) -> None:
    """Row 11 for all refunds of the payment that are not sent: nobody is paid twice."""
    for claim in draft.claims_of(payment_id):
        is_unsent = claim.status in OPEN and claim.attempts == 0
        if claim.kind == REFUND and is_unsent:
            ended(draft, claim, CANCELED, "superseded_by_dispute", actor)


def _brought(draft: Draft, claim: Claim, found: Standing, actor: str) -> Claim:
    """The claim, moved to where its case stands."""
    notice = found.notice
    target, resolution = OUTCOME[notice.status]
    if target == PENDING:
        claim = _another_round(draft, claim, found, actor)
    elif claim.resolution == OWN_END and not found.is_new_round:
        pass
    else:
        if found.is_new_round:
            claim = _another_round(draft, claim, found, actor)
        claim = _decided(draft, claim, notice, target, resolution or "", actor)
    claim = _with_words(draft, claim, notice)
    if found.doubt is not None:
        return turns.put_in_review(draft, claim, found.doubt, actor)
    if claim.needs_review:
        return turns.resume(draft, claim, actor)
    return claim


def _with_words(draft: Draft, claim: Claim, notice: port.DisputeNotice) -> Claim:
    """References appear without a version of their own."""
    rail_reference = notice.rail_reference or claim.rail_reference
    if rail_reference == claim.rail_reference:
        return claim
    return draft.put_claim(replace(claim, rail_reference=rail_reference))


def _another_round(draft: Draft, claim: Claim, found: Standing, actor: str) -> Claim:
    """Row 17, if the case is in another round; what must have ended the one before is implied."""
    notice = found.notice
    if claim.status in OPEN or claim.resolution == OWN_END:
        if not found.is_new_round:
            return claim
        if claim.status in OPEN:
            claim = ended(draft, claim, REJECTED, "won", actor, "implied by the next round")
    elif claim.status == RELEASED:
        claim = turns.reverse(draft, claim, actor, "implied by the next round")
    if claim.kind in FORCED:
        supersede(draft, claim.payment_id, actor)
    if notice.evidence_due_at is not None:
        claim = replace(claim, evidence_due_at=notice.evidence_due_at)
    return turns.reopen(draft, claim, actor, notice.round, notice.reason)


def _decided(
    draft: Draft,
    claim: Claim,
    notice: port.DisputeNotice,
    target: str,
    resolution: str,
    actor: str,
) -> Claim:
    """Rows 7, 8, 10, 12 and 15, with what each of them needs before it."""
    is_same = claim.resolution == resolution if target == CANCELED else True
    if target == RELEASED:
        is_same = claim.released_minor == notice.amount_minor
    if claim.status == target and is_same:
        return claim
    if target in {RELEASED, REVERSED}:
        if claim.status == target:  # of two grants the larger holds
            claim = turns.reverse(draft, claim, actor, "another amount was granted")
        claim = _lost(draft, claim, notice.amount_minor, actor, notice.reason)
        return turns.reverse(draft, claim, actor, notice.reason) if target == REVERSED else claim
    if claim.status in {RELEASED, REVERSED}:
        return claim
    if claim.status not in OPEN:
        claim = turns.reopen(draft, claim, actor, notice.round, notice.reason)
    return ended(draft, claim, target, resolution, actor, notice.reason)


def _lost(draft: Draft, claim: Claim, granted_minor: int, actor: str, note: str | None) -> Claim:
    """Decided for the payer: approved and released in this commit, whole or in part."""
    if claim.status == RELEASED:  # and reversed in the next step: what was granted stays so
        return claim
    if claim.status not in OPEN:
        supersede(draft, claim.payment_id, actor)
        claim = turns.reopen(draft, claim, actor, claim.round)
    is_accepted = claim.approved_by is not None
    if claim.status == APPROVED:
        claim = turns.grant_part(draft, claim, granted_minor, actor)
    else:
        claim = turns.approve(draft, claim, 7, granted_minor, actor)
    resolution = "accepted" if is_accepted else "lost"
    if granted_minor < claim.amount_minor:
        resolution = "partially_lost"
    return turns.release(draft, claim, resolution, actor, note)


def _escalated(
    draft: Draft,
    payment: Payment,
    inquiry: Claim | None,
    opening: port.DisputeNotice | None,
    found: Standing,
    opener: Opener,
) -> Claim:
    """Rows 12 and 2 in one commit: the inquiry becomes a chargeback, and the two name each other.

    An inquiry that nobody spoke of before is recorded once more is said of it.
    """
    fork = chargeback_of(found.notice)
    chargeback = find_case(draft, payment.payment_id, CHARGEBACK, fork.case)
    chargeback_id = opener.claim_id if chargeback is None else chargeback.claim_id
    if inquiry is None and chargeback is not None:
        assert opening is not None, "a case is known by its claim or by its demand"
        inquiry = open_case(draft, payment, opening, opener.claim_id, opener.actor)
    if inquiry is not None:
        if inquiry.related_claim_id is None:
            inquiry = draft.put_claim(replace(inquiry, related_claim_id=chargeback_id))
        inquiry = _brought(draft, inquiry, found, opener.actor)
    inquiry_id = None if inquiry is None else inquiry.claim_id
    if chargeback is None:
        payment = draft.known_payment(payment.payment_id)
        chargeback = open_case(draft, payment, fork, chargeback_id, opener.actor, inquiry_id)
        told = told_of(draft.facts_about(payment.payment_id), CHARGEBACK, fork.case)
        stands = standing(told, currency=payment.currency, amount_minor=fork.amount_minor)
        assert stands is not None, "its opening is always valid"
        chargeback = _brought(draft, chargeback, stands, opener.actor)
    elif chargeback.related_claim_id is None:
        known = draft.claim(chargeback.claim_id) or chargeback
        chargeback = draft.put_claim(replace(known, related_claim_id=inquiry_id))
    return chargeback


def decide_fold_early(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Fold the cases that were spoken of before the capture was known. Refuses: NotFound."""
    assert isinstance(command, FoldEarly)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    early = [fact.notice for fact in draft.facts_about(payment.payment_id)]
    notices = sorted(
        (read_notice(text) for text in early if text is not None), key=lambda one: one.at
    )
    for notice in notices:
        known = find_case(draft, payment.payment_id, notice.kind, notice.case)
        if known is None:
            claim_id = _derived_id(f"{notice.kind}:{notice.case}:{command.tries}", now)
            opener = Opener(claim_id, f"provider:{payment.provider}")
            fold_case(draft, draft.known_payment(payment.payment_id), notice, opener)
    return Decided(follow_up=serve_waiting(draft, payment_id=payment.payment_id))


def _derived_id(name: str, now: datetime) -> ClaimId:
    """A name for a claim that nobody could mint: this moment, and a digest of its case."""
    tail = base36(zlib.crc32(name.encode()) % 36**4, 4)
    return ClaimId(f"CLM-{base36(milliseconds(now), 8)}-{tail}")


DECIDE: Final[dict[type, Decide]] = {
    RecordDispute: decide_record_dispute,
    FoldEarly: decide_fold_early,
}

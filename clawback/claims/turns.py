"""The turns of a claim that move money: opened by a network, approved, released, and back again.

Pure. Every function is one row of the transition table: it posts what the row says, raises the
version by one and tells one event. When a row applies is decided elsewhere; what it does to the
payment's counters, the excess and the origin of the money is decided here (contract, 8.3, 9.2).
"""

from typing import Final

import msgspec

from clawback.balances.model import cause, freeze, give_back, queued
from clawback.claims.moves import (
    APPROVED,
    CHARGEBACK,
    FORCED,
    INQUIRY,
    NETWORK_MADE,
    PENDING,
    REFUND,
    RELEASED,
    REVERSED,
    move,
    opening,
)
from clawback.claims.shares import (
    counted_usd_e4,
    newest_dispute,
    relieve,
    share_of_next,
    worth_of_part,
)
from clawback.ids import ClaimId
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a
from clawback.ledger import entries
from clawback.payments.model import local_book_minor, tell_given_back

replace = msgspec.structs.replace

_SHOWN: Final = 500
UNPROVEN: Final = frozenset(
    {
        "canceled_by_merchant",
        "rejected_by_approver",
        "superseded_by_dispute",
        "refunded_instead",
    }
)
"""Ends that no word from outside brought about: a claim in review stays in it."""


def post(draft: Draft, claim: Claim, recipe: entries.Recipe, step: str) -> None:
    """Write one of the claim's entries under the one name that this step has in this round."""
    draft.post(recipe, cause(claim, step), payment_id=claim.payment_id, claim_id=claim.claim_id)


def open_claim(draft: Draft, claim: Claim, actor: str, *, earmarked: entries.Sources = ()) -> Claim:
    """Rows 1 and 2 of a claim that is never refused: shares, freeze, fee, excess announced.

    `claim` brings its names, amount and deadlines; its shares and its value are set here.
    """
    payment = draft.known_payment(claim.payment_id)
    claim = _counted(draft, payment, claim, is_new=True)
    claim = freeze(draft, claim, from_book=draft.head.waiting == 0, earmarked=earmarked)
    if claim.kind == CHARGEBACK:
        _charge_fee(draft, claim)
    claim = draft.put_claim(queued(claim, draft.now))
    row = opening(claim.kind)
    draft.tell(row.event, claim, actor=actor, movement=row.movement)
    return _announce_excess(draft, claim, actor)


def _counted(draft: Draft, payment: Payment, claim: Claim, *, is_new: bool) -> Claim:
    """The claim with its shares of the cap and its excess; a reopened one keeps its value."""
    share = share_of_next(payment, claim.amount_minor)
    if is_new:
        claim = replace(
            claim,
            claimed_before_minor=share.before_minor,
            claimed_before_usd_e4=share.before_usd_e4,
            amount_usd_e4=share.worth_usd_e4,
        )
        excess_e4 = share.excess_usd_e4
    else:
        fitting = claim.amount_minor - share.excess_minor
        excess_e4 = claim.amount_usd_e4 - worth_of_part(claim, payment, fitting)
    fits_minor = claim.amount_minor - share.excess_minor
    claimed, forced = 0, claim.amount_minor
    if claim.kind == REFUND:
        claimed, forced = fits_minor, share.excess_minor
    elif claim.kind == INQUIRY:
        forced = 0
    counted_e4 = 0 if claim.kind == INQUIRY else claim.amount_usd_e4
    is_disputed = claim.kind in NETWORK_MADE
    draft.put_payment(
        replace(
            payment,
            claimed_minor=payment.claimed_minor + claimed,
            forced_minor=payment.forced_minor + forced,
            claimed_usd_e4=payment.claimed_usd_e4 + counted_e4,
            refunds_used=payment.refunds_used + (claim.kind == REFUND),
            open_dispute_id=_newest(draft, payment, claim)
            if is_disputed
            else payment.open_dispute_id,
            updated_at=draft.now,
        )
    )
    return replace(
        claim,
        claimed_share_minor=claimed,
        forced_share_minor=forced,
        excess_minor=share.excess_minor,
        excess_usd_e4=excess_e4,
        missing_usd_e4=claim.amount_usd_e4 - excess_e4,
    )


def _newest(draft: Draft, payment: Payment, claim: Claim) -> ClaimId:
    """The newest open dispute, of which this claim is one."""
    other = newest_dispute(draft, payment.payment_id, claim.claim_id)
    rival = None if other is None else draft.claim(other)
    is_newer = rival is not None and (rival.created_at, rival.claim_id) > (
        claim.created_at,
        claim.claim_id,
    )
    return rival.claim_id if rival is not None and is_newer else claim.claim_id


def _charge_fee(draft: Draft, claim: Claim) -> None:
    """The book's fee of a chargeback, once a claim."""
    fee_e4 = draft.book.dispute_fee_usd_e4
    if fee_e4:
        post(draft, claim, entries.dispute_fee(fee_e4, draft.balance(a.AVAILABLE)), "dispute_fee")
        draft.set_head(dispute_fees_usd_e4=draft.head.dispute_fees_usd_e4 + fee_e4)


def _announce_excess(draft: Draft, claim: Claim, actor: str) -> Claim:
    """Tell, once, that a part of the claim does not fit under the cap."""
    if claim.excess_minor > 0 and not claim.excess_told:
        claim = draft.put_claim(replace(claim, excess_told=True))
        draft.tell(
            "claim.excess_recorded",
            claim,
            actor=actor,
            from_status=claim.status,
            is_notice=True,
        )
    return claim


def approve(
    draft: Draft, claim: Claim, number: int, granted_minor: int, actor: str, note: str | None = None
) -> Claim:
    """Rows 6 and 7: what is granted goes to `payable`, whether it is all frozen or not.

    A part not granted goes back; above the cap the merchant's loss, within it debt.
    """
    row = move(claim, number)
    before = draft.known_payment(claim.payment_id)
    fits_minor = min(granted_minor, claim.amount_minor - claim.excess_minor)
    worth = worth_of_part(claim, before, granted_minor)
    covered = min(worth, worth_of_part(claim, before, fits_minor))
    if claim.excess_minor == 0:
        covered = worth
    after = claim
    if claim.frozen_usd_e4 > covered:
        after = give_back(draft, claim, "resolve_rejected", claim.frozen_usd_e4 - covered)
    short = covered - after.frozen_usd_e4
    post(draft, claim, entries.excess(worth - covered, short), "excess")
    post(draft, claim, entries.resolve_approved(worth), row.movement or "")
    taken = ((a.DEBT, short), (a.LOSS, worth - covered))
    after = replace(
        after,
        status=APPROVED,
        version=claim.version + 1,
        frozen_usd_e4=0,
        missing_usd_e4=0,
        payable_usd_e4=worth,
        sources=after.sources + tuple(part for part in taken if part[1]),
        excess_minor=granted_minor - fits_minor,
        excess_usd_e4=worth - covered,
        provider_state=None,
        due_at=draft.now,
        updated_at=draft.now,
        resolved_at=draft.now,
    )
    after = _granted(draft, claim, after, granted_minor, actor)
    after = draft.put_claim(queued(after, draft.now))
    draft.tell(
        row.event, after, actor=actor, from_status=claim.status, movement=row.movement, note=note
    )
    return after


def _granted(draft: Draft, before: Claim, after: Claim, granted_minor: int, actor: str) -> Claim:
    """The claim counts with what was granted only; others may fit better now."""
    if before.kind not in FORCED or granted_minor == before.forced_share_minor:
        return after
    payment = draft.known_payment(before.payment_id)
    lowered = before.forced_share_minor - granted_minor
    draft.put_payment(
        replace(
            payment,
            forced_minor=payment.forced_minor - lowered,
            claimed_usd_e4=payment.claimed_usd_e4 - counted_usd_e4(before) + counted_usd_e4(after),
            updated_at=draft.now,
        )
    )
    after = draft.put_claim(replace(after, forced_share_minor=granted_minor))
    relieve(draft, payment, actor)
    return after


def grant_part(draft: Draft, claim: Claim, granted_minor: int, actor: str) -> Claim:
    """An approved claim of which a network grants a part only: the rest of `payable` goes back."""
    if granted_minor == claim.forced_share_minor:
        return claim
    payment = draft.known_payment(claim.payment_id)
    fits_minor = min(granted_minor, claim.amount_minor - claim.excess_minor)
    worth = worth_of_part(claim, payment, granted_minor)
    after = give_back(draft, claim, "resolve_rejected", claim.payable_usd_e4 - worth)
    after = replace(
        after,
        excess_minor=granted_minor - fits_minor,
        excess_usd_e4=worth - min(worth, worth_of_part(claim, payment, fits_minor)),
    )
    return _granted(draft, claim, after, granted_minor, actor)


def release(
    draft: Draft, claim: Claim, resolution: str, actor: str, note: str | None = None
) -> Claim:
    """Row 8: the money has left; the payment counts it as refunded or charged back."""
    row = move(claim, 8)
    payment = draft.known_payment(claim.payment_id)
    minor = claim.claimed_share_minor + claim.forced_share_minor
    local = entries.Local(claim.currency, local_book_minor(payment, minor), claim.provider)
    post(draft, claim, entries.release(claim.payable_usd_e4, local), "release")
    draft.set_head(returned_usd_e4=draft.head.returned_usd_e4 + claim.payable_usd_e4)
    after = draft.put_claim(
        replace(
            claim,
            status=RELEASED,
            pending_reason=None,
            resolution=resolution,
            version=claim.version + 1,
            released_minor=minor,
            released_usd_e4=claim.payable_usd_e4,
            payable_usd_e4=0,
            provider_state=None,
            needs_review=False,
            review_reason=None,
            due_at=None,
            updated_at=draft.now,
            released_at=draft.now,
        )
    )
    draft.tell(
        row.event,
        after,
        actor=actor,
        from_status=claim.status,
        movement=row.movement,
        note=None if note is None else note[:_SHOWN],
    )
    _tell_given_back(draft, after, minor, actor)
    return after


def _tell_given_back(draft: Draft, claim: Claim, minor: int, actor: str) -> None:
    """The payment gave `minor` more back (less, if negative), and one dispute may be over."""
    payment = draft.known_payment(claim.payment_id)
    if claim.kind == REFUND:
        given = replace(payment, refunded_minor=payment.refunded_minor + minor)
    else:
        given = replace(
            payment,
            charged_back_minor=payment.charged_back_minor + minor,
            open_dispute_id=newest_dispute(draft, payment.payment_id, claim.claim_id),
        )
    tell_given_back(draft, payment, replace(given, updated_at=draft.now), actor)


def reverse(draft: Draft, claim: Claim, actor: str, note: str | None = None) -> Claim:
    """Row 15: money that had left came back, and counts under the cap no more."""
    row = move(claim, 15)
    payment = draft.known_payment(claim.payment_id)
    minor = claim.released_minor
    local = entries.Local(claim.currency, local_book_minor(payment, minor), claim.provider)
    back = _returns_to(draft, claim)
    post(draft, claim, entries.reverse(claim.released_usd_e4, local, back), "reverse")
    draft.set_head(returned_usd_e4=draft.head.returned_usd_e4 - claim.released_usd_e4)
    counted_e4 = counted_usd_e4(claim)
    after = replace(claim, released_minor=0, released_usd_e4=0, sources=())
    resolution = "returned" if claim.kind == REFUND else "won_back"
    after = closed(draft, after, REVERSED, resolution, counted_e4=counted_e4)
    draft.tell(
        row.event,
        after,
        actor=actor,
        from_status=claim.status,
        movement=row.movement,
        note=None if note is None else note[:_SHOWN],
    )
    _tell_given_back(draft, after, -minor, actor)
    relieve(draft, payment, actor)
    return after


def _returns_to(draft: Draft, claim: Claim) -> entries.Sources:
    """Back to `loss` and `debt` as far as they gave, debt never above zero, else `available`."""
    gave: dict[str, int] = {}
    for source, part_e4 in claim.sources:
        gave[source] = gave.get(source, 0) + part_e4
    loss_e4 = gave.get(a.LOSS, 0)
    owed_e4 = min(gave.get(a.DEBT, 0), max(0, -draft.balance(a.DEBT)) if a.DEBT in gave else 0)
    rest_e4 = claim.released_usd_e4 - loss_e4 - owed_e4
    return ((a.LOSS, loss_e4), (a.DEBT, owed_e4), (a.AVAILABLE, rest_e4))


def closed(draft: Draft, claim: Claim, status: str, resolution: str, *, counted_e4: int) -> Claim:
    """The claim counts for nothing any more: its shares of the cap are taken back.

    `counted_e4`: what it had added to its payment's claimed USD.
    """
    payment = draft.known_payment(claim.payment_id)
    is_refund = claim.kind == REFUND
    disputed = payment.open_dispute_id
    if disputed == claim.claim_id:
        disputed = newest_dispute(draft, payment.payment_id, claim.claim_id)
    draft.put_payment(
        replace(
            payment,
            claimed_minor=payment.claimed_minor - claim.claimed_share_minor,
            forced_minor=payment.forced_minor - claim.forced_share_minor,
            claimed_usd_e4=payment.claimed_usd_e4 - counted_e4,
            refunds_used=payment.refunds_used - is_refund,
            open_dispute_id=disputed,
            updated_at=draft.now,
        )
    )
    return draft.put_claim(
        replace(
            claim,
            status=status,
            resolution=resolution,
            pending_reason=None,
            version=claim.version + 1,
            claimed_share_minor=0,
            forced_share_minor=0,
            missing_usd_e4=0,
            excess_minor=0,
            excess_usd_e4=0,
            needs_review=claim.needs_review and resolution in UNPROVEN,
            review_reason=claim.review_reason if resolution in UNPROVEN else None,
            provider_state=None,
            due_at=None,
            updated_at=draft.now,
            resolved_at=claim.resolved_at or draft.now,
        )
    )


def reopen(draft: Draft, claim: Claim, actor: str, round_: int, note: str | None = None) -> Claim:
    """Row 17: another round of a dispute; it freezes anew, or waits."""
    row = move(claim, 17)
    payment = draft.known_payment(claim.payment_id)
    fresh = replace(
        claim,
        status=PENDING,
        resolution=None,
        version=claim.version + 1,
        round=max(claim.round + 1, round_),
        sources=(),
        approved_by=None,
        approved_at=None,
        approved_principal=None,
        provider_state=None,
        evidence_submitted_at=None,
        resolved_at=None,
        released_at=None,
        due_at=None,
        updated_at=draft.now,
    )
    fresh = _counted(draft, payment, fresh, is_new=False)
    fresh = freeze(draft, fresh, from_book=draft.head.waiting == 0)
    fresh = draft.put_claim(queued(fresh, draft.now))
    draft.tell(
        row.event,
        fresh,
        actor=actor,
        from_status=claim.status,
        movement=row.movement,
        note=note,
    )
    return _announce_excess(draft, fresh, actor)


def reopen_paid(draft: Draft, claim: Claim, actor: str) -> Claim:
    """Row 16: a refund that had ended was paid after all; what is missing is booked as excess."""
    row = move(claim, 16)
    payment = draft.known_payment(claim.payment_id)
    fresh = replace(
        claim,
        round=claim.round + 1,
        status=PENDING,
        resolution=None,
        sources=(),
        released_at=None,
        resolved_at=None,
        due_at=None,
    )
    fresh = _counted(draft, payment, fresh, is_new=False)
    fresh = freeze(draft, fresh, from_book=draft.head.waiting == 0)
    short, worth = fresh.missing_usd_e4, fresh.amount_usd_e4
    post(draft, fresh, entries.excess(fresh.excess_usd_e4, short), "excess")
    post(draft, fresh, entries.resolve_approved(worth), "resolve_approved")
    taken = ((a.DEBT, short), (a.LOSS, fresh.excess_usd_e4))
    after = replace(
        fresh,
        status=APPROVED,
        version=claim.version + 1,
        frozen_usd_e4=0,
        missing_usd_e4=0,
        payable_usd_e4=worth,
        sources=fresh.sources + tuple(part for part in taken if part[1]),
        updated_at=draft.now,
        resolved_at=draft.now,
    )
    after = draft.put_claim(queued(after, draft.now))
    draft.tell(row.event, after, actor=actor, from_status=claim.status, movement=row.movement)
    return _announce_excess(draft, after, actor)


def put_in_review(draft: Draft, claim: Claim, reason: str, actor: str) -> Claim:
    """Facts contradict each other: no posting and no automatic step until a person settles it."""
    if claim.needs_review:
        return claim
    after = draft.put_claim(
        replace(
            claim,
            needs_review=True,
            review_reason=reason,
            due_at=None,
            version=claim.version + 1,
            updated_at=draft.now,
        )
    )
    draft.tell("claim.updated", after, actor=actor, from_status=claim.status, note=reason)
    return after


def resume(draft: Draft, claim: Claim, actor: str, note: str | None = None) -> Claim:
    """What put the claim in review is settled: automation goes on, by asking before it sends."""
    is_doubtful = claim.kind == REFUND and claim.is_open
    after = replace(
        claim,
        needs_review=False,
        review_reason=None,
        version=claim.version + 1,
        provider_state=(claim.provider_state or "unknown") if is_doubtful else claim.provider_state,
        updated_at=draft.now,
    )
    after = queued(after, draft.now)
    after = draft.put_claim(replace(after, due_at=draft.now if claim.is_open else None))
    draft.tell("claim.updated", after, actor=actor, from_status=claim.status, note=note)
    return after

"""How money moves between a book's buckets: freezing, giving back, topping up, paying debt down.

Pure. A claim freezes what it can, in a fixed order: its payment's own unsettled part, that
payment's own reserve, then `available`, then the book's credit line; what is missing makes it
wait. Each later credit serves the waiting claims by deadline and age before debt is paid down,
and while any claim waits no newer one takes from what belongs to the whole book.
"""

from datetime import datetime, timedelta

import msgspec

from clawback.currencies import USD, USD_E4
from clawback.errors import Refused
from clawback.ids import PaymentId
from clawback.lanes.command import AccountName, Command, Decide, Decided, Reads
from clawback.lanes.payouts import Payout
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a
from clawback.ledger import entries
from clawback.money import major_text

replace = msgspec.structs.replace

CLOCK = "clock"
REFUND = "user_dispute"
WARN_BEFORE = timedelta(hours=48)
"""How long before a deadline it is announced."""
ASK_AFTER = timedelta(days=1)
"""How long a network may take before it is asked how a case stands."""

FREEZE_ACCOUNTS = tuple(AccountName(USD, name) for name in (a.PENDING, a.FROZEN))
"""The accounts that a freeze usually touches; the others are asked for when they are needed."""


def cause(claim: Claim, step: str, number: int = 0) -> str:
    """The one name of a movement: claim, round, step and number; it makes one entry, ever."""
    return f"{claim.claim_id}:{claim.round}:{step}:{number}"


def offers(draft: Draft, payment: Payment, want_e4: int, *, from_book: bool) -> entries.Sources:
    """What a claim on this payment may freeze, in order.

    `from_book` includes shared money, which is looked at only if the payment's own is too little.
    """
    own = ((a.PENDING, payment.pending_usd_e4), (a.RESERVE, payment.reserve_usd_e4))
    if not from_book or payment.pending_usd_e4 + payment.reserve_usd_e4 >= want_e4:
        return own
    return own + _shared(draft)


def freeze(
    draft: Draft, claim: Claim, *, from_book: bool, earmarked: entries.Sources = ()
) -> Claim:
    """Set aside for the claim as much of what it misses as there is; returns it changed.

    The payment's own parts are lowered with it. `earmarked` is shared money that is this claim's
    even while others wait. Writes no entry if there is nothing to take.
    """
    payment = draft.known_payment(claim.payment_id)
    offered = offers(draft, payment, claim.missing_usd_e4, from_book=from_book)
    taken = entries.take(claim.missing_usd_e4, offered if from_book else offered + earmarked)
    if not taken:
        return claim
    draft.post(
        entries.freeze(taken),
        cause(claim, "freeze", claim.freezes + 1),
        payment_id=claim.payment_id,
        claim_id=claim.claim_id,
    )
    got = dict(taken)
    draft.put_payment(
        replace(
            payment,
            pending_usd_e4=payment.pending_usd_e4 - got.get(a.PENDING, 0),
            reserve_usd_e4=payment.reserve_usd_e4 - got.get(a.RESERVE, 0),
        )
    )
    total_e4 = sum(got.values())
    return replace(
        claim,
        frozen_usd_e4=claim.frozen_usd_e4 + total_e4,
        missing_usd_e4=claim.missing_usd_e4 - total_e4,
        sources=claim.sources + taken,
        freezes=claim.freezes + 1,
    )


def give_back(draft: Draft, claim: Claim, kind: str, amount_e4: int) -> Claim:
    """Return what was frozen (or is payable) to where it came from, last taken first.

    A part whose payment has settled, or whose reserve was released, goes to `available`; debt is
    never raised above zero, the rest goes to `available` too. The caller serves waiting claims.
    """
    payment = draft.known_payment(claim.payment_id)
    kept, back = entries.untake(amount_e4, claim.sources)
    bucket = a.PAYABLE if claim.status == "approved" else a.FROZEN
    places: dict[str, int] = {}
    for source, part_e4 in back:
        for place, share_e4 in _places(draft, payment, source, part_e4, places):
            places[place] = places.get(place, 0) + share_e4
    draft.post(
        entries.give_back(kind, bucket, tuple(places.items())),
        cause(claim, kind),
        payment_id=claim.payment_id,
        claim_id=claim.claim_id,
    )
    draft.put_payment(
        replace(
            payment,
            pending_usd_e4=payment.pending_usd_e4 + places.get(a.PENDING, 0),
            reserve_usd_e4=payment.reserve_usd_e4 + places.get(a.RESERVE, 0),
        )
    )
    if bucket == a.PAYABLE:
        return replace(claim, payable_usd_e4=claim.payable_usd_e4 - amount_e4, sources=kept)
    return replace(claim, frozen_usd_e4=claim.frozen_usd_e4 - amount_e4, sources=kept)


def _places(
    draft: Draft, payment: Payment, source: str, part_e4: int, so_far: dict[str, int]
) -> tuple[tuple[str, int], ...]:
    """Where a part that came from `source` goes back to, as it stands today."""
    if source == a.PENDING:
        return ((a.PENDING if payment.settled_at is None else a.AVAILABLE, part_e4),)
    if source == a.RESERVE:
        is_held = payment.reserve_release_at is not None
        return ((a.RESERVE if is_held else a.AVAILABLE, part_e4),)
    if source == a.DEBT:
        owed_e4 = -draft.balance(a.DEBT) - so_far.get(a.DEBT, 0)
        repaid_e4 = min(part_e4, max(0, owed_e4))
        return ((a.DEBT, repaid_e4), (a.AVAILABLE, part_e4 - repaid_e4))
    return ((source, part_e4),)


class TopUp(Command, frozen=True, kw_only=True):
    """Serve the waiting claims that one commit could not serve."""

    def reads(self) -> Reads:
        """The shared accounts; the waiting claims are discovered."""
        return Reads(accounts=FREEZE_ACCOUNTS)


def decide_top_up(
    draft: Draft,
    command: Command,  # noqa: ARG001 - every decide is handed one
    now: datetime,  # noqa: ARG001 - the draft's own
) -> Refused | Decided:
    """Go on serving; refuses nothing."""
    draft.set_head(top_up_due=False)
    return Decided(follow_up=serve_waiting(draft))


def serve_waiting(draft: Draft, *, payment_id: PaymentId | None = None) -> tuple[Command, ...]:
    """After a credit: top waiting claims up, then pay debt down; returns what is left to do.

    `payment_id` names a payment that got its own money back. At most 200 claims a commit.
    """
    served = 0
    if draft.head.waiting:
        if payment_id is not None:
            for claim in draft.claims_of(payment_id):
                if claim.missing_usd_e4 > 0:
                    _top_up(draft, claim, from_book=False)
        served = _top_up_all(draft)
    if not draft.head.waiting:
        _recover_debt(draft)
    elif (served or draft.is_queue_cut) and draft.balance(a.AVAILABLE) > 0:
        draft.set_head(top_up_due=True)
        return (TopUp(),)
    return ()


def _top_up_all(draft: Draft) -> int:
    """Serve the queue while there is shared money; returns how many claims got some."""
    waiting = draft.waiting()
    draft.need_payments(tuple(claim.payment_id for claim in waiting))
    served = 0
    for claim in waiting:
        if not any(amount_e4 > 0 for _, amount_e4 in _shared(draft)):
            break
        served += _top_up(draft, claim, from_book=True)
    return served


def _shared(draft: Draft) -> entries.Sources:
    credit_e4 = max(0, draft.book.credit_line_usd_e4 + draft.balance(a.DEBT))
    return ((a.AVAILABLE, draft.balance(a.AVAILABLE)), (a.DEBT, credit_e4))


def _top_up(draft: Draft, claim: Claim, *, from_book: bool) -> bool:
    """Whether the claim got some."""
    topped = freeze(draft, claim, from_book=from_book)
    if topped is claim:
        return False
    topped = queued(replace(topped, version=claim.version + 1, updated_at=draft.now), draft.now)
    draft.put_claim(topped)
    draft.tell("claim.updated", topped, actor=CLOCK, from_status=claim.status, movement="freeze")
    return True


def _recover_debt(draft: Draft) -> None:
    recovered_e4 = min(draft.balance(a.AVAILABLE), -draft.balance(a.DEBT))
    if recovered_e4 > 0:
        number = draft.head.height + 1
        draft.post(entries.debt_recovery(recovered_e4), f"debt_recovery:{number}")


class RecordPayout(Command, frozen=True, kw_only=True):
    """Record that the operator paid the merchant, once for each reference.

    `via` tells where the operator sat.
    """

    reference: str
    amount_usd_e4: int
    note: str | None
    actor: str
    via: str | None = None

    def reads(self) -> Reads:
        """What was recorded under the reference, and the accounts."""
        names = (a.AVAILABLE, a.DEBT, a.PAID_OUT)
        return Reads(
            payouts=(self.reference,), accounts=tuple(AccountName(USD, name) for name in names)
        )


class PayoutOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the payout, or why there is none. `is_new`: not recorded before.

    `held_by` is another_amount (of the same reference), claims_waiting, debt or available;
    `left_usd_e4` is what is available now.
    """

    payout: Payout | None = None
    is_new: bool = False
    held_by: str | None = None
    left_usd_e4: int


def decide_record_payout(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Post what was paid out, from `available` only. Refuses nothing: the outcome says why not.

    Nothing is paid past a claim that waits for funds or past debt (contract, sections 8.2, 9.2).
    """
    assert isinstance(command, RecordPayout)
    available_e4 = draft.balance(a.AVAILABLE)
    known = draft.payout(command.reference)
    held_by = None
    if known is not None:
        held_by = None if known.amount_usd_e4 == command.amount_usd_e4 else "another_amount"
        return Decided(
            response=PayoutOutcome(payout=known, held_by=held_by, left_usd_e4=available_e4)
        )
    if draft.head.waiting:
        held_by = "claims_waiting"
    elif draft.balance(a.DEBT) < 0:
        held_by = "debt"
    elif command.amount_usd_e4 > available_e4:
        held_by = "available"
    if held_by is not None:
        return Decided(response=PayoutOutcome(held_by=held_by, left_usd_e4=available_e4))
    draft.post(entries.payout(command.amount_usd_e4), f"payout:{command.reference}")
    payout = Payout(
        book_id=draft.book.book_id,
        reference=command.reference,
        amount_usd_e4=command.amount_usd_e4,
        note=command.note,
        height=draft.head.height,
        created_at=now,
    )
    draft.payouts.append(payout)
    said = f"{major_text(payout.amount_usd_e4, USD_E4)} USD"
    draft.evidence.act(
        "payout_recorded", payout.reference, actor=command.actor, note=said, via=command.via
    )
    left_e4 = draft.balance(a.AVAILABLE)
    return Decided(response=PayoutOutcome(payout=payout, is_new=True, left_usd_e4=left_e4))


def pending_reason(claim: Claim, now: datetime) -> str | None:
    """What an open claim waits for: the first that applies (contract, section 8.2)."""
    if claim.status == "approved":
        return "provider_unknown" if claim.provider_state == "unknown" else "processing"
    if claim.status != "pending":
        return None
    if claim.kind != REFUND and takes_evidence(claim, now) and claim.approved_by is None:
        return "awaiting_evidence"
    if claim.payer_fields and claim.payer_details is None:
        return "awaiting_payer_details"
    if claim.approval_required and claim.approved_by is None:
        return "awaiting_approval"
    return "awaiting_funds" if claim.missing_usd_e4 > 0 else "processing"


def takes_evidence(claim: Claim, now: datetime) -> bool:
    """Whether evidence of this round is neither submitted nor too late."""
    due = claim.evidence_due_at
    return claim.evidence_submitted_at is None and (due is None or now < due)


def queued(claim: Claim, now: datetime) -> Claim:
    """The claim with its waiting reason, due now if the worker can go on with it.

    One that waits is due when its nearest deadline comes near, and again when it comes: then an
    unsent refund fails, and evidence closes. One in review is never due: people have to settle it.
    """
    reason = pending_reason(claim, now)
    if claim.status != "pending":
        return replace(claim, pending_reason=reason)
    if claim.needs_review:
        return replace(claim, pending_reason=reason, due_at=None)
    if reason == "processing" and claim.kind == REFUND:
        return replace(claim, pending_reason=reason, due_at=now)
    due = [at for at in (next_deadline(claim, now), _errand(claim, reason, now)) if at is not None]
    return replace(claim, pending_reason=reason, due_at=min(due, default=None))


def deadlines(claim: Claim, now: datetime) -> list[datetime]:
    """The deadlines that an undecided claim has still to meet."""
    if claim.status != "pending":
        return []
    if claim.kind != REFUND:
        is_open = takes_evidence(claim, now) and claim.approved_by is None
        return [claim.evidence_due_at] if is_open and claim.evidence_due_at is not None else []
    details_due = claim.payer_details_due_at if claim.payer_details is None else None
    return [at for at in (claim.refund_deadline_at, details_due) if at is not None]


def next_deadline(claim: Claim, now: datetime) -> datetime | None:
    """When the nearest deadline is to be announced, or if it was, the deadline itself."""
    return min(
        (
            at if claim.warned_until is not None and at <= claim.warned_until else at - WARN_BEFORE
            for at in deadlines(claim, now)
        ),
        default=None,
    )


def _errand(claim: Claim, reason: str | None, now: datetime) -> datetime | None:
    """When the worker has something to do for a network-made claim: send, approve, or ask."""
    if claim.kind == REFUND or reason == "awaiting_evidence":
        return None
    is_accepted = claim.approved_by is not None and claim.missing_usd_e4 == 0
    is_unsent = claim.evidence_submitted_at is not None and claim.provider_state != "accepted"
    if is_accepted or (is_unsent and claim.approved_by is None):
        return now
    return claim.due_at if claim.due_at is not None and claim.due_at > now else now + ASK_AFTER


DECIDE: dict[type, Decide] = {TopUp: decide_top_up, RecordPayout: decide_record_payout}

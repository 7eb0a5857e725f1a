"""What happens to an approved claim: attempts are numbered, provider facts are folded.

Pure. An attempt is stored before the provider is called and carries a lease on real time: one
caller at a time, and what a stale one brings back changes nothing. A result that is not known
stays unknown until the provider is asked again; a refund is sent anew only under the same
reference, and only after the provider has said that it knows nothing of it.
"""

from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec

from clawback.balances.model import cause, queued, serve_waiting
from clawback.claims.ending import closed, ended
from clawback.claims.model import (
    APPROVED,
    FAILED,
    PENDING,
    RELEASED,
    REVERSED,
    move_to,
)
from clawback.currencies import USD
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import AccountName, Command, Decide, Decided, Reads
from clawback.lanes.records import Attempt, Claim, Fact, Payment
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a
from clawback.ledger import entries
from clawback.payments.model import local_book_minor, tell_given_back
from clawback.providers import port

replace = msgspec.structs.replace

BACK_OFF_SECONDS: Final = (1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
LOOK_FIRST: Final = frozenset({"calling", "unknown", "accepted"})
"""States in which the provider may have the refund already: ask before anything is sent."""

_RELEASE_ACCOUNTS: Final = tuple(
    AccountName(USD, name) for name in (a.FROZEN, a.PAYABLE, a.FX, a.AVAILABLE, a.DEBT)
)


class StartAttempt(Command, frozen=True, kw_only=True):
    """Go on with a claim that is due: approve it, take it over, or end it at its deadline."""

    claim_id: ClaimId
    attempt_id: str
    real_now: datetime
    lease_seconds: int
    actor: str

    def reads(self) -> Reads:
        """The claim with its attempts."""
        return Reads(
            claims=(self.claim_id,), attempts_of=(self.claim_id,), accounts=_RELEASE_ACCOUNTS
        )


class AttemptStarted(msgspec.Struct, frozen=True):
    """The claim, and the attempt that is now ours to make; None if there is nothing to do."""

    claim: Claim
    attempt: Attempt | None
    payment: Payment


def decide_start_attempt(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Give one worker the next step of a due claim. Refuses: NotFound."""
    assert isinstance(command, StartAttempt)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    payment = draft.known_payment(claim.payment_id)
    if claim.due_at is None or claim.due_at > now or claim.needs_review:
        return Decided(response=AttemptStarted(claim, None, payment))
    if claim.status == PENDING and (resolution := too_late(claim, now)):
        claim = ended(draft, claim, FAILED, resolution, "clock")
        left = serve_waiting(draft, payment_id=claim.payment_id)
        return Decided(response=AttemptStarted(claim, None, payment), follow_up=left)
    if claim.status == PENDING:
        claim = approve(draft, claim, command.actor)
    last = draft.attempts_of(claim.claim_id)[-1:]
    if last and last[0].outcome is None:
        if last[0].lease_until > command.real_now:
            return Decided(response=AttemptStarted(claim, None, payment))
        draft.put_attempt(replace(last[0], outcome="unknown", ended_at=command.real_now))
    attempt = _next_attempt(draft, claim, command)
    draft.put_attempt(attempt)
    claim = draft.put_claim(
        replace(
            claim,
            attempts=attempt.number,
            provider_state=claim.provider_state if claim.attempts else "calling",
            due_at=now + timedelta(seconds=command.lease_seconds),
        )
    )
    return Decided(response=AttemptStarted(claim, attempt, payment))


def too_late(claim: Claim, now: datetime) -> str | None:
    """The resolution of a refund whose time ran out before anything was sent."""
    if claim.refund_deadline_at is not None and now > claim.refund_deadline_at:
        return "window_closed"
    due = claim.payer_details_due_at
    if due is not None and claim.payer_details is None and now >= due:
        return "payer_details_expired"
    return None


def approve(draft: Draft, claim: Claim, actor: str, note: str | None = None) -> Claim:
    """Move 5: only fully frozen, details complete, approval given if it is required."""
    assert claim.missing_usd_e4 == 0, claim.claim_id
    assert claim.pending_reason == "processing", claim.pending_reason
    move = move_to(claim, APPROVED)
    assert move is not None, claim.claim_id
    draft.post(
        entries.resolve_approved(claim.frozen_usd_e4),
        cause(claim, move.movement),
        payment_id=claim.payment_id,
        claim_id=claim.claim_id,
    )
    after = replace(
        claim,
        status=APPROVED,
        version=claim.version + 1,
        frozen_usd_e4=0,
        payable_usd_e4=claim.frozen_usd_e4,
        updated_at=draft.now,
        resolved_at=draft.now,
    )
    after = draft.put_claim(queued(after, draft.now))
    draft.tell(
        move.event, after, actor=actor, from_status=PENDING, movement=move.movement, note=note
    )
    return after


def _next_attempt(draft: Draft, claim: Claim, command: StartAttempt) -> Attempt:
    operation = "lookup" if claim.provider_state in LOOK_FIRST else "refund"
    return Attempt(
        claim_id=claim.claim_id,
        number=claim.attempts + 1,
        book_id=claim.book_id,
        attempt_id=command.attempt_id,
        operation=operation,
        generation=claim.generation,
        provider=claim.provider,
        provider_account=claim.provider_account,
        reference=port.refund_reference(claim.claim_id, draft.book.shard, claim.generation),
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        lease_until=command.real_now + timedelta(seconds=command.lease_seconds),
        started_at=draft.now,
    )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of a refund, whoever brought it.

    `status` is accepted, settled, declined, unavailable, unknown, absent or returned.
    """

    status: str
    provider_reference: str | None = None
    rail_reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    settles_at: datetime | None = None
    reason: str | None = None


def report(found: port.Found) -> Report:
    """The provider's words as the model folds them."""
    match found:
        case port.Accepted():
            return Report(
                status="accepted",
                provider_reference=found.provider_reference,
                rail_reference=found.rail_reference,
                amount_minor=found.amount_minor,
                currency=found.currency,
                settles_at=found.settles_at,
            )
        case port.Settled() | port.Returned():
            return Report(
                status="settled" if isinstance(found, port.Settled) else "returned",
                provider_reference=found.provider_reference,
                rail_reference=found.rail_reference,
                amount_minor=found.amount_minor,
                currency=found.currency,
                reason=found.reason if isinstance(found, port.Returned) else None,
            )
        case port.Declined():
            return Report(
                status="declined",
                provider_reference=found.provider_reference,
                reason=found.reason,
            )
        case port.Unavailable() | port.Unknown():
            return Report(status=found.outcome, reason=found.reason)
        case port.Absent():
            return Report(status="absent")
        case _:
            assert_never(found)


class RecordOutcome(Command, frozen=True, kw_only=True):
    """How an attempt ended. The result of any but the newest attempt changes nothing."""

    claim_id: ClaimId
    number: int
    report: Report
    fact_id: str
    real_now: datetime
    actor: str

    def reads(self) -> Reads:
        """The claim with its attempts, and what a release touches."""
        return Reads(
            claims=(self.claim_id,), attempts_of=(self.claim_id,), accounts=_RELEASE_ACCOUNTS
        )


def decide_record_outcome(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Store the outcome as a fact and fold it in one commit. Refuses: NotFound."""
    assert isinstance(command, RecordOutcome)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    attempts = draft.attempts_of(command.claim_id)
    last = attempts[-1] if attempts else None
    if last is None or last.number != command.number or last.outcome is not None:
        return Decided(response=claim)
    report = command.report
    draft.put_attempt(
        replace(
            last,
            outcome="unavailable" if report.status == "absent" else _outcome(report.status),
            provider_reference=report.provider_reference,
            ended_at=now,
        )
    )
    source = "lookup" if last.operation == "lookup" else "call"
    draft.put_fact(
        Fact(
            fact_id=command.fact_id,
            book_id=claim.book_id,
            provider=claim.provider,
            provider_account=claim.provider_account,
            source=source,
            event_key=last.attempt_id,
            type=f"refund.{report.status}",
            reference=last.reference,
            object_id=claim.claim_id,
            amount_minor=report.amount_minor,
            currency=report.currency,
            provider_reference=report.provider_reference,
            rail_reference=report.rail_reference,
            reason=report.reason,
            received_at=command.real_now,
            applied_at=now,
        )
    )
    claim, left = fold(draft, claim, report, command.actor)
    return Decided(response=claim, follow_up=left)


def _outcome(status: str) -> str:
    """The attempt's outcome; a late return means that it had been settled."""
    return "settled" if status == "returned" else status


class RecordNotice(Command, frozen=True, kw_only=True):
    """A provider's own message about a refund; a repeat of one changes nothing."""

    claim_id: ClaimId
    fact: Fact
    report: Report
    actor: str

    def reads(self) -> Reads:
        """The claim, what was told before, and what a release touches."""
        return Reads(
            claims=(self.claim_id,),
            attempts_of=(self.claim_id,),
            facts_of=(self.claim_id,),
            accounts=_RELEASE_ACCOUNTS,
        )


def decide_record_notice(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Store the fact once and fold it. Refuses: NotFound."""
    assert isinstance(command, RecordNotice)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    if draft.has_fact(claim.claim_id, command.fact.event_key):
        return Decided(response=claim)
    draft.put_fact(replace(command.fact, book_id=claim.book_id, applied_at=now))
    if not claim.attempts:
        return Decided(response=_review(draft, claim, "notice without an attempt", command.actor))
    claim, left = fold(draft, claim, command.report, command.actor)
    return Decided(response=claim, follow_up=left)


def fold(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    """The claim after one more fact. What is weaker than what is known changes nothing."""
    if report.status == "returned":
        return _returned(draft, claim, report, actor)
    if claim.status == APPROVED:
        return _advanced(draft, claim, report, actor)
    if claim.status == FAILED and report.status == "settled":
        return _review(draft, claim, "paid after it was refused", actor), ()
    return claim, ()


def _advanced(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    told = replace(
        claim,
        provider_reference=report.provider_reference or claim.provider_reference,
        rail_reference=report.rail_reference or claim.rail_reference,
    )
    if report.status in {"accepted", "settled"} and _differs(claim, report):
        return _review(draft, told, "amount or currency differs from what was asked", actor), ()
    match report.status:
        case "settled":
            return _release(draft, told, actor), ()
        case "declined":
            failed = ended(draft, told, FAILED, "declined_by_provider", actor, report.reason)
            return failed, serve_waiting(draft, payment_id=claim.payment_id)
        case "accepted":
            settles_at = report.settles_at
            is_ahead = settles_at is not None and settles_at > draft.now
            due_at = settles_at if is_ahead else draft.now + back_off(claim.attempts)
            return _waits(draft, told, "accepted", due_at, actor), ()
        case "unavailable" | "absent":
            due_at = draft.now if report.status == "absent" else draft.now + back_off(told.attempts)
            return _waits(draft, told, "unavailable", due_at, actor), ()
        case _:
            return _waits(draft, told, "unknown", draft.now + back_off(told.attempts), actor), ()


def back_off(tries: int) -> timedelta:
    """How long to wait before the next try; it grows to ten minutes and stays there."""
    return timedelta(seconds=BACK_OFF_SECONDS[min(max(tries, 1), len(BACK_OFF_SECONDS)) - 1])


def _differs(claim: Claim, report: Report) -> bool:
    return (report.amount_minor, report.currency) != (claim.amount_minor, claim.currency)


def _waits(
    draft: Draft, claim: Claim, provider_state: str, due_at: datetime | None, actor: str
) -> Claim:
    """Note how the provider stands; a changed waiting reason raises the version."""
    if claim.provider_state == "accepted" and provider_state in {"unknown", "unavailable"}:
        provider_state = "accepted"
    after = queued(replace(claim, provider_state=provider_state, due_at=due_at), draft.now)
    if after.pending_reason == claim.pending_reason:
        return draft.put_claim(after)
    after = draft.put_claim(replace(after, version=claim.version + 1, updated_at=draft.now))
    draft.tell("claim.updated", after, actor=actor, from_status=claim.status)
    return after


def _review(draft: Draft, claim: Claim, reason: str, actor: str) -> Claim:
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


def _release(draft: Draft, claim: Claim, actor: str) -> Claim:
    """Move 8: the provider confirmed that the money left."""
    move = move_to(claim, RELEASED)
    assert move is not None, claim.claim_id
    payment = draft.known_payment(claim.payment_id)
    local = entries.Local(
        claim.currency, local_book_minor(payment, claim.amount_minor), claim.provider
    )
    draft.post(
        entries.release(claim.payable_usd_e4, local),
        cause(claim, move.movement),
        payment_id=claim.payment_id,
        claim_id=claim.claim_id,
    )
    draft.set_head(returned_usd_e4=draft.head.returned_usd_e4 + claim.payable_usd_e4)
    after = draft.put_claim(
        replace(
            claim,
            status=RELEASED,
            pending_reason=None,
            resolution="refunded",
            version=claim.version + 1,
            released_minor=claim.amount_minor,
            released_usd_e4=claim.payable_usd_e4,
            payable_usd_e4=0,
            provider_state=None,
            needs_review=False,
            due_at=None,
            updated_at=draft.now,
            released_at=draft.now,
        )
    )
    draft.tell(move.event, after, actor=actor, from_status=claim.status, movement=move.movement)
    given = replace(payment, refunded_minor=payment.refunded_minor + claim.amount_minor)
    tell_given_back(draft, payment, replace(given, updated_at=draft.now), actor)
    return after


def _returned(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    """Move 15: money that had left came back; seen first, it implies that it had left."""
    if claim.status == APPROVED and not _differs(claim, report):
        claim = _release(draft, claim, actor)
    if claim.status != RELEASED:
        return claim, ()
    move = move_to(claim, REVERSED)
    assert move is not None, claim.claim_id
    payment = draft.known_payment(claim.payment_id)
    local = entries.Local(
        claim.currency, local_book_minor(payment, claim.amount_minor), claim.provider
    )
    draft.post(
        entries.reverse(claim.released_usd_e4, local, _returns_to(draft, claim)),
        cause(claim, move.movement),
        payment_id=claim.payment_id,
        claim_id=claim.claim_id,
    )
    draft.set_head(returned_usd_e4=draft.head.returned_usd_e4 - claim.released_usd_e4)
    after = replace(claim, released_minor=0, released_usd_e4=0, sources=())
    after = closed(draft, after, REVERSED, "returned")
    draft.tell(
        move.event,
        after,
        actor=actor,
        from_status=RELEASED,
        movement=move.movement,
        note=report.reason,
    )
    before = draft.known_payment(claim.payment_id)
    given = replace(before, refunded_minor=before.refunded_minor - claim.amount_minor)
    tell_given_back(draft, before, given, actor)
    return after, serve_waiting(draft)


def _returns_to(draft: Draft, claim: Claim) -> entries.Sources:
    """Back to `loss` and `debt` as far as they gave, debt never above zero, else `available`."""
    gave: dict[str, int] = {}
    for source, part_e4 in claim.sources:
        gave[source] = gave.get(source, 0) + part_e4
    loss_e4 = gave.get(a.LOSS, 0)
    debt_e4 = min(gave.get(a.DEBT, 0), max(0, -draft.balance(a.DEBT)))
    rest_e4 = claim.released_usd_e4 - loss_e4 - debt_e4
    return ((a.LOSS, loss_e4), (a.DEBT, debt_e4), (a.AVAILABLE, rest_e4))


DECIDE: Final[dict[type, Decide]] = {
    StartAttempt: decide_start_attempt,
    RecordOutcome: decide_record_outcome,
    RecordNotice: decide_record_notice,
}

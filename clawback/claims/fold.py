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
from clawback.claims import errands
from clawback.claims.ending import ended, replace_inquiries
from clawback.claims.moves import (
    APPROVED,
    CANCELED,
    FAILED,
    PENDING,
    REFUND,
    REJECTED,
    RELEASED,
    REVERSED,
    move,
)
from clawback.claims.resending import call_rules, next_operation, wait_for_people
from clawback.claims.turns import put_in_review, release, reopen_paid, reverse
from clawback.currencies import USD
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import AccountName, Command, Decide, Decided, Reads
from clawback.lanes.records import Attempt, Claim, Fact, Payment
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a
from clawback.ledger import entries
from clawback.payments.model import DIFFERS
from clawback.providers import port

replace = msgspec.structs.replace

BACK_OFF_SECONDS: Final = (1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
LEFT: Final = frozenset({"refund.settled", "review.paid"})
CAME_BACK: Final = frozenset({"refund.returned", "review.not_paid"})
"""Facts that prove that money left, and that it is back or never left."""

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
    if claim.kind != REFUND:
        return _start_errand(draft, claim, payment, command)
    if claim.status == PENDING and (resolution := too_late(claim, now)):
        claim = ended(draft, claim, FAILED, resolution, "clock")
        left = serve_waiting(draft, payment_id=claim.payment_id)
        return Decided(response=AttemptStarted(claim, None, payment), follow_up=left)
    if claim.status == PENDING and claim.pending_reason != "processing":
        claim = draft.put_claim(queued(errands.warned(draft, claim, "clock"), now))
        return Decided(response=AttemptStarted(claim, None, payment))
    if claim.status == PENDING:
        claim = approve(draft, claim, command.actor)
    if not _takes_over(draft, claim, command):
        return Decided(response=AttemptStarted(claim, None, payment))
    operation = next_operation(claim, call_rules(payment))
    if operation is None:
        claim = wait_for_people(draft, claim, command.actor)
        return Decided(response=AttemptStarted(claim, None, payment))
    return _attempted(draft, claim, payment, command, operation)


def _takes_over(draft: Draft, claim: Claim, command: StartAttempt) -> bool:
    """Whether nobody else is at it; what a caller left whose lease is over is unknown."""
    last = draft.attempts_of(claim.claim_id)[-1:]
    if last and last[0].outcome is None:
        if last[0].lease_until > command.real_now:
            return False
        draft.put_attempt(replace(last[0], outcome="unknown", ended_at=command.real_now))
    return True


def _start_errand(draft: Draft, claim: Claim, payment: Payment, command: StartAttempt) -> Decided:
    """The next step of a network-made claim."""
    if not _takes_over(draft, claim, command):
        return Decided(response=AttemptStarted(claim, None, payment))
    claim, operation = errands.next_step(draft, claim, command.actor)
    if operation is None:
        return Decided(response=AttemptStarted(claim, None, payment))
    return _attempted(draft, claim, draft.known_payment(claim.payment_id), command, operation)


def _attempted(
    draft: Draft, claim: Claim, payment: Payment, command: StartAttempt, operation: str
) -> Decided:
    """Note the attempt that is now the caller's to make."""
    attempt = _next_attempt(draft, claim, command, operation)
    draft.put_attempt(attempt)
    is_first = claim.attempts == 0 and claim.kind == REFUND
    claim = draft.put_claim(
        replace(
            claim,
            attempts=attempt.number,
            provider_state="calling" if is_first else claim.provider_state,
            due_at=draft.now + timedelta(seconds=command.lease_seconds),
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
    row = move(claim, 5)
    draft.post(
        entries.resolve_approved(claim.frozen_usd_e4),
        cause(claim, "resolve_approved"),
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
    draft.tell(row.event, after, actor=actor, from_status=PENDING, movement=row.movement, note=note)
    return after


def _next_attempt(draft: Draft, claim: Claim, command: StartAttempt, operation: str) -> Attempt:
    home = draft.book.home_of(claim.claim_id)
    reference = port.refund_reference(claim.claim_id, home, claim.generation)
    generation = claim.generation
    if claim.kind != REFUND:
        reference, generation = errands.reference(claim, home, operation)
    return Attempt(
        claim_id=claim.claim_id,
        number=claim.attempts + 1,
        book_id=claim.book_id,
        attempt_id=command.attempt_id,
        operation=operation,
        generation=generation,
        provider=claim.provider,
        provider_account=claim.provider_account,
        reference=reference,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        lease_until=command.real_now + timedelta(seconds=command.lease_seconds),
        started_at=draft.now,
    )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of a refund, whoever brought it.

    `status` is accepted, settled, declined, unavailable, unknown, absent or returned.
    `wait_seconds`: how long the provider asks to be left alone, at most a day.
    """

    status: str
    provider_reference: str | None = None
    rail_reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    settles_at: datetime | None = None
    at: datetime | None = None
    reason: str | None = None
    wait_seconds: int = 0


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
        case port.Settled():
            return Report(
                status="settled",
                provider_reference=found.provider_reference,
                rail_reference=found.rail_reference,
                amount_minor=found.amount_minor,
                currency=found.currency,
                at=found.settled_at,
            )
        case port.Returned():
            return Report(
                status="returned",
                provider_reference=found.provider_reference,
                rail_reference=found.rail_reference,
                amount_minor=found.amount_minor,
                currency=found.currency,
                at=found.returned_at,
                reason=found.reason,
            )
        case port.Declined():
            return Report(
                status="declined",
                provider_reference=found.provider_reference,
                reason=found.reason,
            )
        case port.Unavailable() | port.Unknown():
            wait = found.retry_after_seconds or 0
            return Report(status=found.outcome, reason=found.reason, wait_seconds=wait)
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
            type=f"{_about(claim, last)}.{report.status}",
            reference=last.reference,
            object_id=claim.claim_id,
            amount_minor=report.amount_minor,
            currency=report.currency,
            provider_reference=report.provider_reference,
            rail_reference=report.rail_reference,
            reason=report.reason,
            effective_at=report.at,
            received_at=command.real_now,
            applied_at=now,
        )
    )
    if claim.kind != REFUND:
        wait = back_off(claim.attempts)
        return Decided(response=errands.ended_errand(draft, claim, last, report.status, wait))
    claim, left = fold(draft, claim, report, command.actor)
    return Decided(response=claim, follow_up=left)


def _about(claim: Claim, attempt: Attempt) -> str:
    """What the outcome of an attempt is about."""
    return "refund" if claim.kind == REFUND else attempt.operation


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
        after = put_in_review(draft, claim, "notice without an attempt", command.actor)
        return Decided(response=after)
    told = command.report
    if told.at is None:
        told = replace(told, at=command.fact.effective_at)
    claim, left = fold(draft, claim, told, command.actor)
    return Decided(response=claim, follow_up=left)


def fold(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    """The claim after one more fact. What is weaker than what is known changes nothing.

    Strongest is the latest proof that money left or came back; of one moment, that it came back.
    A refusal is weaker than any of these, and everything else only says that nobody knows yet.
    """
    if report.status == "returned":
        return _returned(draft, claim, report, actor)
    if claim.status == APPROVED:
        return _advanced(draft, claim, report, actor)
    if report.status == "settled" and claim.status in {FAILED, REVERSED}:
        return _paid_after_all(draft, claim, report, actor)
    if report.status == "settled" and claim.status in {REJECTED, CANCELED}:
        return put_in_review(draft, claim, "paid after it was withdrawn", actor), ()
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
        return put_in_review(draft, told, DIFFERS, actor), ()
    match report.status:
        case "settled":
            return release(draft, told, "refunded", actor, report.reason), ()
        case "declined":
            failed = ended(draft, told, FAILED, "declined_by_provider", actor, report.reason)
            return failed, serve_waiting(draft, payment_id=claim.payment_id)
        case "accepted":
            least = back_off(told.attempts)
            due_at = errands.refund_asked_again(told, report.settles_at, draft.now, least)
            return _waits(draft, told, "accepted", due_at, actor), ()
        case "absent":
            return _waits(draft, told, "unavailable", draft.now, actor), ()
        case _:
            state = "unavailable" if report.status == "unavailable" else "unknown"
            wait = max(back_off(told.attempts), timedelta(seconds=report.wait_seconds))
            return _waits(draft, told, state, draft.now + wait, actor), ()


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


def _paid_after_all(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    """Rows 16 and 8 in one commit, unless the money is known to be back, or never to have left."""
    back_at = latest(draft, claim, CAME_BACK)
    is_known = claim.status == REVERSED or back_at is not None
    if is_known and not _is_after(report.at, back_at):
        return claim, ()
    if _differs(claim, report):
        return put_in_review(draft, claim, DIFFERS, actor), ()
    payment = draft.known_payment(claim.payment_id)
    if payment.open_dispute_id is not None:
        replace_inquiries(draft, payment, claim.amount_minor, claim.claim_id, actor)
    claim = release(draft, reopen_paid(draft, claim, actor), "refunded", actor, report.reason)
    return claim, serve_waiting(draft, payment_id=claim.payment_id)


def latest(draft: Draft, claim: Claim, kinds: frozenset[str]) -> datetime | None:
    """When one of these was last true of the claim, by what was told of it."""
    told = [fact for fact in draft.facts_about(claim.claim_id) if fact.type in kinds]
    return max((fact.effective_at for fact in told if fact.effective_at), default=None)


def _is_after(at: datetime | None, other: datetime | None) -> bool:
    return at is not None and other is not None and at > other


def _returned(
    draft: Draft, claim: Claim, report: Report, actor: str
) -> tuple[Claim, tuple[Command, ...]]:
    """Money that had left came back; seen first, it implies that it had left."""
    if claim.status not in {APPROVED, FAILED, RELEASED}:
        return claim, ()
    if _is_after(latest(draft, claim, LEFT), report.at):
        return claim, ()
    if _differs(claim, report):
        return put_in_review(draft, claim, DIFFERS, actor), ()
    if claim.status == FAILED:
        claim = reopen_paid(draft, claim, actor)
    if claim.status == APPROVED:
        claim = release(draft, claim, "refunded", actor)
    return reverse(draft, claim, actor, report.reason), serve_waiting(draft)


DECIDE: Final[dict[type, Decide]] = {
    StartAttempt: decide_start_attempt,
    RecordOutcome: decide_record_outcome,
    RecordNotice: decide_record_notice,
}

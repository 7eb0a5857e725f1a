"""What the worker does for a network-made claim: sends evidence, gives in, asks how it stands.

Pure. Evidence and acceptance go out once a round under a reference of their own, stored before
the call; a result that is not known is sent again under the same reference, which has one effect.
Nothing here ends a claim: that is the network's word, told by itself or when it is asked.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from clawback.balances.model import deadlines, queued
from clawback.claims.moves import APPROVED, PENDING
from clawback.claims.turns import approve
from clawback.lanes.records import Attempt, Claim
from clawback.lanes.state import Draft
from clawback.providers import port

replace = msgspec.structs.replace

SENT: Final = "accepted"
"""Provider state of a claim whose network has all that there is to send in this round."""
WEEK: Final = timedelta(days=7)
FIRST_ASKED: Final = {APPROVED: timedelta(seconds=10), PENDING: timedelta(days=1)}
"""How long a network may take before it is asked how a case stands."""


def warned(draft: Draft, claim: Claim, actor: str) -> Claim:
    """Announce deadlines that have come near, each once, without raising the version."""
    near = [
        at
        for at in deadlines(claim, draft.now)
        if (claim.warned_until is None or at > claim.warned_until)
        and at - draft.now <= timedelta(hours=48)
    ]
    if not near:
        return claim
    claim = draft.put_claim(replace(claim, warned_until=max(near)))
    draft.tell(
        "claim.deadline_near",
        claim,
        actor=actor,
        from_status=claim.status,
        note=f"due {max(near).isoformat()}",
        is_notice=True,
    )
    return claim


def next_step(draft: Draft, claim: Claim, actor: str) -> tuple[Claim, str | None]:
    """The claim as it is now due, and what is to be sent or asked; None: nothing."""
    claim = warned(draft, claim, "clock")
    after = queued(replace(claim, due_at=None), draft.now)
    if after.pending_reason != claim.pending_reason:
        after = replace(after, version=claim.version + 1, updated_at=draft.now)
        draft.put_claim(after)
        draft.tell("claim.updated", after, actor="clock", from_status=claim.status)
    if after.pending_reason == "awaiting_evidence":
        return draft.put_claim(after), None
    is_accepted = after.approved_by is not None
    if after.status == PENDING and is_accepted and after.missing_usd_e4 == 0:
        after = approve(draft, after, 6, after.amount_minor, actor)
    if after.provider_state != SENT:
        if after.status == APPROVED and is_accepted:
            return after, "accept"
        if after.evidence_submitted_at is not None and not is_accepted:
            return after, "evidence"
    return after, "lookup"


def reference(claim: Claim, home: int, operation: str) -> tuple[str, int]:
    """Our reference of a round's evidence or acceptance, and the number in it."""
    number = 2 * (claim.round - 1) + (operation == "accept")
    return port.refund_reference(claim.claim_id, home, number), number


def ended_errand(
    draft: Draft, claim: Claim, attempt: Attempt, status: str, wait: timedelta
) -> Claim:
    """The claim after an attempt: what is doubtful is sent again, what is known is not.

    `wait`: how long until a doubtful step is tried again.
    """
    if not claim.is_open:
        return claim
    if attempt.operation == "lookup":
        has_answer = status == "accepted"
        due_at = asked_again(claim, draft.now) if has_answer else draft.now + wait
        return draft.put_claim(replace(claim, due_at=due_at))
    if status in {"settled", "declined", "accepted"}:
        due_at = asked_again(claim, draft.now)
        return draft.put_claim(replace(claim, provider_state=SENT, due_at=due_at))
    doubt = "unavailable" if status == "unavailable" else "unknown"
    after = queued(replace(claim, provider_state=doubt), draft.now)
    after = replace(after, due_at=draft.now + wait)
    if after.pending_reason != claim.pending_reason:
        after = replace(after, version=claim.version + 1, updated_at=draft.now)
        draft.tell("claim.updated", after, actor="worker", from_status=claim.status)
    return draft.put_claim(after)


def asked_again(claim: Claim, now: datetime) -> datetime:
    """When the network is asked how the case stands: the longer it takes, the more rarely."""
    since = claim.resolved_at or claim.evidence_submitted_at or claim.evidence_due_at or now
    elapsed = max(now - since, timedelta(0))
    return now + min(WEEK, max(FIRST_ASKED[claim.status], elapsed))


def refund_asked_again(
    claim: Claim, settles_at: datetime | None, now: datetime, least: timedelta
) -> datetime:
    """When a provider is asked for a notice that may be lost: when it said that it would be done.

    If it said nothing, ever more rarely, then daily.
    """
    if settles_at is not None and settles_at > now:
        return settles_at
    elapsed = now - (claim.resolved_at or now)
    return now + max(least, min(timedelta(days=1), elapsed / 4))

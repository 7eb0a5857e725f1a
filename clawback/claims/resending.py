"""Which call a refund's next attempt is: the refund, a look-up, or none that would be safe.

Pure. Whatever may have reached the provider is asked about first; it is sent again only where a
repeat is known to be harmless. On a rail that has neither look-up nor idempotent calls a result
that is not known waits for people, with its money in `payable` (invariant P7).
"""

from datetime import timedelta
from typing import Final

import msgspec

from clawback.claims.turns import put_in_review
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.providers.rails import CallRules, rule_for

LOOK_FIRST: Final = frozenset({"calling", "unknown", "accepted"})
"""States in which the provider may have the refund already: ask before anything is sent."""
UNSAFE: Final = "the result is not known, and this rail can neither be asked nor asked again"
SILENT: Final = "accepted, and nothing was heard in time; this rail cannot be asked"


def call_rules(payment: Payment) -> CallRules | None:
    """How the refund call of this payment's rail behaves; None where nobody has said."""
    rule = rule_for(payment.provider, payment.method, payment.country)
    return None if rule is None else rule.call


def next_operation(claim: Claim, rules: CallRules | None) -> str | None:
    """`refund` or `lookup`; None where asking is impossible and sending could pay twice."""
    if claim.provider_state not in LOOK_FIRST:
        return "refund"
    if rules is None or rules.lookup in {"by_our_ref", "by_payment"}:
        return "lookup"
    if rules.idempotent == "yes" and claim.provider_state != "accepted":
        return "refund"
    return None


def wait_for_people(draft: Draft, claim: Claim, actor: str) -> Claim:
    """Neither send nor ask; what was accepted has until its latest arrival, a day at least."""
    if claim.provider_state != "accepted":
        return put_in_review(draft, claim, UNSAFE, actor)
    a_day = (claim.resolved_at or claim.created_at) + timedelta(days=1)
    until = max(claim.expected_by or a_day, a_day)
    if until > draft.now:
        return draft.put_claim(msgspec.structs.replace(claim, due_at=until))
    return put_in_review(draft, claim, SILENT, actor)

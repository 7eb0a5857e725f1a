"""What a claim takes from its payment: its shares of the cap, its excess, its USD value.

Pure. `claimed` counts what merchants ask back, `forced` what networks take; of a claim that is
never refused only what fits under the captured amount is the merchant's, the rest is excess. The
first `x` of a payment are worth V(x), so that all parts add up (contract, sections 1 and 8.4).
"""

from typing import Final

import msgspec

from clawback.balances.model import queued
from clawback.claims.moves import APPROVED, INQUIRY, NETWORK_MADE, PENDING, RELEASED
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.payments.model import usd_e4_of_first

replace = msgspec.structs.replace

COUNTS: Final = frozenset({PENDING, APPROVED, RELEASED})
"""Statuses in which a claim counts under the cap."""


class Share(msgspec.Struct, frozen=True):
    """What a new claim on a payment comes to. Local minor units and 1/10,000 USD."""

    before_minor: int
    before_usd_e4: int
    worth_usd_e4: int
    excess_minor: int
    excess_usd_e4: int


def share_of_next(payment: Payment, amount_minor: int) -> Share:
    """The share of a claim that would come next on this payment, whether it fits or not."""
    before_minor = payment.claimed_minor + payment.forced_minor
    before_e4 = payment.claimed_usd_e4
    excess_minor = amount_minor - min(amount_minor, payment.remaining_minor)
    worth = max(0, usd_e4_of_first(before_minor + amount_minor, payment) - before_e4)
    fitting = before_minor + amount_minor - excess_minor
    covered = max(0, usd_e4_of_first(fitting, payment) - before_e4) if excess_minor else worth
    return Share(before_minor, before_e4, worth, excess_minor, worth - covered)


def worth_of_part(claim: Claim, payment: Payment, part_minor: int) -> int:
    """What the first `part_minor` of a claim are worth, in 1/10,000 USD."""
    if part_minor == claim.amount_minor:
        return claim.amount_usd_e4
    reached = usd_e4_of_first(claim.claimed_before_minor + part_minor, payment)
    return max(0, reached - claim.claimed_before_usd_e4)


def counted_usd_e4(claim: Claim) -> int:
    """What the claim adds to its payment's claimed USD: its value, or what was granted of it."""
    if claim.kind == INQUIRY or claim.status not in COUNTS:
        return 0
    if claim.status == PENDING:
        return claim.amount_usd_e4
    return claim.payable_usd_e4 + claim.released_usd_e4


def newest_dispute(draft: Draft, payment_id: PaymentId, besides: ClaimId) -> ClaimId | None:
    """The newest open inquiry, chargeback or MED of a payment, but for one claim."""
    found = [
        claim.claim_id
        for claim in draft.claims_of(payment_id)
        if claim.kind in NETWORK_MADE and claim.is_open and claim.claim_id != besides
    ]
    return found[-1] if found else None


def relieve(draft: Draft, before: Payment, actor: str) -> None:
    """Room has come under the cap: waiting claims with an excess fit better, oldest first.

    `before` is the payment as it was. Loads the payment's claims only if there can be an excess.
    """
    payment = draft.known_payment(before.payment_id)
    taken = payment.claimed_minor + payment.forced_minor
    taken_before = before.claimed_minor + before.forced_minor
    has_overlap = taken_before > before.captured_minor or payment.open_dispute_id is not None
    if taken >= taken_before or not has_overlap:
        return
    claims = draft.claims_of(payment.payment_id)
    held = sum(one.excess_minor for one in claims if one.kind != INQUIRY and one.status in COUNTS)
    freed = held - max(0, taken - payment.captured_minor)
    for claim in claims:
        if claim.status != PENDING or claim.excess_minor == 0:
            continue
        if claim.kind == INQUIRY:
            fits = min(claim.amount_minor, payment.remaining_minor)
            gain = max(0, claim.excess_minor - (claim.amount_minor - fits))
        else:
            gain = min(claim.excess_minor, max(0, freed))
            freed -= gain
        if gain > 0:
            _fit(draft, payment, claim, gain, actor)


def _fit(draft: Draft, payment: Payment, claim: Claim, gain_minor: int, actor: str) -> None:
    """So much less of the claim is excess: that part waits for funds now."""
    excess_minor = claim.excess_minor - gain_minor
    covered = worth_of_part(claim, payment, claim.amount_minor - excess_minor)
    excess_e4 = claim.amount_usd_e4 - covered
    fitted = replace(
        claim,
        excess_minor=excess_minor,
        excess_usd_e4=excess_e4,
        missing_usd_e4=claim.missing_usd_e4 + claim.excess_usd_e4 - excess_e4,
        version=claim.version + 1,
        updated_at=draft.now,
    )
    fitted = draft.put_claim(queued(fitted, draft.now))
    draft.tell("claim.updated", fitted, actor=actor, from_status=claim.status)

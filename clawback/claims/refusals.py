"""What a refund or an action on a claim may be refused for, with the facts of each refusal.

Codes, statuses and details: contract, section 3. Amounts are kept in minor units and shown in
major ones.
"""

from datetime import datetime

from clawback import clock
from clawback.currencies import Currency, exponent
from clawback.errors import Refused
from clawback.money import major, usd


class PaymentNotRefundable(Refused, frozen=True, kw_only=True):
    """The payment has not been captured."""

    code = "payment_not_refundable"
    message = "Only a captured payment can be refunded."
    payment_status: str

    def details(self) -> dict[str, object]:
        """The payment's status."""
        return {"status": self.payment_status}


class PaymentDisputed(Refused, frozen=True, kw_only=True):
    """A chargeback or MED on the payment is open, or the refund is too small for an inquiry."""

    code = "payment_disputed"
    message = "The payment is disputed; a refund could pay the payer twice."
    claim_id: str
    kind: str
    claim_status: str
    minimum_minor: int | None
    currency: Currency

    def details(self) -> dict[str, object]:
        """The claim in the way, and the least that ends an inquiry; null if no refund does."""
        minimum = self.minimum_minor
        return {
            "claimId": self.claim_id,
            "kind": self.kind,
            "status": self.claim_status,
            "minimumAmount": None if minimum is None else major(minimum, exponent(self.currency)),
        }


class RefundNotSupported(Refused, frozen=True, kw_only=True):
    """The rail or the provider cannot pay back."""

    code = "refund_not_supported"
    message = "This payment's rail cannot pay back."
    rail: str

    def details(self) -> dict[str, object]:
        """The rail."""
        return {"rail": self.rail}


class RefundWindowClosed(Refused, frozen=True, kw_only=True):
    """The last moment for a refund is past."""

    code = "refund_window_closed"
    message = "The rail's last day for a refund of this payment is past."
    deadline_at: datetime

    def details(self) -> dict[str, object]:
        """The last moment."""
        return {"deadlineAt": clock.wire_time(self.deadline_at)}


class PartialRefundNotSupported(Refused, frozen=True, kw_only=True):
    """The rail refunds in full only."""

    code = "partial_refund_not_supported"
    message = "This payment's rail refunds in full only; leave the amount out."
    param: str | None = "amount"
    max_refunds: int | None

    def details(self) -> dict[str, object]:
        """How many refunds the rail takes; null is any number."""
        return {"maxRefunds": self.max_refunds}


class MultipleRefundsNotSupported(Refused, frozen=True, kw_only=True):
    """One refund too many for the rail."""

    code = "multiple_refunds_not_supported"
    message = "This payment has had as many refunds as its rail takes."
    max_refunds: int

    def details(self) -> dict[str, object]:
        """How many the rail takes."""
        return {"maxRefunds": self.max_refunds}


class RemainingChanged(Refused, frozen=True, kw_only=True):
    """`expectedRemaining` is not what remains."""

    code = "remaining_changed"
    message = "What is left of this payment has changed since you looked."
    param: str | None = "expectedRemaining"
    expected_minor: int
    remaining_minor: int
    currency: Currency

    def details(self) -> dict[str, object]:
        """What was expected and what remains."""
        places = exponent(self.currency)
        return {
            "expected": major(self.expected_minor, places),
            "remaining": major(self.remaining_minor, places),
            "currency": self.currency,
        }


class RefundExceedsRemaining(Refused, frozen=True, kw_only=True):
    """More is asked back than the payment still holds."""

    code = "refund_exceeds_remaining"
    message = "The amount is larger than what is left of this payment."
    param: str | None = "amount"
    remaining_minor: int
    captured_minor: int
    claimed_minor: int
    currency: Currency

    def details(self) -> dict[str, object]:
        """What remains, of what."""
        places = exponent(self.currency)
        return {
            "remaining": major(self.remaining_minor, places),
            "captured": major(self.captured_minor, places),
            "claimed": major(self.claimed_minor, places),
            "currency": self.currency,
        }


class ClaimTransitionInvalid(Refused, frozen=True, kw_only=True):
    """The claim's kind or status does not allow the action."""

    code = "claim_transition_invalid"
    message = "The claim does not allow this action as it stands."
    kind: str
    claim_status: str
    pending_reason: str | None
    allowed: tuple[str, ...]

    def details(self) -> dict[str, object]:
        """How the claim stands, and where it may go."""
        return {
            "kind": self.kind,
            "status": self.claim_status,
            "pendingReason": self.pending_reason,
            "allowed": list(self.allowed),
        }


class ClaimInFlight(Refused, frozen=True, kw_only=True):
    """The refund was handed to the provider already."""

    code = "claim_in_flight"
    message = "The refund is on its way already and cannot be canceled."
    attempt_id: str

    def details(self) -> dict[str, object]:
        """The attempt that began."""
        return {"attemptId": self.attempt_id}


class EvidenceClosed(Refused, frozen=True, kw_only=True):
    """Submitted already, accepted, or past the deadline."""

    code = "evidence_closed"
    message = "Evidence is closed: it was submitted, the case was accepted, or the time is over."
    due_at: datetime | None
    submitted_at: datetime | None

    def details(self) -> dict[str, object]:
        """Until when it was taken, and when it was submitted."""
        return {
            "evidenceDueAt": clock.maybe_wire_time(self.due_at),
            "evidenceSubmittedAt": clock.maybe_wire_time(self.submitted_at),
        }


class EvidenceInvalid(Refused, frozen=True, kw_only=True):
    """A file of another type, without content, too many of them, or nothing to submit."""

    code = "evidence_invalid"
    message = "The evidence cannot be taken; see details."
    rule: str

    def details(self) -> dict[str, object]:
        """What it breaks: type, content, size, count, total_size or nothing_to_submit."""
        return {"rule": self.rule}


class SelfApproval(Refused, frozen=True, kw_only=True):
    """The approver is the principal that asked."""

    code = "self_approval"
    message = "Who asked for a refund cannot decide it; a second principal must."


class KeyLimitExceeded(Refused, frozen=True, kw_only=True):
    """A limit of a restricted key."""

    code = "key_limit_exceeded"
    message = "This key may not give back that much; see details."
    limit: str
    limit_usd_e4: int
    used_usd_e4: int
    amount_usd_e4: int

    def details(self) -> dict[str, object]:
        """Which limit, how much of it is used, and what was asked."""
        return {
            "limit": self.limit,
            "limitUsd": usd(self.limit_usd_e4),
            "usedUsd": usd(self.used_usd_e4),
            "amountUsd": usd(self.amount_usd_e4),
        }

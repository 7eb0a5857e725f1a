"""What a payment may be refused for, with the facts of each refusal.

Codes, statuses and details: contract, section 3. Amounts are kept in 1/10,000 USD and shown in
major units.
"""

from clawback.errors import Refused
from clawback.money import usd


class FieldMissing(Refused, frozen=True, kw_only=True):
    """A field that this request needs is absent."""

    code = "missing_field"
    message = "A required field is missing."

    def details(self) -> dict[str, object]:
        """The field, as in other faults of shape."""
        return {"errors": [{"param": self.param, "code": self.code}]}


class FieldInvalid(Refused, frozen=True, kw_only=True):
    """A field has a value that this call does not take."""

    code = "invalid_field"
    message = "A field has a value that this call does not take."

    def details(self) -> dict[str, object]:
        """The field, as in other faults of shape."""
        return {"rule": "value", "errors": [{"param": self.param, "code": self.code}]}


class PaymentMethodUnavailable(Refused, frozen=True, kw_only=True):
    """The method is unknown, not of this country, or not routable."""

    code = "payment_method_unavailable"
    message = "This payment method cannot be charged here."
    reason: str

    def details(self) -> dict[str, object]:
        """Why not."""
        return {"reason": self.reason}


class AmountOutOfRange(Refused, frozen=True, kw_only=True):
    """The amount is outside what the method takes."""

    code = "amount_out_of_range"
    message = "The amount is outside the limits of this payment method."
    min_usd_e4: int
    max_usd_e4: int

    def details(self) -> dict[str, object]:
        """The limits, in USD."""
        return {"min": usd(self.min_usd_e4), "max": usd(self.max_usd_e4), "currency": "USD"}


class MissingRequiredFields(Refused, frozen=True, kw_only=True):
    """The method needs more of the buyer."""

    code = "missing_required_fields"
    message = "This payment method needs more fields of the buyer."
    missing: tuple[tuple[str, str, str], ...]

    def details(self) -> dict[str, object]:
        """Each field with its type and label."""
        fields = [{"key": key, "type": kind, "label": label} for key, kind, label in self.missing]
        return {"missingFields": fields, "malformedFields": []}


class SimulateNotPossible(Refused, frozen=True, kw_only=True):
    """The payment is in the wrong state for this action."""

    code = "simulate_not_possible"
    message = "The payment does not allow this action as it stands."
    action: str
    payment_status: str
    allowed: tuple[str, ...]

    def details(self) -> dict[str, object]:
        """How the payment stands, and what it allows."""
        return {
            "action": self.action,
            "status": self.payment_status,
            "allowed": list(self.allowed),
        }

"""The three families of errors.

1. `Refused`: a value, returned and never raised: the caller asked for something that the rules
   do not allow. Its code, status and details are those of the contract, section 3.
2. Provider outcomes: see `providers/port.py`.
3. Bugs: assertions; never caught by us, answered as `internal_error` with a request id.
"""

from typing import ClassVar, Final

import msgspec

STATUS: Final[dict[str, int]] = {
    "headers_too_large": 431,
    "uri_too_long": 414,
    "invalid_header": 400,
    "request_timeout": 408,
    "body_too_large": 413,
    "route_not_found": 404,
    "method_not_allowed": 405,
    "key_in_url": 400,
    "missing_api_key": 401,
    "invalid_api_key": 401,
    "invalid_signature": 401,
    "stale_timestamp": 401,
    "rate_limited": 429,
    "key_kind_not_allowed": 403,
    "scope_missing": 403,
    "sandbox_only": 403,
    "invalid_version": 400,
    "unsupported_media_type": 415,
    "invalid_idempotency_key": 400,
    "idempotency_key_required": 400,
    "invalid_json": 400,
    "duplicate_key": 400,
    "invalid_csv": 400,
    "unknown_field": 400,
    "missing_field": 400,
    "invalid_field": 400,
    "invalid_amount": 400,
    "invalid_parameter": 400,
    "overloaded": 503,
    "unavailable": 503,
    "idempotency_conflict": 409,
    "idempotency_in_progress": 409,
    "not_found": 404,
    "payment_not_refundable": 409,
    "payment_disputed": 409,
    "remaining_changed": 409,
    "claim_transition_invalid": 409,
    "claim_in_flight": 409,
    "evidence_closed": 409,
    "preview_stale": 409,
    "simulate_not_possible": 409,
    "refund_exceeds_remaining": 422,
    "refund_not_supported": 422,
    "refund_window_closed": 422,
    "partial_refund_not_supported": 422,
    "multiple_refunds_not_supported": 422,
    "missing_required_fields": 422,
    "payment_method_unavailable": 422,
    "amount_out_of_range": 422,
    "payer_details_invalid": 422,
    "evidence_invalid": 422,
    "batch_refused": 422,
    "commit_token_invalid": 422,
    "webhook_url_refused": 422,
    "webhook_limit_reached": 422,
    "self_approval": 403,
    "key_limit_exceeded": 403,
    "internal_error": 500,
}
"""Every code that Clawback answers with, and its status (contract, section 3)."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all refusals. A subclass sets `code` and `message` and adds the facts as fields."""

    code: ClassVar[str]
    message: ClassVar[str]
    param: str | None = None

    def details(self) -> dict[str, object] | None:
        """What `error.details` shows; None where the contract lists nothing."""
        return None


class NotFound(Refused, frozen=True, kw_only=True):
    """No such object in this book; absent, malformed and foreign names are not told apart."""

    code = "not_found"
    message = "There is no such object."


class InvalidAmount(Refused, frozen=True, kw_only=True):
    """An amount breaks a rule of the contract, section 1."""

    code = "invalid_amount"
    message = "The amount breaks a rule; details.rule says which."
    rule: str
    maximum: int | None = None
    decimals: int | None = None

    def details(self) -> dict[str, object]:
        """The rule, and the bound that explains it."""
        shown: dict[str, object] = {"rule": self.rule}
        if self.maximum is not None:
            shown["maximum"] = self.maximum
        if self.decimals is not None:
            shown["decimals"] = self.decimals
        return shown


class IdempotencyConflict(Refused, frozen=True, kw_only=True):
    """The idempotency key already belongs to another request."""

    code = "idempotency_conflict"
    message = "This Idempotency-Key was used for a different request."


class IdempotencyInProgress(Refused, frozen=True, kw_only=True):
    """The first request under this key still waits for its provider."""

    code = "idempotency_in_progress"
    message = "The first request with this Idempotency-Key is still running. Try again."
    object_id: str | None = None


class Overloaded(Refused, frozen=True, kw_only=True):
    """The lane's queue is full; nothing was done."""

    code = "overloaded"
    message = "Too many requests are waiting. Nothing was done; try again."


class Unavailable(Refused, frozen=True, kw_only=True):
    """The database is away, starting or draining, or a lock was not had; nothing was done."""

    code = "unavailable"
    message = "The service cannot answer right now. Nothing was done; try again."


class InternalError(Refused, frozen=True, kw_only=True):
    """Our fault; with an Idempotency-Key a retry finds the committed result or runs afresh."""

    code = "internal_error"
    message = "Something went wrong on our side. Quote the request id when you ask about it."

"""Refusals that belong to the transport: everything that is wrong before a handler is called.

One class for each code, so that `http/` answers them like every other refusal.
"""

import msgspec

from clawback.errors import Refused


class Fault(Refused, frozen=True, kw_only=True):
    """A transport refusal without details."""


class HeadersTooLarge(Fault, frozen=True, kw_only=True):
    """Over 32 KiB or 100 header fields."""

    code = "headers_too_large"
    message = "The request's headers are too large."
    limit: int

    def details(self) -> dict[str, object]:
        """The limit."""
        return {"limit": self.limit}


class UriTooLong(HeadersTooLarge, frozen=True, kw_only=True):
    """Over 8 KiB."""

    code = "uri_too_long"
    message = "The request's address is too long."


class BodyTooLarge(HeadersTooLarge, frozen=True, kw_only=True):
    """Over the call's limit."""

    code = "body_too_large"
    message = "The request's body is too large."


class InvalidHeader(Fault, frozen=True, kw_only=True):
    """A header that may come once is doubled, or one is malformed."""

    code = "invalid_header"
    message = "A header is doubled or malformed."


class RequestTimeout(Fault, frozen=True, kw_only=True):
    """The request was not complete in time."""

    code = "request_timeout"
    message = "The request was not complete in time."


class RouteNotFound(Fault, frozen=True, kw_only=True):
    """No such path."""

    code = "route_not_found"
    message = "There is no such path."


class MethodNotAllowed(Fault, frozen=True, kw_only=True):
    """The path has other methods."""

    code = "method_not_allowed"
    message = "This path does not take that method; see header Allow."


class KeyInUrl(Fault, frozen=True, kw_only=True):
    """Something like a key stands in the URL."""

    code = "key_in_url"
    message = "An API key must never stand in a URL. Treat that key as published: revoke it."


class MissingApiKey(Fault, frozen=True, kw_only=True):
    """No bearer key."""

    code = "missing_api_key"
    message = "Send your secret key as `Authorization: Bearer <key>`."


class InvalidApiKey(Fault, frozen=True, kw_only=True):
    """Unknown, malformed, expired or revoked: not told apart."""

    code = "invalid_api_key"
    message = "This API key does not open anything."


class RateLimited(Fault, frozen=True, kw_only=True):
    """Too many requests with this key, or too many wrong keys from this address."""

    code = "rate_limited"
    message = "Too many requests. Wait as long as Retry-After says."
    retry_after: int = 1


class KeyKindNotAllowed(Fault, frozen=True, kw_only=True):
    """A publishable key on a secret call."""

    code = "key_kind_not_allowed"
    message = "This call needs a secret key."


class ScopeMissing(Fault, frozen=True, kw_only=True):
    """The key's scopes do not include this call's."""

    code = "scope_missing"
    message = "This key's scopes do not include this call."
    scope: str

    def details(self) -> dict[str, object]:
        """The scope that is missing."""
        return {"scope": self.scope}


class SandboxOnly(Fault, frozen=True, kw_only=True):
    """A sandbox call or header with a live key."""

    code = "sandbox_only"
    message = "Sandbox calls and headers work with test keys only."


class InvalidVersion(Fault, frozen=True, kw_only=True):
    """Not a published version."""

    code = "invalid_version"
    message = "Clawback-Version is not a published date."
    supported: tuple[str, ...]

    def details(self) -> dict[str, object]:
        """The published versions."""
        return {"supported": list(self.supported)}


class UnsupportedMediaType(Fault, frozen=True, kw_only=True):
    """A content type or encoding that this call does not take."""

    code = "unsupported_media_type"
    message = "Send the body as application/json, without Content-Encoding."


class InvalidIdempotencyKey(Fault, frozen=True, kw_only=True):
    """Empty, over 255 characters, or not printable ASCII."""

    code = "invalid_idempotency_key"
    message = "An Idempotency-Key has 1 to 255 printable ASCII characters."


class IdempotencyKeyRequired(Fault, frozen=True, kw_only=True):
    """The book demands one."""

    code = "idempotency_key_required"
    message = "This book demands an Idempotency-Key on every POST."


class InvalidJson(Fault, frozen=True, kw_only=True):
    """The body breaks a rule of JSON or of the contract's section 1."""

    code = "invalid_json"
    message = "The body is not the JSON object that this call takes."


class DuplicateKey(Fault, frozen=True, kw_only=True):
    """An object names a key twice."""

    code = "duplicate_key"
    message = "An object in the body names a key twice."


class InvalidParameter(Fault, frozen=True, kw_only=True):
    """A query parameter or Sandbox-Simulate is unknown, repeated or out of form."""

    code = "invalid_parameter"
    message = "A query parameter or header value is unknown, repeated or out of form."


class ShapeFault(msgspec.Struct, frozen=True):
    """One fault of a body's shape."""

    param: str
    code: str
    rule: str | None = None
    maximum: int | None = None
    decimals: int | None = None


MESSAGES = {
    "unknown_field": "The body has a field that this call does not take.",
    "missing_field": "A required field is missing.",
    "invalid_field": "A field has the wrong type, length or form.",
    "invalid_amount": "The amount breaks a rule; details.rule says which.",
}


class InvalidShape(Refused, frozen=True, kw_only=True):
    """One or more fields are wrong; the first in the contract's order names the answer."""

    code = "invalid_field"
    message = MESSAGES["invalid_field"]
    faults: tuple[ShapeFault, ...]

    def details(self) -> dict[str, object]:
        """Up to twenty faults, and what explains the first."""
        first = self.faults[0]
        shown: dict[str, object] = {}
        for name in ("rule", "maximum", "decimals"):
            if getattr(first, name) is not None:
                shown[name] = getattr(first, name)
        shown["errors"] = [{"param": one.param, "code": one.code} for one in self.faults[:20]]
        return shown


class UnknownField(InvalidShape, frozen=True, kw_only=True):
    """Not a field of this call."""

    code = "unknown_field"
    message = MESSAGES["unknown_field"]


class MissingField(InvalidShape, frozen=True, kw_only=True):
    """Required, but absent or null."""

    code = "missing_field"
    message = MESSAGES["missing_field"]


class InvalidField(InvalidShape, frozen=True, kw_only=True):
    """Wrong type, length, pattern or enum value."""


class InvalidAmountField(InvalidShape, frozen=True, kw_only=True):
    """An amount breaks a rule that needs no currency."""

    code = "invalid_amount"
    message = MESSAGES["invalid_amount"]


SHAPES: dict[str, type[InvalidShape]] = {
    "unknown_field": UnknownField,
    "missing_field": MissingField,
    "invalid_field": InvalidField,
    "invalid_amount": InvalidAmountField,
}

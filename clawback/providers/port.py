"""The port that every provider adapter fills: what is asked, and how a call can end.

Every ending of a call is a value. A refund ends in exactly one of `Accepted`, `Settled`,
`Declined`, `Unavailable` or `Unknown`: `Unavailable` only if it is proven that no byte of the
request left, `Declined` only if the provider said so about this very reference, and whatever is
doubtful is `Unknown`, to be resolved by looking it up, never by time. Amounts and currencies in an
outcome are the provider's words; whoever folds them compares them with the attempt's own.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final, Literal, Protocol

import msgspec

from clawback.ids import base36

_REFUND_REFERENCE: Final = re.compile(
    r"CLM([0-9A-Z]{8})([0-9A-Z]{4})([0-9A-Z]{2})([0-9A-Z]{2})", re.ASCII
)
_CHARGE_REFERENCE: Final = re.compile(
    r"TXN([0-9A-Z]{8})([0-9A-Z]{4})([0-9A-Z]{2})([0-9A-Z]{2})", re.ASCII
)


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of requests and outcomes."""


# What is asked.


class ChargeRequest(Value, frozen=True, kw_only=True):
    """Ask a payer for money. `amount_minor`: in the currency's ISO 4217 minor units."""

    book: str
    book_time: datetime
    reference: str
    method: str
    amount_minor: int
    currency: str
    country: str
    merchant_name: str
    simulate: str | None = None


class Payee(Value, frozen=True, kw_only=True):
    """Where a refund goes on a rail that cannot find the payer (contract, section 8.5)."""

    rail: str
    holder_name: str | None = None
    account: str | None = None
    account_type: str | None = None
    bank_code: str | None = None
    document_type: str | None = None
    document_id: str | None = None


class RefundRequest(Value, frozen=True, kw_only=True):
    """Give money of a charge back. `amount_minor`: in the currency's ISO 4217 minor units."""

    book: str
    book_time: datetime
    reference: str
    charge_reference: str
    amount_minor: int
    currency: str
    payee: Payee | None = None


class LookupRequest(Value, frozen=True, kw_only=True):
    """Ask what became of a charge or refund; for a charge both references are the same."""

    book: str
    book_time: datetime
    reference: str
    charge_reference: str


class FaultRequest(Value, frozen=True, kw_only=True):
    """Make coming calls of a book go wrong: one fault a call, in order (contract, section 12).

    `charge_reference`: only calls about this charge; `repeat`: start over at the end.
    """

    book: str
    operation: str
    sequence: tuple[str, ...]
    charge_reference: str | None = None
    repeat: bool = False


# How a refund ends.


class Accepted(Value, frozen=True, kw_only=True):
    """The provider took the refund on; the money has not left yet."""

    outcome: ClassVar[str] = "accepted"
    provider_reference: str
    rail_reference: str | None
    amount_minor: int
    currency: str
    settles_at: datetime | None


class Settled(Value, frozen=True, kw_only=True):
    """The money has left. Not final: it may come back as `Returned`."""

    outcome: ClassVar[str] = "settled"
    provider_reference: str
    rail_reference: str | None
    amount_minor: int
    currency: str
    settled_at: datetime | None


class Declined(Value, frozen=True, kw_only=True):
    """Refused for good, said of this reference: nothing has left and nothing will."""

    outcome: ClassVar[str] = "declined"
    provider_reference: str | None
    reason: str


class Unavailable(Value, frozen=True, kw_only=True):
    """Proven not sent: no byte of the request has left."""

    outcome: ClassVar[str] = "unavailable"
    reason: str
    retry_after_seconds: int | None = None


class Unknown(Value, frozen=True, kw_only=True):
    """It may have taken effect or not. Look it up; send again only what is proven absent."""

    outcome: ClassVar[str] = "unknown"
    reason: str
    retry_after_seconds: int | None = None


class Returned(Value, frozen=True, kw_only=True):
    """It had settled, and the payer's bank sent the money back."""

    provider_reference: str
    rail_reference: str | None
    amount_minor: int
    currency: str
    reason: str
    returned_at: datetime | None


class Absent(Value, frozen=True, kw_only=True):
    """The provider knows of no such reference: it had no effect, at the time of asking."""


Outcome = Accepted | Settled | Declined | Unavailable | Unknown
Found = Outcome | Returned | Absent


# How a charge stands.


class Charge(Value, frozen=True, kw_only=True):
    """Base of what is known of a charge. `next_change_at`: when it will change by itself."""

    status: ClassVar[str]
    provider_reference: str
    rail_reference: str | None
    amount_minor: int
    currency: str
    payment_data: dict[str, str]
    expires_at: datetime | None
    next_change_at: datetime | None


class Pending(Charge, frozen=True, kw_only=True):
    """Waits for its payer."""

    status = "pending"


class Processing(Charge, frozen=True, kw_only=True):
    """Part of the money was seen."""

    status = "processing"


class Completed(Charge, frozen=True, kw_only=True):
    """Paid, in full."""

    status = "completed"
    completed_at: datetime | None


class Failed(Charge, frozen=True, kw_only=True):
    """Declined or abandoned; late money may still complete it."""

    status = "failed"
    failure_code: str


class Expired(Charge, frozen=True, kw_only=True):
    """Its paying window is over; late money may still complete it."""

    status = "expired"
    failure_code: str


KnownCharge = Pending | Processing | Completed | Failed | Expired
Charged = KnownCharge | Unavailable | Unknown


# What a provider tells by itself.


class ChargeNotice(Value, frozen=True, kw_only=True):
    """A genuine notice about a charge. It carries no payment data."""

    id: str
    reference: str
    finding: KnownCharge
    at: datetime


class RefundNotice(Value, frozen=True, kw_only=True):
    """A genuine notice about a refund."""

    id: str
    reference: str
    charge_reference: str
    finding: Accepted | Settled | Declined | Returned
    at: datetime


class OtherNotice(Value, frozen=True, kw_only=True):
    """A genuine notice of a type that means nothing to us: taken and put by."""

    id: str


class NoticeRefused(Value, frozen=True, kw_only=True):
    """Not from the provider, or too old: answered with 401 and this code."""

    code: Literal["invalid_signature", "stale_timestamp"]


Noticed = ChargeNotice | RefundNotice | OtherNotice | NoticeRefused


class Provider(Protocol):
    """What an adapter does. No method raises but for cancellation and bugs."""

    name: str

    async def charge(self, request: ChargeRequest) -> Charged:
        """Open a charge; at most one effect per reference, however often it is sent."""
        ...

    async def lookup_charge(self, request: LookupRequest) -> Charged | Absent:
        """What became of a charge."""
        ...

    async def refund(self, request: RefundRequest) -> Outcome:
        """Send a refund; at most one effect per reference, however often it is sent."""
        ...

    async def lookup_refund(self, request: LookupRequest) -> Found:
        """What became of a refund."""
        ...

    async def lookup_refunds(self, requests: Sequence[LookupRequest]) -> Sequence[Found]:
        """What became of refunds of one book, at most 100, in the order asked.

        One call where the provider can; one doubt about that call is a doubt about all.
        """
        ...

    def verify_notice(
        self, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...], now: datetime
    ) -> Noticed:
        """Check a notice over its raw bytes, then read it. Header names in lower case."""
        ...


class FaultScript(Value, frozen=True, kw_only=True):
    """A script of faults as it stands; `fired` counts what it has done so far."""

    id: str
    operation: str
    remaining: tuple[str, ...]
    repeat: bool
    charge_reference: str | None
    fired: dict[str, int]


ChargeAction = Literal["processing", "completed", "failed", "expired"]
RefundAction = Literal["settled", "declined", "returned"]


class Sandbox(Provider, Protocol):
    """What a provider of test books does besides: it can be told what to do."""

    async def simulate_charge(
        self, request: LookupRequest, status: ChargeAction
    ) -> Charged | Absent:
        """Bring a charge to this status now. Unknown("status_409") if it cannot be."""
        ...

    async def simulate_refund(self, request: LookupRequest, status: RefundAction) -> Found:
        """Bring a refund to this status now. Unknown("status_409") if it cannot be."""
        ...

    async def next_change_at(self, *, book: str, book_time: datetime) -> datetime | None:
        """When the provider will next change something of the book by itself; None: never."""
        ...

    async def add_fault(self, asked: FaultRequest) -> FaultScript | None:
        """Add a script of faults; None if it was not taken."""
        ...

    async def faults(self, book: str) -> tuple[FaultScript, ...] | None:
        """The scripts of a book, spent ones too; None if they cannot be had."""
        ...

    async def clear_faults(self, book: str) -> int | None:
        """Forget the scripts of a book; how many there were, None if it was not done."""
        ...


# Our references (rails.md, section 5).


class RefundReference(Value, frozen=True, kw_only=True):
    """What a refund's reference says: claim, shard, and which try of it."""

    claim_id: str
    shard: int
    generation: int


def refund_reference(claim_id: str, shard: int, generation: int) -> str:
    """Our reference of one generation of a claim's refund: 19 upper-case letters and digits.

    Claim id without hyphens, shard and generation in two base-36 digits each, so that a notice
    finds its shard by itself. Bug: a malformed id, or a number outside 0 to 1295.
    """
    return _reference(claim_id, shard, generation)


def charge_reference(payment_id: str, shard: int, generation: int = 1) -> str:
    """Our reference of a payment's charge, in the same form."""
    return _reference(payment_id, shard, generation)


def parse_refund_reference(reference: str) -> RefundReference | None:
    """Claim, shard and generation of a reference of ours; None if it is none."""
    match = _REFUND_REFERENCE.fullmatch(reference)
    if match is None:
        return None
    stamp, tail, shard, generation = match.groups()
    return RefundReference(
        claim_id=f"CLM-{stamp}-{tail}", shard=int(shard, 36), generation=int(generation, 36)
    )


def parse_charge_reference(reference: str) -> tuple[str, int] | None:
    """Payment id and shard of a reference of ours; None if it is none."""
    match = _CHARGE_REFERENCE.fullmatch(reference)
    if match is None:
        return None
    stamp, tail, shard, _ = match.groups()
    return f"TXN-{stamp}-{tail}", int(shard, 36)


def _reference(name: str, shard: int, generation: int) -> str:
    assert min(shard, generation) >= 0, (shard, generation)
    reference = name.replace("-", "") + base36(shard, 2) + base36(generation, 2)
    is_ours = _REFUND_REFERENCE.fullmatch(reference) or _CHARGE_REFERENCE.fullmatch(reference)
    assert is_ours, reference
    return reference

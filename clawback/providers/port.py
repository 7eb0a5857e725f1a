"""The port that every provider adapter fills: what is asked, and how a call can end.

Every ending of a call is a value. A refund ends in exactly one of `Accepted`, `Settled`,
`Declined`, `Unavailable` or `Unknown`: `Unavailable` only if it is proven that no byte of the
request left, `Declined` only if the provider said so about this very reference, and whatever is
doubtful is `Unknown`, to be resolved by looking it up, never by time. Amounts and currencies in an
outcome are the provider's words; whoever folds them compares them with the attempt's own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Literal, Protocol

import msgspec

from clawback.providers import references

RefundReference = references.RefundReference
refund_reference = references.refund_reference
charge_reference = references.charge_reference
parse_refund_reference = references.parse_refund_reference
parse_charge_reference = references.parse_charge_reference


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


DisputeKind = Literal["inquiry", "chargeback", "med"]
DisputeStatus = Literal["opened", "won", "lost", "withdrawn", "escalated", "reopened", "reversed"]


class Document(Value, frozen=True, kw_only=True):
    """A piece of evidence: a text, or a file with its SHA-256."""

    type: str
    text: str | None = None
    filename: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    data: bytes | None = None
    note: str | None = None


class EvidenceRequest(Value, frozen=True, kw_only=True):
    """Send what speaks against a case, once per round of it."""

    book: str
    book_time: datetime
    reference: str
    case: str
    kind: DisputeKind
    documents: tuple[Document, ...]


class AcceptRequest(Value, frozen=True, kw_only=True):
    """The merchant gives in."""

    book: str
    book_time: datetime
    reference: str
    case: str
    kind: DisputeKind


class DisputeLookup(Value, frozen=True, kw_only=True):
    """Ask how a case stands."""

    book: str
    book_time: datetime
    case: str
    kind: DisputeKind


class FaultRequest(Value, frozen=True, kw_only=True):
    """Make coming calls of a book go wrong: one fault a call, in order (contract, section 12).

    `charge_reference`: only calls about this charge; `repeat`: start over at the end.
    `reference`: asked again under it, it is one script.
    """

    book: str
    operation: str
    sequence: tuple[str, ...]
    charge_reference: str | None = None
    repeat: bool = False
    reference: str | None = None


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


class DisputeNotice(Value, frozen=True, kw_only=True):
    """A genuine notice about a dispute: what the network says of its case.

    `case` is the provider's name of the case, one per kind; `round` counts its rounds from 1;
    `amount_minor` is what is demanded, or with `lost` what is granted; `demanded_minor` is the
    demand in either; `next_case` names the chargeback that an escalated inquiry became.
    """

    id: str
    case: str
    kind: DisputeKind
    charge_reference: str
    status: DisputeStatus
    round: int = 1
    amount_minor: int
    demanded_minor: int | None = None
    currency: str
    reason: str | None = None
    reason_code: str | None = None
    rail_reference: str | None = None
    evidence_due_at: datetime | None = None
    next_case: str | None = None
    at: datetime


class OtherNotice(Value, frozen=True, kw_only=True):
    """A genuine notice of a type that means nothing to us: taken and put by."""

    id: str


class NoticeRefused(Value, frozen=True, kw_only=True):
    """Not from the provider, or too old: answered with 401 and this code."""

    code: Literal["invalid_signature", "stale_timestamp"]


Noticed = ChargeNotice | RefundNotice | DisputeNotice | OtherNotice | NoticeRefused


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

    async def submit_evidence(self, request: EvidenceRequest) -> Outcome:
        """Send evidence; Settled: the network has it. One effect per reference."""
        ...

    async def accept_dispute(self, request: AcceptRequest) -> Outcome:
        """Give in; Settled: the network has it. One effect per reference."""
        ...

    async def lookup_dispute(
        self, request: DisputeLookup
    ) -> DisputeNotice | Absent | Unavailable | Unknown:
        """How a case stands, as its newest notice would tell it."""
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


class Ahead(Value, frozen=True, kw_only=True):
    """What a provider will do by itself next, and how many notices are on their way just now."""

    next_at: datetime | None
    untold: int


class OutsideRefund(Value, frozen=True, kw_only=True):
    """Have money of a charge go back that nobody asked us for; None: all that is left."""

    book: str
    book_time: datetime
    charge_reference: str
    amount_minor: int | None = None
    reference: str | None = None


DisputeAction = Literal[
    "chargeback",
    "inquiry",
    "med",
    "chargeback_won",
    "med_won",
    "inquiry_won",
    "chargeback_lost",
    "med_lost",
    "chargeback_withdrawn",
    "inquiry_escalated",
    "chargeback_reopened",
    "chargeback_reversed",
]


class DisputeSimulation(Value, frozen=True, kw_only=True):
    """Have the network do something to a case; `case` None: the newest that fits.

    `reference`: asked again under it, it has one effect and one answer.
    """

    book: str
    book_time: datetime
    charge_reference: str
    action: DisputeAction
    amount_minor: int | None = None
    case: str | None = None
    reason: str | None = None
    reference: str | None = None


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

    async def simulate_dispute(
        self, request: DisputeSimulation
    ) -> DisputeNotice | Absent | Unavailable | Unknown:
        """Bring a case about or to its end now. Unknown("status_409") if it cannot be."""
        ...

    async def refund_outside(
        self, request: OutsideRefund
    ) -> RefundNotice | Absent | Unavailable | Unknown:
        """Give money back without us now. Unknown("status_409") if it cannot be."""
        ...

    async def look_ahead(self, *, book: str, book_time: datetime) -> Ahead | None:
        """Have the provider do what is due, then say what comes next; None: it cannot be asked."""
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

"""What the sandbox provider and its callers say to each other, as JSON.

Amounts are integers in minor units of the currency (ISO 4217). Times are RFC 3339 and, but for
the signing of notices, those of the caller's book clock, which each request carries in the header
`X-Book-Time`; `X-Book` names the book. Both sides read these records; unknown fields in a request
are refused, so that a misspelt one cannot change what is asked.
"""

from datetime import datetime
from typing import Final, Literal

import msgspec

ChargeStatus = Literal["pending", "processing", "completed", "failed", "expired"]
RefundStatus = Literal["accepted", "settled", "declined", "returned"]

DisputeKind = Literal["inquiry", "chargeback", "med"]
DisputeStatus = Literal["opened", "won", "lost", "withdrawn", "escalated", "reopened", "reversed"]
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

DISPUTED: Final[tuple[DisputeKind, ...]] = ("chargeback", "inquiry", "med")
"""`simulate` on a charge that also plans a case, half a minute after the charge completes."""

SIMULATIONS: Final = {
    "paid": ("completed", 5),
    "failed": ("failed", 5),
    "expired": ("expired", 30),
    "slow_payment": ("completed", 300),
    "chargeback": ("completed", 5),
    "inquiry": ("completed", 5),
    "med": ("completed", 5),
}
"""`simulate` on a charge: what becomes of it, and after how many seconds of the book's clock."""

OPERATIONS: Final = ("charge", "refund", "lookup", "evidence", "accept", "webhook")
CALL_FAULTS: Final = (
    "none",
    "decline",
    "unavailable",
    "rate_limited",
    "timeout_before_effect",
    "timeout_after_effect",
    "error_after_effect",
    "bad_body",
    "wrong_amount",
    "never_settles",
    "fails_after_3_days",
    "slow",
)
NOTICE_FAULTS: Final = ("none", "lost", "duplicate", "out_of_order", "late", "bad_signature")


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what is sent to the provider."""


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what the provider answers; readers ignore fields that they do not know."""


class AskCharge(Asked, frozen=True, kw_only=True):
    """POST /charges."""

    reference: str
    method: str
    amount_minor: int
    currency: str
    country: str
    merchant_name: str
    simulate: str | None = None


class SimulateCharge(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/simulate."""

    status: Literal["processing", "completed", "failed", "expired"]


class AskRefund(Asked, frozen=True, kw_only=True):
    """POST /refunds. `payee`: where the money goes, on rails that cannot find the payer."""

    reference: str
    charge_reference: str
    amount_minor: int
    currency: str
    payee: dict[str, str] | None = None


class SimulateRefund(Asked, frozen=True, kw_only=True):
    """POST /refunds/{reference}/simulate."""

    status: Literal["settled", "declined", "returned"]


class AskOutsideRefund(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/refunds: money that somebody gives back without us.

    `amount_minor` None: all that is left. `reference`: asked again, it has one effect.
    """

    reference: str | None = None
    amount_minor: int | None = None


class AskDispute(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/disputes. `case` None: the newest that the action fits.

    `reference`: asked again under it, the action has one effect and the first answer.
    """

    action: DisputeAction
    reference: str | None = None
    amount_minor: int | None = None
    case: str | None = None
    reason: str | None = None


class Document(Asked, frozen=True, kw_only=True):
    """A piece of evidence: a text, or a file as base64 with its SHA-256."""

    type: str
    text: str | None = None
    filename: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    data: bytes | None = None
    note: str | None = None


class AskEvidence(Asked, frozen=True, kw_only=True):
    """POST /disputes/{case}/evidence."""

    reference: str
    kind: DisputeKind
    documents: list[Document]


class AskAccept(Asked, frozen=True, kw_only=True):
    """POST /disputes/{case}/accept."""

    reference: str
    kind: DisputeKind


class AskLookups(Asked, frozen=True, kw_only=True):
    """POST /refunds/lookup: at most 100 references at once."""

    references: list[str]


class AskFault(Asked, frozen=True, kw_only=True):
    """POST /faults: one fault per matching call; None matches every book or every charge."""

    operation: Literal["charge", "refund", "lookup", "evidence", "accept", "webhook"]
    sequence: list[str]
    charge_reference: str | None = None
    repeat: bool = False
    book: str | None = None
    reference: str | None = None


class AskMix(Asked, frozen=True, kw_only=True):
    """POST /mixes: of each hundred calls that no script strikes so many go wrong.

    `hold_seconds`: how long its time-outs are held before they are cut. None matches every book.
    """

    operation: Literal["charge", "refund", "lookup", "evidence", "accept", "webhook"]
    percent: dict[str, int]
    seed: int
    book: str | None = None
    hold_seconds: float = 12.0


class Charge(Told, frozen=True, kw_only=True):
    """A charge as the provider knows it. `next_change_at`: when it will decide by itself."""

    charge_id: str
    reference: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    payment_data: dict[str, str]
    rail_reference: str | None
    expires_at: datetime | None
    next_change_at: datetime | None
    decided_at: datetime | None
    failure_code: str | None


class Refund(Told, frozen=True, kw_only=True):
    """A refund as the provider knows it. `returned`: it had settled, and the money came back."""

    refund_id: str
    reference: str
    charge_reference: str
    status: RefundStatus
    amount_minor: int
    currency: str
    settles_at: datetime | None
    settled_at: datetime | None
    returned_at: datetime | None
    rail_reference: str | None
    reason: str | None


class Dispute(Told, frozen=True, kw_only=True):
    """A case as its network knows it; `id` names its newest change, however it is told.

    `amount_minor` is what is demanded, or what was granted once it is lost. `at`: when it changed.
    """

    id: str
    case: str
    kind: DisputeKind
    charge_reference: str
    status: DisputeStatus
    round: int
    amount_minor: int
    demanded_minor: int
    currency: str
    reason: str | None
    reason_code: str | None
    rail_reference: str | None
    evidence_due_at: datetime | None
    submitted_at: datetime | None
    next_case: str | None
    at: datetime


class DisputeAnswer(Told, frozen=True, kw_only=True):
    """What becomes of evidence or of giving in: `settled` if the network has it."""

    reference: str
    case: str
    operation: Literal["evidence", "accept"]
    status: Literal["settled", "declined"]
    reason: str | None
    amount_minor: int
    currency: str
    rail_reference: str | None
    at: datetime


class Lookups(Told, frozen=True, kw_only=True):
    """Answer of POST /refunds/lookup: in the order asked; None where no such refund exists."""

    refunds: list[Refund | None]


class Fault(Told, frozen=True, kw_only=True):
    """One script of faults. `fired` counts what it has done so far."""

    id: str
    operation: str
    remaining: list[str]
    repeat: bool
    charge_reference: str | None
    book: str | None
    fired: dict[str, int]


class Faults(Told, frozen=True, kw_only=True):
    """GET /faults."""

    data: list[Fault]


class Mix(Told, frozen=True, kw_only=True):
    """A mix of faults. `drawn`: calls that it was asked for; `fired` counts what they met."""

    operation: str
    percent: dict[str, int]
    seed: int
    book: str | None
    hold_seconds: float
    drawn: int
    fired: dict[str, int]


class Mixed(Told, frozen=True, kw_only=True):
    """GET /mixes."""

    data: list[Mix]


class Cleared(Told, frozen=True, kw_only=True):
    """DELETE /faults, DELETE /mixes."""

    cleared: int


class NextChange(Told, frozen=True, kw_only=True):
    """GET /due: when the provider will next change something of the book by itself.

    What was due has been done. `untold`: notices about the book that are just on their way.
    """

    next_at: datetime | None
    untold: int


class RecordedRefund(Told, frozen=True, kw_only=True):
    """A line of GET /record/refunds. `effects` is 1 if money left; `asked` counts the calls."""

    reference: str
    charge_reference: str
    book: str
    amount_minor: int
    currency: str
    status: RefundStatus
    effects: int
    asked: int


class RecordedCharge(Told, frozen=True, kw_only=True):
    """A line of GET /record/charges."""

    reference: str
    book: str
    method: str
    amount_minor: int
    refunded_minor: int
    currency: str
    status: ChargeStatus
    asked: int


class RecordedDispute(Told, frozen=True, kw_only=True):
    """A line of GET /record/disputes. `taken_minor`: what it took from the merchant.

    `evidence` counts the pieces that were taken in, `asked` all calls about it.
    """

    case: str
    charge_reference: str
    book: str
    kind: DisputeKind
    status: DisputeStatus
    round: int
    amount_minor: int
    currency: str
    taken_minor: int
    evidence: int
    asked: int


class RefundRecord(Told, frozen=True, kw_only=True):
    """GET /record/refunds: oldest first; `next` is the cursor of the following page, or None."""

    data: list[RecordedRefund]
    next: int | None


class ChargeRecord(Told, frozen=True, kw_only=True):
    """GET /record/charges: oldest first; `next` is the cursor of the following page, or None."""

    data: list[RecordedCharge]
    next: int | None


class DisputeRecord(Told, frozen=True, kw_only=True):
    """GET /record/disputes: oldest first; `next` is the cursor of the following page, or None."""

    data: list[RecordedDispute]
    next: int | None


class Totals(Told, frozen=True, kw_only=True):
    """GET /record/totals: counts by status; `effects` counts refunds that took money out."""

    charges: dict[str, int]
    refunds: dict[str, int]
    effects: int
    calls: int


class Notice(Told, frozen=True, kw_only=True):
    """The body of a notice. `type` is charge.<status>, refund.<status> or dispute.<status>.

    `dispute` is the case as the change left it, `reference` then its name.
    """

    id: str
    type: str
    created_at: datetime
    book: str
    reference: str
    charge_reference: str
    provider_reference: str
    amount_minor: int
    currency: str
    status: str
    rail_reference: str | None
    reason: str | None
    at: datetime
    dispute: Dispute | None = None


class Problem(Told, frozen=True, kw_only=True):
    """The body of every answer that is not 200."""

    error: str

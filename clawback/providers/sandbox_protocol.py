"""The sandbox provider's protocol as its adapter sees it: what is sent, what is read.

The provider is a foreign program that happens to live in this tree, so nothing is shared with it:
a mistake on one side shows against the other. Amounts are integers in minor units (ISO 4217);
unknown fields in an answer are ignored, a missing or mistyped one makes it unreadable.
"""

from datetime import datetime
from typing import Literal

import msgspec

ChargeStatus = Literal["pending", "processing", "completed", "failed", "expired"]
RefundStatus = Literal["accepted", "settled", "declined", "returned"]


DisputeKind = Literal["inquiry", "chargeback", "med"]
DisputeStatus = Literal["opened", "won", "lost", "withdrawn", "escalated", "reopened", "reversed"]


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of what is sent."""


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


class AskRefund(Asked, frozen=True, kw_only=True):
    """POST /refunds. `payee`: where the money goes, on rails that cannot find the payer."""

    reference: str
    charge_reference: str
    amount_minor: int
    currency: str
    payee: dict[str, str] | None = None


class AskLookups(Asked, frozen=True, kw_only=True):
    """POST /refunds/lookup: at most 100 references at once."""

    references: list[str]


class AskStatus(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/simulate and /refunds/{reference}/simulate."""

    status: str


class AskFault(Asked, frozen=True, kw_only=True):
    """POST /faults: one fault per matching call; None matches every book or every charge."""

    operation: str
    sequence: list[str]
    charge_reference: str | None = None
    repeat: bool = False
    book: str | None = None
    reference: str | None = None


class AskOutsideRefund(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/refunds: None is all that is left."""

    reference: str | None = None
    amount_minor: int | None = None


class AskDispute(Asked, frozen=True, kw_only=True):
    """POST /charges/{reference}/disputes."""

    action: str
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
    """A case as its network knows it; `id` names its newest change, however it is told."""

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
    next_case: str | None
    at: datetime


class DisputeAnswer(Told, frozen=True, kw_only=True):
    """What becomes of evidence or of giving in: `settled` if the network has it."""

    reference: str
    case: str
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


class Cleared(Told, frozen=True, kw_only=True):
    """DELETE /faults."""

    cleared: int


class NextChange(Told, frozen=True, kw_only=True):
    """GET /due: when the provider will next change something of the book by itself."""

    next_at: datetime | None
    untold: int


class Notice(Told, frozen=True, kw_only=True):
    """The body of a notice. `type` is charge.<status>, refund.<status> or dispute.<status>."""

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

"""The rows of the lane tables, as frozen structs.

Field names are column names and times are in UTC, so a row goes between Python and PostgreSQL as
one JSON object without a mapping. Amounts are ints in minor units: `_minor` in the payment's
local currency, `_usd_e4` in 1/10,000 USD. Only `lanes/sql` writes these tables.
"""

from datetime import date, datetime

import msgspec

from clawback.currencies import Currency
from clawback.ids import BookId, ClaimId, PaymentId, ShopId, home_shard
from clawback.lanes.endpoints import EndpointChanges, Loaded
from clawback.lanes.evidence import EvidenceChanges, EvidenceLoaded
from clawback.lanes.payouts import Payout


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Base of all rows. A field at its default is left out: the database knows the defaults."""


class Book(Record, frozen=True, kw_only=True):
    """A book's settings, read with its head row by every batch."""

    book_id: BookId
    shard: int
    merchant_id: str
    mode: str
    api_version: str
    approval_threshold_usd_e4: int | None
    require_idempotency_key: bool
    idempotency_hours: int
    reserve_percent_e4: int
    reserve_days: int
    settle_hours: int
    credit_line_usd_e4: int
    dispute_fee_usd_e4: int
    fees: dict[str, tuple[int, int]]
    settle_calendar: str | None = None
    settle_days: int | None = None
    settle_off_days: tuple[date, ...] | None = None
    settle_calendar_version: str | None = None
    former_shards: tuple[str, ...] = ()

    def home_of(self, name: str) -> int:
        """The shard that our references of a payment or claim carry."""
        return home_shard(name, self.shard, self.former_shards)


class Head(Record, frozen=True, kw_only=True):
    """The row that a batch locks first: the book's height, hash, event number and counters."""

    book_id: BookId
    height: int
    hash: str
    event_number: int
    clock_offset_seconds: int
    waiting: int
    top_up_due: bool
    gross_volume_usd_e4: int
    platform_fees_usd_e4: int
    flat_fees_usd_e4: int
    dispute_fees_usd_e4: int
    returned_usd_e4: int
    clock_target_seconds: int | None = None


class Account(Record, frozen=True, kw_only=True):
    """An account's balance (credit positive) and the number of its last posting."""

    book_id: BookId
    currency: str
    name: str
    balance: int
    seq: int
    updated_at: datetime


class PaymentAmounts(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What a claim changes on its payment: the narrow way to write it."""

    payment_id: PaymentId
    book_id: BookId
    status: str
    version: int
    claimed_minor: int
    forced_minor: int
    claimed_usd_e4: int
    refunded_minor: int
    charged_back_minor: int
    refunds_used: int
    pending_usd_e4: int
    reserve_usd_e4: int
    open_dispute_id: ClaimId | None
    updated_at: datetime


class PaymentDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes about a payment and no query asks for; kept as one JSON column."""

    fx_rate: str
    fx_at: datetime
    fx_source: str
    user_name: str | None = None
    user_email: str | None = None
    user_phone: str | None = None
    document_type: str | None = None
    document_id: str | None = None
    return_url: str | None = None
    metadata: dict[str, str] = {}
    simulate: str | None = None
    settle_hours: int = 48
    settle_days: int | None = None
    """Business days until it settles; None: hours."""
    settle_calendar: str | None = None
    """Which calendar its dates were computed by, with the version of its data."""


class Payment(Record, frozen=True, kw_only=True):
    """A payment: its state, its cap, and the parts of it that are not settled or held back."""

    payment_id: PaymentId
    book_id: BookId
    status: str
    version: int
    amount_usd_e4: int
    currency: Currency
    amount_minor: int
    captured_minor: int = 0
    claimed_minor: int = 0
    forced_minor: int = 0
    claimed_usd_e4: int = 0
    refunded_minor: int = 0
    charged_back_minor: int = 0
    refunds_used: int = 0
    pending_usd_e4: int = 0
    reserve_usd_e4: int = 0
    percent_fee_usd_e4: int = 0
    flat_fee_usd_e4: int = 0
    open_dispute_id: ClaimId | None = None
    provider: str
    provider_account: str
    provider_reference: str | None = None
    rail_reference: str | None = None
    charge_number: int = 0
    charge_lease_until: datetime | None = None
    payment_data: dict[str, str] | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    expires_at: datetime | None = None
    settle_at: datetime | None = None
    settled_at: datetime | None = None
    reserve_release_at: datetime | None = None
    refund_deadline_at: datetime | None = None
    completed_at: datetime | None = None
    due_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    shop_id: ShopId
    method_id: str
    method: str
    country: str
    merchant_order_id: str | None = None
    details: msgspec.Raw

    @property
    def simulate(self) -> str | None:
        """The value of header Sandbox-Simulate that it was created with."""
        return msgspec.json.decode(self.details, type=PaymentDetails).simulate

    @property
    def remaining_minor(self) -> int:
        """What a merchant may still claim, in local minor units."""
        return max(0, self.captured_minor - self.claimed_minor - self.forced_minor)


class Claim(Record, frozen=True, kw_only=True):
    """A demand on a payment. `sources` tells where its frozen money came from, in order.

    A principal is the person behind the actor; None where the actor stands for itself.
    """

    claim_id: ClaimId
    book_id: BookId
    payment_id: PaymentId
    shop_id: ShopId
    kind: str
    status: str
    pending_reason: str | None
    resolution: str | None = None
    version: int = 1
    round: int = 1
    amount_minor: int
    currency: Currency
    amount_usd_e4: int
    claimed_before_minor: int
    claimed_before_usd_e4: int
    claimed_share_minor: int = 0
    forced_share_minor: int = 0
    excess_minor: int = 0
    excess_usd_e4: int = 0
    released_minor: int = 0
    released_usd_e4: int = 0
    frozen_usd_e4: int = 0
    missing_usd_e4: int = 0
    payable_usd_e4: int = 0
    freezes: int = 0
    sources: tuple[tuple[str, int], ...] = ()
    reason: str | None = None
    reason_code: str | None = None
    approval_required: bool = False
    approved_by: str | None = None
    approved_at: datetime | None = None
    requested_by: str
    needs_review: bool = False
    review_reason: str | None = None
    provider: str
    provider_account: str
    provider_reference: str | None = None
    rail_reference: str | None = None
    generation: int = 0
    attempts: int = 0
    provider_state: str | None = None
    payer_fields: tuple[str, ...] = ()
    payer_details: dict[str, str] | None = None
    payer_details_due_at: datetime | None = None
    refund_deadline_at: datetime | None = None
    evidence_due_at: datetime | None = None
    evidence_submitted_at: datetime | None = None
    expected_by: datetime | None = None
    related_claim_id: ClaimId | None = None
    due_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    released_at: datetime | None = None
    requested_principal: str | None = None
    approved_principal: str | None = None
    warned_until: datetime | None = None
    """Deadlines up to this time have been announced."""
    excess_told: bool | None = None
    """Whether an excess has been announced."""

    @property
    def is_open(self) -> bool:
        """Pending or approved."""
        return self.status in {"pending", "approved"}


class Entry(Record, frozen=True, kw_only=True):
    """A balanced fact. `cause` names what made it, once: claim, round, step and number."""

    book_id: BookId
    height: int
    entry_id: str
    type: str
    cause: str
    payment_id: PaymentId | None
    claim_id: ClaimId | None
    created_at: datetime
    effective_at: datetime
    previous_hash: str
    hash: str


class Posting(Record, frozen=True, kw_only=True):
    """One leg of an entry, credit positive."""

    book_id: BookId
    height: int
    leg: int
    currency: str
    account: str
    seq: int
    amount: int
    balance_after: int


class Event(Record, frozen=True, kw_only=True):
    """What happened; `version` is None for notices, which raise no version."""

    book_id: BookId
    number: int
    event_id: str
    type: str
    object_id: str
    version: int | None
    from_status: str | None
    to_status: str | None
    movement: str | None
    actor: str | None
    note: str | None
    created_at: datetime
    body: msgspec.Raw
    """JSON as it is sent, which PostgreSQL cuts out of the row's own JSON, byte for byte."""


class KeyRow(Record, frozen=True, kw_only=True):
    """An idempotency key and, once the effect has committed, its answer."""

    book_id: BookId
    route: str
    key: str
    fingerprint: str
    object_id: str | None
    status: int | None
    location: str | None
    body: str | None
    created_at: datetime
    expires_at: datetime


class Attempt(Record, frozen=True, kw_only=True):
    """One numbered try to make a provider act; committed before the first byte leaves."""

    claim_id: ClaimId
    number: int
    book_id: BookId
    attempt_id: str
    operation: str
    generation: int
    proof: str | None = None
    provider: str
    provider_account: str
    reference: str
    amount_minor: int
    currency: Currency
    outcome: str | None = None
    provider_reference: str | None = None
    lease_until: datetime
    started_at: datetime
    ended_at: datetime | None = None


class Fact(Record, frozen=True, kw_only=True):
    """Something a provider told us; stored first, folded into state in the same or a later batch.

    `event_key` is the provider's own name for it, so that a repeat about an object is seen as one.
    """

    fact_id: str
    book_id: BookId | None
    provider: str
    provider_account: str
    source: str
    event_key: str
    type: str
    reference: str
    object_id: str | None
    amount_minor: int | None = None
    currency: str | None = None
    provider_reference: str | None = None
    rail_reference: str | None = None
    reason: str | None = None
    effective_at: datetime | None = None
    received_at: datetime
    applied_at: datetime | None = None
    notice: str | None = None
    """What a network said of a case, whole, as JSON: state is folded from all that was said."""


class Spent(Record, frozen=True, kw_only=True):
    """What an actor claimed back since a time, in 1/10,000 USD, whatever became of it."""

    book_id: BookId
    actor: str
    since: datetime
    usd_e4: int


class Rows(msgspec.Struct, frozen=True):
    """What one load returned; None where nothing was asked for or found."""

    books: tuple[Book, ...] | None = None
    heads: tuple[Head, ...] | None = None
    payments: tuple[Payment, ...] | None = None
    claims: tuple[Claim, ...] | None = None
    claims_of: tuple[Claim, ...] | None = None
    attempts: tuple[Attempt, ...] | None = None
    facts: tuple[Fact, ...] | None = None
    accounts: tuple[Account, ...] | None = None
    keys: tuple[KeyRow, ...] | None = None
    waiting: tuple[Claim, ...] | None = None
    spent: tuple[Spent, ...] | None = None
    webhooks: Loaded | None = None
    evidence: EvidenceLoaded | None = None
    payouts: tuple[Payout, ...] | None = None


class Changes(msgspec.Struct, frozen=True, gc=False):
    """What one apply writes: new rows and changed ones, whole."""

    heads: list[Head] = []
    accounts: list[Account] = []
    account_changes: list[Account] = []
    payments: list[Payment] = []
    payment_changes: list[Payment] = []
    payment_amounts: list[PaymentAmounts] = []
    claims: list[Claim] = []
    claim_changes: list[Claim] = []
    entries: list[Entry] = []
    postings: list[Posting] = []
    events: list[Event] = []
    keys: list[KeyRow] = []
    key_changes: list[KeyRow] = []
    attempts: list[Attempt] = []
    attempt_changes: list[Attempt] = []
    facts: list[Fact] = []
    webhooks: EndpointChanges = msgspec.field(default_factory=EndpointChanges)
    evidence: EvidenceChanges = msgspec.field(default_factory=EvidenceChanges)
    payouts: list[Payout] = []

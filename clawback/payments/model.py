"""Payments: created, charged through a provider, captured whole, settled when due.

Pure. A payment's state follows what its provider says; a late payment revives a failed or
expired one, and nothing undoes a capture. What falls due (settlement, the end of the reserve)
happens on the book's clock. Statuses and events: contract, section 6.2.
"""

from datetime import datetime, timedelta
from typing import Final, Self

import msgspec

from clawback.balances.model import serve_waiting
from clawback.currencies import USD, Currency
from clawback.errors import NotFound, Refused
from clawback.ids import Mint, PaymentId, ShopId
from clawback.lanes.command import AccountName, Command, Decide, Decided, Reads
from clawback.lanes.records import Fact, Payment, PaymentDetails
from clawback.lanes.state import Draft
from clawback.ledger import accounts as a
from clawback.ledger import entries
from clawback.money import rounded_ratio
from clawback.payments import settling
from clawback.providers.rails import Arrival, Rule, Window

replace = msgspec.structs.replace

CHARGE_LEASE: Final = timedelta(seconds=10)
CHARGE_RETRY: Final = timedelta(seconds=5)
MOST_RETRY: Final = timedelta(hours=1)
DIFFERS: Final = "amount or currency differs from what was asked"
"""Why a fact about money is not booked."""

UNPAID: Final = frozenset({"pending", "processing"})
PERCENT_E4: Final = 1_000_000
"""A fee or reserve of 100 %, in 1/10,000 percent."""

YES: Final = "yes"
"""A rail can do only what its source says that it can: unknown is never read as yes."""

_ENCODER: Final = msgspec.json.Encoder()


class CreatePayment(Command, frozen=True, kw_only=True):
    """Store a new payment, before its provider is called."""

    payment_id: PaymentId
    shop_id: ShopId
    amount_usd_e4: int
    currency: Currency
    amount_minor: int
    provider: str
    provider_account: str
    method_id: str
    method: str
    country: str
    default_fee: tuple[int, int]
    merchant_order_id: str | None
    details: PaymentDetails
    lease_until: datetime
    actor: str

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """Another process had this name first."""
        return replace(self, payment_id=mint.payment(unix_ms))


def decide_create_payment(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Store the payment as pending; its fee is fixed now. Refuses nothing."""
    assert isinstance(command, CreatePayment)
    percent_e4, flat_usd_e4 = draft.book.fees.get(command.method_id, command.default_fee)
    payment = Payment(
        payment_id=command.payment_id,
        book_id=draft.book.book_id,
        shop_id=command.shop_id,
        status="pending",
        version=1,
        amount_usd_e4=command.amount_usd_e4,
        currency=command.currency,
        amount_minor=command.amount_minor,
        percent_fee_usd_e4=rounded_ratio(command.amount_usd_e4 * percent_e4, PERCENT_E4),
        flat_fee_usd_e4=flat_usd_e4,
        provider=command.provider,
        provider_account=command.provider_account,
        charge_number=1,
        charge_lease_until=command.lease_until,
        due_at=now + CHARGE_LEASE,
        created_at=now,
        updated_at=now,
        method_id=command.method_id,
        method=command.method,
        country=command.country,
        merchant_order_id=command.merchant_order_id,
        details=_encoded(
            replace(
                command.details,
                settle_hours=draft.book.settle_hours,
                settle_days=draft.book.settle_days,
            )
        ),
    )
    draft.put_payment(payment)
    draft.tell("payment.created", payment, actor=command.actor)
    return Decided(response=payment, object_id=payment.payment_id, is_answered=False)


def _encoded(details: PaymentDetails) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(details))


class RecordCharge(Command, frozen=True, kw_only=True):
    """What the provider says of a charge: its answer to our call, a look-up or a notice.

    `status` is pending, processing, completed, failed, expired or unknown; a completed one says
    how much came, in local minor units. `is_answer` marks the outcome that the first caller waits
    for; `check_at` is when asking again makes sense.
    """

    completes_key = True

    payment_id: PaymentId
    status: str
    actor: str
    amount_minor: int | None = None
    currency: str | None = None
    is_answer: bool = False
    provider_reference: str | None = None
    rail_reference: str | None = None
    payment_data: dict[str, str] | None = None
    expires_at: datetime | None = None
    check_at: datetime | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    window_days: int | None = None
    fact: Fact | None = None

    def reads(self) -> Reads:
        """The payment, and what a capture touches."""
        if self.status != "completed":
            return Reads(payments=(self.payment_id,))
        names = (a.PENDING, a.FEES, a.FX)
        return Reads(
            payments=(self.payment_id,),
            facts_of=(self.payment_id,),
            accounts=tuple(AccountName(USD, name) for name in names),
        )


class FoldEarly(Command, frozen=True, kw_only=True):
    """Fold what networks said of a payment's cases before the payment was known to be captured."""

    payment_id: PaymentId
    tries: int = 0

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:  # noqa: ARG002 - names are derived
        """A name that was derived for a claim is another's."""
        return replace(self, tries=self.tries + 1)


def decide_record_charge(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Fold what the provider says into the payment. Refuses: NotFound.

    What repeats, or comes after something stronger, changes nothing.
    """
    assert isinstance(command, RecordCharge)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    if command.fact is not None:
        if draft.has_fact(payment.payment_id, command.fact.event_key):
            return Decided(response=payment, object_id=payment.payment_id)
        draft.put_fact(replace(command.fact, book_id=payment.book_id, applied_at=now))
    early: tuple[Command, ...] = ()
    if payment.captured_minor == 0 and not _says_nothing_new(payment, command):
        payment = _charged(draft, payment, command, now)
        if payment.captured_minor:
            told = draft.facts_about(payment.payment_id)
            is_early = any(fact.notice is not None for fact in told)
            early = (FoldEarly(payment_id=payment.payment_id),) if is_early else ()
    return Decided(response=payment, object_id=payment.payment_id, follow_up=early)


def _says_nothing_new(payment: Payment, command: RecordCharge) -> bool:
    if command.status == "completed":
        return False
    if payment.status not in UNPAID:
        return True
    return payment.status == "processing" and command.status == "pending"


def _charged(draft: Draft, payment: Payment, command: RecordCharge, now: datetime) -> Payment:
    told = replace(
        payment,
        provider_reference=command.provider_reference or payment.provider_reference,
        rail_reference=command.rail_reference or payment.rail_reference,
        payment_data=command.payment_data or payment.payment_data,
        expires_at=command.expires_at or payment.expires_at,
        charge_lease_until=None,
        updated_at=now,
    )
    match command.status:
        case "completed" if _differs(payment, command):
            return _doubted(draft, told, command)
        case "completed":
            return _capture(draft, told, command, now)
        case "failed" | "expired":
            return _unpaid(draft, told, command)
        case "unknown":
            return draft.put_payment(replace(told, due_at=now + CHARGE_RETRY))
        case _:
            return _open(draft, payment, told, command)


def _differs(payment: Payment, command: RecordCharge) -> bool:
    return (command.amount_minor, command.currency) != (payment.amount_minor, payment.currency)


def _doubted(draft: Draft, told: Payment, command: RecordCharge) -> Payment:
    """Other money came than was asked: nothing is booked, it is told, and the provider asked again.

    At first soon, then ever more seldom; a payment that is over waits for its provider's next word.
    """
    if told.status in UNPAID:
        wait = min(max(draft.now - told.created_at, CHARGE_RETRY), MOST_RETRY)
        told = replace(told, due_at=draft.now + wait)
    told = draft.put_payment(replace(told, version=told.version + 1))
    draft.tell("payment.updated", told, actor=command.actor, from_status=told.status, note=DIFFERS)
    return told


def _open(draft: Draft, before: Payment, told: Payment, command: RecordCharge) -> Payment:
    """Still to be paid. What comes in time for the first answer needs no version of its own."""
    due_at = min((at for at in (command.check_at, told.expires_at) if at), default=None)
    told = replace(told, due_at=due_at, status=command.status)
    if told.status != before.status:
        kind = "payment.processing"
    elif told.payment_data != before.payment_data and not command.is_answer:
        kind = "payment.updated"
    else:
        return draft.put_payment(told)
    told = draft.put_payment(replace(told, version=told.version + 1))
    draft.tell(kind, told, actor=command.actor, from_status=before.status)
    return told


def _unpaid(draft: Draft, told: Payment, command: RecordCharge) -> Payment:
    before = told.status
    told = draft.put_payment(
        replace(
            told,
            status=command.status,
            version=told.version + 1,
            failure_code=command.failure_code,
            failure_message=command.failure_message,
            due_at=None,
        )
    )
    draft.tell(f"payment.{command.status}", told, actor=command.actor, from_status=before)
    return told


def _capture(draft: Draft, told: Payment, command: RecordCharge, now: datetime) -> Payment:
    """The payment is paid: entry capture, captured whole."""
    before, book = told.status, draft.book
    gross_e4, fee_e4 = told.amount_usd_e4, told.percent_fee_usd_e4 + told.flat_fee_usd_e4
    reserve_e4 = rounded_ratio(gross_e4 * book.reserve_percent_e4, PERCENT_E4)
    net_e4 = max(0, gross_e4 - fee_e4)
    held_e4 = min(reserve_e4, net_e4)
    local = entries.Local(told.currency, local_book_minor(told, told.amount_minor), told.provider)
    draft.post(
        entries.capture(gross_e4, fee_e4, reserve_e4, local),
        f"{told.payment_id}:capture",
        payment_id=told.payment_id,
    )
    details = msgspec.json.decode(told.details, type=PaymentDetails)
    dates = settling.plan(book, details, now)
    window = command.window_days
    told = replace(
        told,
        status="completed",
        version=told.version + 1,
        captured_minor=told.amount_minor,
        pending_usd_e4=net_e4 - held_e4,
        reserve_usd_e4=held_e4,
        completed_at=now,
        failure_code=None,
        failure_message=None,
        settle_at=dates.settle_at,
        reserve_release_at=dates.reserve_release_at if held_e4 else None,
        details=_encoded(replace(details, settle_calendar=dates.calendar)),
        refund_deadline_at=None if window is None else now + timedelta(days=window),
    )
    told = draft.put_payment(replace(told, due_at=next_due(told)))
    head = draft.head
    draft.set_head(
        gross_volume_usd_e4=head.gross_volume_usd_e4 + gross_e4,
        platform_fees_usd_e4=head.platform_fees_usd_e4 + told.percent_fee_usd_e4,
        flat_fees_usd_e4=head.flat_fees_usd_e4 + told.flat_fee_usd_e4,
    )
    draft.tell("payment.completed", told, actor=command.actor, from_status=before)
    return told


def local_book_minor(payment: Payment, minor: int) -> int:
    """Local minor units as the books keep them: USD in 1/10,000, else as they are."""
    return minor * 100 if payment.currency == USD else minor


def next_due(payment: Payment) -> datetime | None:
    """When a captured payment next needs the clock: to settle, or to free its reserve."""
    settle_at = payment.settle_at if payment.settled_at is None else None
    return min((at for at in (settle_at, payment.reserve_release_at) if at), default=None)


class SettleDue(Command, frozen=True, kw_only=True):
    """Settle a payment and free its reserve, as far as the book's clock has come."""

    payment_id: PaymentId

    def reads(self) -> Reads:
        """The payment and the buckets."""
        names = (a.PENDING, a.RESERVE, a.AVAILABLE, a.DEBT)
        return Reads(
            payments=(self.payment_id,), accounts=tuple(AccountName(USD, name) for name in names)
        )


def decide_settle_due(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Move what is due to `available`; waiting claims are served. Refuses: NotFound."""
    assert isinstance(command, SettleDue)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    settled = payment
    if payment.settle_at is not None and payment.settled_at is None and payment.settle_at <= now:
        draft.post(
            entries.settle(payment.pending_usd_e4),
            f"{payment.payment_id}:settle",
            payment_id=payment.payment_id,
        )
        settled = replace(settled, pending_usd_e4=0, settled_at=now, version=payment.version + 1)
    if payment.reserve_release_at is not None and payment.reserve_release_at <= now:
        draft.post(
            entries.reserve_release(payment.reserve_usd_e4),
            f"{payment.payment_id}:reserve_release",
            payment_id=payment.payment_id,
        )
        settled = replace(settled, reserve_usd_e4=0, reserve_release_at=None)
    if settled is payment:
        return Decided(response=payment)
    settled = draft.put_payment(replace(settled, updated_at=now, due_at=next_due(settled)))
    if settled.version != payment.version:
        draft.tell("payment.updated", settled, actor="clock", from_status=payment.status)
    return Decided(response=settled, follow_up=serve_waiting(draft))


class TakeCharge(Command, frozen=True, kw_only=True):
    """Take over a charge whose caller went away, for a while of real time."""

    payment_id: PaymentId
    real_now: datetime

    def reads(self) -> Reads:
        """The payment."""
        return Reads(payments=(self.payment_id,))


class ChargeTaken(msgspec.Struct, frozen=True):
    """Whether the charge is ours to make now."""

    payment: Payment
    is_ours: bool


def decide_take_charge(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Give the charge to one caller at a time, by a lease on real time. Refuses: NotFound."""
    assert isinstance(command, TakeCharge)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    lease = payment.charge_lease_until
    is_free = lease is None or lease <= command.real_now
    if payment.status not in UNPAID or not is_free:
        return Decided(response=ChargeTaken(payment, is_ours=False))
    payment = draft.put_payment(
        replace(
            payment,
            charge_number=payment.charge_number + 1,
            charge_lease_until=command.real_now + CHARGE_LEASE,
            due_at=now + CHARGE_LEASE,
        )
    )
    return Decided(response=ChargeTaken(payment, is_ours=True))


def captured_status(payment: Payment) -> str:
    """The status of a captured payment follows from what was given back (contract, 6.2)."""
    if payment.refunded_minor + payment.charged_back_minor < payment.amount_minor:
        return "completed"
    return "chargeback" if payment.charged_back_minor > 0 else "refunded"


def tell_given_back(draft: Draft, before: Payment, after: Payment, actor: str) -> Payment:
    """Note a payment whose given-back amounts changed, with the event its new status asks for."""
    status = captured_status(after)
    kind = "payment.updated"
    if status != before.status:
        kind = "payment.reinstated" if status == "completed" else f"payment.{status}"
    after = draft.put_payment(replace(after, status=status, version=before.version + 1))
    draft.tell(kind, after, actor=actor, from_status=before.status)
    return after


def window_days(rule: Rule | None) -> int | None:
    """For how many days after its capture a payment can be refunded; None: nobody sets an end."""
    if rule is None or not isinstance(rule.window, Window):
        return None
    return rule.window.days


def max_refunds(rule: Rule) -> int | None:
    """How many refunds of one payment the rail takes; None is any number, unknown is one."""
    return rule.refund.max if rule.refund.multiple == YES else 1


def latest_arrival(rule: Rule, now: datetime) -> datetime | None:
    """When a refund sent now has reached the payer at the latest; None where nobody says."""
    arrival = rule.arrival
    if not isinstance(arrival, Arrival):
        return None
    if arrival.max_minutes is not None and arrival.max_days == 0:
        return now + timedelta(minutes=arrival.max_minutes)
    return now + timedelta(days=arrival.max_days)


def earliest_arrival(rule: Rule, now: datetime) -> datetime | None:
    """When a refund sent now reaches the payer at the earliest; None where nobody says."""
    if not isinstance(rule.arrival, Arrival):
        return None
    return now + timedelta(days=rule.arrival.min_days)


def usd_e4_of_first(part_minor: int, payment: Payment) -> int:
    """USD value of the first `part_minor` of a payment, half to even.

    Shapes: ints >= 0. Units: local minor units in, 1/10,000 USD out. Source: contract, section 1,
    "USD value of a claim".
    """
    return rounded_ratio(part_minor * payment.amount_usd_e4, payment.amount_minor)


DECIDE: Final[dict[type, Decide]] = {
    CreatePayment: decide_create_payment,
    RecordCharge: decide_record_charge,
    SettleDue: decide_settle_due,
    TakeCharge: decide_take_charge,
}

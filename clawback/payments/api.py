"""The calls on payments: create, get, list, the methods that can be charged.

A payment is stored before its provider is called and its answer after; a retry under the same
Idempotency-Key waits for that payment or resumes it, and never makes another (contract, 4).
"""

import asyncio
from typing import Annotated, ClassVar, Final, Literal, cast

import msgspec

from clawback import clock
from clawback.currencies import USD_E4, Currency, exponent
from clawback.db import queries
from clawback.errors import (
    IdempotencyInProgress,
    InvalidAmount,
    NotFound,
    Refused,
)
from clawback.ids import PaymentId, is_well_formed
from clawback.lanes.records import Payment, PaymentDetails
from clawback.lists import ListQuery, LongLists, Pagination, ParameterRefused, paginate, read_page
from clawback.money import Amount, AmountError, positive, rounded_ratio
from clawback.payments import catalogue, jobs
from clawback.payments.model import (
    CHARGE_LEASE,
    UNPAID,
    ChargeTaken,
    CreatePayment,
    RecordCharge,
    TakeCharge,
)
from clawback.payments.refusals import (
    AmountOutOfRange,
    FieldInvalid,
    FieldMissing,
    MissingRequiredFields,
    PaymentMethodUnavailable,
)
from clawback.payments.wire import PaymentWire, render_payment, show
from clawback.providers import port
from clawback.providers.methods import Method, load_methods
from clawback.route import Answer, BodyT, Call, Kept, NoBody, NoQuery, QueryT, Route

SIMULATE: Final = (
    "paid",
    "failed",
    "expired",
    "slow_payment",
    "chargeback",
    "inquiry",
    "med",
)
MAX_USD: Final = 100_000
POLL_SECONDS: Final = 0.1
WAIT_SECONDS: Final = 5.0
CHARGE_SECONDS: Final = 9.5

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()
_ROW: Final = msgspec.json.Decoder(Payment)
_LONG_LISTS: Final = LongLists(frozenset({"shard", "book_id", "country", "currency", "shop_id"}))

Text120 = Annotated[str, msgspec.Meta(max_length=120)]
Text254 = Annotated[str, msgspec.Meta(max_length=254)]
Text32 = Annotated[str, msgspec.Meta(max_length=32)]
Text16 = Annotated[str, msgspec.Meta(max_length=16)]
Text64 = Annotated[str, msgspec.Meta(max_length=64)]
OrderId = Annotated[str, msgspec.Meta(max_length=128)]
Address = Annotated[str, msgspec.Meta(max_length=2048, pattern=r"^https://[^\s]+$")]
MetaKey = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
MetaValue = Annotated[str, msgspec.Meta(max_length=500)]
Metadata = Annotated[dict[MetaKey, MetaValue], msgspec.Meta(max_length=20)]


class CreateBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /payments. `amount` is in USD; id or slug of the method is required."""

    one_of: ClassVar = ("paymentMethodId", "paymentMethod")

    amount: Amount
    payment_method_id: Text64 | None = None
    payment_method: Text64 | None = None
    country: Text16 | None = None
    user_name: Text120 | None = None
    user_email: Text254 | None = None
    user_phone: Text32 | None = None
    document_type: Text16 | None = None
    document_id: Text32 | None = None
    merchant_order_id: OrderId | None = None
    return_url: Address | None = None
    metadata: Metadata | None = None


# POST /payments


class _Chosen(msgspec.Struct, frozen=True):
    """What a request to pay comes to: the method, where, and how much."""

    method: Method
    country: str
    currency: Currency
    amount_usd_e4: int
    amount_minor: int
    rate_e4: int


def _choose(body: CreateBody, mode: str) -> _Chosen | Refused:
    """Find the method and compute what the payer pays; refuses in the contract's order."""
    methods = load_methods()
    if body.payment_method_id is None and body.payment_method is None:
        return FieldMissing(param="paymentMethodId")
    country = None if body.country is None else methods.alpha2(body.country.upper())
    method = _find_method(body, country)
    if isinstance(method, FieldMissing | FieldInvalid):
        return method
    if body.country is None and isinstance(method, Method) and len(method.countries) != 1:
        return FieldMissing(param="country")
    try:
        amount_e4 = positive(body.amount, maximum=MAX_USD, inclusive=True).minor(2) * 100
    except AmountError as error:
        return InvalidAmount(
            param="amount", rule=error.rule, maximum=error.maximum, decimals=error.decimals
        )
    if isinstance(method, Refused):
        return method
    if mode == "live" and method.provider == "sandbox":
        return PaymentMethodUnavailable(param="paymentMethodId", reason="not_routable")
    country = country or (method.countries[0] if body.country is None else None)
    if country is None or country not in method.countries:
        return PaymentMethodUnavailable(param="country", reason="not_in_this_country")
    return missing_fields(body, method) or _priced(method, country, amount_e4)


def _priced(method: Method, country: str, amount_e4: int) -> _Chosen | Refused:
    """The local amount at the sandbox's fixed rate, half to even."""
    methods = load_methods()
    currency = methods.currency_of(country)
    rate_e4 = methods.rate_e4[currency]
    local = rounded_ratio(amount_e4 * rate_e4 * 10 ** exponent(currency), 10 ** (USD_E4 + 4))
    if local == 0 or not method.min_usd_e4 <= amount_e4 <= method.max_usd_e4:
        return AmountOutOfRange(
            param="amount", min_usd_e4=method.min_usd_e4, max_usd_e4=method.max_usd_e4
        )
    return _Chosen(method, country, currency, amount_e4, local, rate_e4)


def _find_method(body: CreateBody, country: str | None) -> Method | Refused:
    methods = load_methods()
    if body.payment_method_id is not None:
        method = methods.by_id(body.payment_method_id)
        if method is None:
            return PaymentMethodUnavailable(param="paymentMethodId", reason="unknown_method")
        if body.payment_method is not None and body.payment_method != method.slug:
            return FieldInvalid(param="paymentMethod")
        return method
    if body.country is None:
        return FieldMissing(param="country")
    slug = cast("str", body.payment_method)
    found = None if country is None else methods.by_slug(slug, country)
    return found or PaymentMethodUnavailable(param="paymentMethod", reason="unknown_method")


def missing_fields(body: CreateBody, method: Method) -> Refused | None:
    """The refusal that names every buyer field that the method needs and lacks."""
    given = {
        "userName": body.user_name,
        "userEmail": body.user_email,
        "userPhone": body.user_phone,
        "documentType": body.document_type,
        "documentId": body.document_id,
    }
    missing = tuple(field for field in method.required_fields if not given[field.key])
    if not missing:
        return None
    return MissingRequiredFields(missing=tuple((f.key, f.type, f.label) for f in missing))


async def create(call: Call[CreateBody, NoQuery]) -> Answer | Refused:
    """POST /payments: store it, charge it, answer with it."""
    chosen = _choose(call.body, call.book.mode)
    if isinstance(chosen, Refused):
        return chosen
    if call.simulate == "med" and chosen.method.id != "sbx_pix":
        return ParameterRefused(param="Sandbox-Simulate")
    deadline = clock.monotonic() + WAIT_SECONDS
    while True:
        made: Kept[Payment] = Kept()
        command = _create_command(call, chosen)
        outcome = await call.services.submit(call.book, command, made, call.key)
        if made.value is not None:
            return await _charge(call, made.value)
        if not isinstance(outcome, IdempotencyInProgress) or outcome.object_id is None:
            return outcome
        payment = await _take_over(call, PaymentId(outcome.object_id))
        if payment is not None:
            return await _charge(call, payment)
        if clock.monotonic() > deadline:
            return outcome
        await asyncio.sleep(POLL_SECONDS)


def _create_command(call: Call[CreateBody, NoQuery], chosen: _Chosen) -> CreatePayment:
    body, method, now = call.body, chosen.method, clock.real_now()
    whole, part = divmod(chosen.rate_e4, 10_000)
    rate = f"{whole}.{part:04d}".rstrip("0").rstrip(".")
    return CreatePayment(
        payment_id=call.services.mint.payment(clock.milliseconds(now)),
        shop_id=call.caller.shop_id,
        amount_usd_e4=chosen.amount_usd_e4,
        currency=chosen.currency,
        amount_minor=chosen.amount_minor,
        provider=method.provider,
        provider_account="default",
        method_id=method.id,
        method=method.slug,
        country=chosen.country,
        default_fee=(method.fee_bps * 100, method.fee_fixed_usd_e4),
        merchant_order_id=body.merchant_order_id,
        details=PaymentDetails(
            fx_rate=rate,
            fx_at=now,
            fx_source="sandbox_fixed",
            user_name=body.user_name,
            user_email=body.user_email,
            user_phone=body.user_phone,
            document_type=body.document_type,
            document_id=body.document_id,
            return_url=body.return_url,
            metadata=body.metadata or {},
            simulate=call.simulate,
        ),
        lease_until=now + CHARGE_LEASE,
        actor=call.caller.actor,
    )


async def _take_over(call: Call[CreateBody, NoQuery], payment_id: PaymentId) -> Payment | None:
    """The payment of an unanswered key, if its first caller is gone and it is ours to charge."""
    taken: Kept[ChargeTaken] = Kept()
    await call.services.submit(
        call.book,
        TakeCharge(payment_id=payment_id, real_now=clock.real_now()),
        taken,
    )
    if taken.value is None:
        return None
    payment = taken.value.payment
    return payment if taken.value.is_ours or payment.status not in UNPAID else None


async def _charge(call: Call[CreateBody, NoQuery], payment: Payment) -> Answer | Refused:
    """Call the provider and answer with what it said, or after 10 s with what is known."""
    command = RecordCharge(
        payment_id=payment.payment_id, status="unknown", actor="clock", is_answer=True
    )
    if payment.status in UNPAID:
        provider = cast(
            "port.Provider", call.services.provider(payment.provider, payment.provider_account)
        )
        try:
            async with asyncio.timeout(CHARGE_SECONDS):
                found = await jobs.charge(provider, call.book, payment, payment.created_at)
            command = jobs.recorded(payment, found, is_answer=True)
        except TimeoutError:
            pass
    mode = call.book.mode

    def created(stored: Payment) -> Answer:
        return Answer(201, render_payment(stored, mode), f"/api/v1/payments/{stored.payment_id}")

    return await call.services.submit(call.book, command, created, call.key)


# Reading


async def _find(call: Call[BodyT, QueryT], payment_id: str) -> Payment | None:
    if not is_well_formed(payment_id, "TXN-"):
        return None
    async with call.services.reader() as connection:
        row = await SQL.find_payment(
            connection, shard=call.book.shard, book_id=call.book.book_id, payment_id=payment_id
        )
    return None if row is None else _ROW.decode(row["row"])


async def read(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /payments/{id}."""
    payment = await _find(call, call.path["id"])
    return NotFound() if payment is None else Answer(200, render_payment(payment, call.book.mode))


PaymentStatus = Literal[
    "pending", "processing", "completed", "failed", "expired", "refunded", "chargeback"
]


class PaymentsQuery(
    ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Filters of GET /payments."""

    status: PaymentStatus | None = None
    payment_method_id: str | None = None
    payment_method: str | None = None
    country: str | None = None
    currency_local: str | None = None
    merchant_order_id: str | None = None
    shop_id: str | None = None
    disputed: bool | None = None


class PaymentList(msgspec.Struct, frozen=True):
    """A page of payments."""

    data: list[PaymentWire]
    pagination: Pagination


async def list_payments(call: Call[NoBody, PaymentsQuery]) -> Answer | Refused:
    """GET /payments, newest first."""
    query = call.query
    page = read_page(query)
    if isinstance(page, Refused):
        return page
    country = None if query.country is None else load_methods().alpha2(query.country.upper())
    if query.country is not None and country is None:
        return ParameterRefused(param="country")
    filters = {
        "shard": call.book.shard,
        "book_id": call.book.book_id,
        "status": query.status,
        "method_id": query.payment_method_id,
        "method": query.payment_method,
        "country": country,
        "currency": query.currency_local,
        "merchant_order_id": query.merchant_order_id,
        "shop_id": query.shop_id,
        "disputed": query.disputed,
        "from_time": query.from_,
        "to_time": query.to,
    }
    async with call.services.reader() as connection:
        rows = await SQL.list_payments(
            connection, **filters, after_id=page.after, limit=page.limit + 1, offset=page.offset
        )

        async def count() -> int:
            return int((await SQL.count_payments(connection, **filters))["total"])

        total = await _LONG_LISTS.total(filters, count) if page.counts else None
    if not rows and page.after is not None and await _find(call, page.after) is None:
        return ParameterRefused(param="after")
    payments = [_ROW.decode(row["row"]) for row in rows[: page.limit]]
    last = payments[-1].payment_id if payments else None
    shown = PaymentList(
        [show(payment, call.book.mode) for payment in payments],
        paginate(page, total, last, has_more=len(rows) > page.limit),
    )
    return Answer(200, _ENCODER.encode(shown))


ROUTES: Final = (
    Route(
        "POST",
        "/payments",
        create,
        "payments:write",
        "Create a payment",
        PaymentWire,
        status=201,
        body=CreateBody,
        errors=(
            "idempotency_in_progress",
            "payment_method_unavailable",
            "amount_out_of_range",
            "missing_required_fields",
        ),
        simulate=SIMULATE,
    ),
    Route(
        "GET",
        "/payments",
        list_payments,
        "payments:read",
        "List payments, newest first",
        PaymentList,
        query=PaymentsQuery,
        errors=("invalid_parameter",),
    ),
    Route(
        "GET",
        "/payments/{id}",
        read,
        "payments:read",
        "Show a payment",
        PaymentWire,
        errors=("not_found",),
    ),
    *catalogue.ROUTES,
)

"""GET /payment-methods: what this key can charge, and what each method can give back.

What is listed as routable can be charged; ids are stable and never reused (contract, 6.4).
"""

from typing import Final

import msgspec

from clawback.currencies import USD_E4
from clawback.db import queries
from clawback.errors import Refused
from clawback.money import major, usd
from clawback.payments.model import YES, max_refunds, window_days
from clawback.providers.methods import Method, load_methods
from clawback.providers.rails import rule_for
from clawback.route import ANY_KEY, Answer, Call, NoBody, Route

SQL: Final = queries.load(__package__, "queries.sql")
CHANNELS: Final = ("ONLINE", "CASH", "CREDIT_CARD")

_ENCODER: Final = msgspec.json.Encoder()


class MethodsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of GET /payment-methods."""

    country: str | None = None
    channel: str | None = None
    method: str | None = None


class Shop(msgspec.Struct, frozen=True):
    """The shop that the key stands for."""

    id: str
    name: str


class Fee(msgspec.Struct, frozen=True, rename="camel"):
    """What a charge costs: percent of the amount and a fixed part in USD."""

    percent: msgspec.Raw
    fixed_usd: msgspec.Raw


class RefundAbility(msgspec.Struct, frozen=True, rename="camel"):
    """What the rail takes back."""

    supported: bool
    partial: bool
    multiple: bool
    max_refunds: int | None
    window_days: int | None
    payer_fields: tuple[str, ...]


class Field(msgspec.Struct, frozen=True):
    """A buyer's field that the method needs."""

    key: str
    type: str
    label: str


class MethodWire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A payment method."""

    payment_method_id: str
    method: str
    name: str
    countries: tuple[str, ...]
    channel: str
    currencies: tuple[str, ...]
    min_usd: msgspec.Raw
    max_usd: msgspec.Raw
    fee: Fee
    icon_url: str
    routable: bool
    required_fields: tuple[Field, ...]
    refund: RefundAbility


class MethodsAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The methods that match, and how many there are."""

    shop: Shop | None
    mode: str
    filters: MethodsQuery
    count: int
    total_available: int
    routable_count: int
    methods: list[MethodWire]


def _show(method: Method, fees: dict[str, tuple[int, int]], *, is_test: bool) -> MethodWire:
    catalogue = load_methods()
    percent_e4, flat_e4 = fees.get(method.id, (method.fee_bps * 100, method.fee_fixed_usd_e4))
    rule = rule_for(method.provider, method.rail, method.countries[0])
    assert rule is not None, method.id
    limit = max_refunds(rule)
    return MethodWire(
        payment_method_id=method.id,
        method=method.slug,
        name=method.name,
        countries=method.countries,
        channel=method.channel,
        currencies=catalogue.currencies_of(method),
        min_usd=usd(method.min_usd_e4),
        max_usd=usd(method.max_usd_e4),
        fee=Fee(major(percent_e4, USD_E4), usd(flat_e4)),
        icon_url=method.icon_url,
        routable=is_test or method.provider != "sandbox",
        required_fields=tuple(Field(f.key, f.type, f.label) for f in method.required_fields),
        refund=RefundAbility(
            supported=rule.refund.full == YES,
            partial=rule.refund.partial == YES,
            multiple=limit is None or limit > 1,
            max_refunds=limit,
            window_days=window_days(rule),
            payer_fields=rule.payer_fields,
        ),
    )


async def list_methods(call: Call[NoBody, MethodsQuery]) -> Answer | Refused:
    """GET /payment-methods."""
    wanted, catalogue = call.query, load_methods()
    country = None
    if wanted.country is not None:
        country = catalogue.alpha2(wanted.country.upper())
        if country is None:
            return _unknown("country")
    if wanted.channel is not None and wanted.channel not in CHANNELS:
        return _unknown("channel")
    async with call.services.reader() as connection:
        row = await SQL.find_shop(
            connection, book_id=call.book.book_id, shop_id=call.caller.shop_id
        )
    fees = {} if row is None else msgspec.json.decode(row["fees"], type=dict[str, tuple[int, int]])
    is_test = call.book.mode == "test"
    found = [
        _show(method, fees, is_test=is_test)
        for method in catalogue.all
        if (country is None or country in method.countries)
        and wanted.channel in {None, method.channel}
        and wanted.method in {None, method.slug}
    ]
    shown = MethodsAnswer(
        shop=None if row is None else Shop(row["shop_id"], row["name"]),
        mode=call.book.mode,
        filters=MethodsQuery(country=country, channel=wanted.channel, method=wanted.method),
        count=len(found),
        total_available=len(catalogue.all),
        routable_count=sum(method.routable for method in found),
        methods=found,
    )
    return Answer(200, _ENCODER.encode(shown))


class UnknownFilter(Refused, frozen=True, kw_only=True):
    """A filter names something that does not exist."""

    code = "invalid_parameter"
    message = "A query parameter has a value that does not exist."


def _unknown(param: str) -> Refused:
    return UnknownFilter(param=param)


ROUTES: Final = (
    Route(
        method="GET",
        path="/payment-methods",
        handler=list_methods,
        scope=ANY_KEY,
        summary="List the methods that can be charged",
        answer=MethodsAnswer,
        query=MethodsQuery,
        errors=("invalid_parameter",),
        open_cors=True,
    ),
)

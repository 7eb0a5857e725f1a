"""Who am I: GET /ping and GET /me (contract, section 6.4).

The key alone decides the merchant and the mode; both calls only read it back, with the settings
of the book that a caller may see.
"""

from typing import Final

import msgspec

from clawback import API_VERSION, clock
from clawback.currencies import USD_E4
from clawback.db import queries
from clawback.errors import NotFound, Refused
from clawback.money import major, usd
from clawback.route import (
    ANY_KEY,
    ANY_SECRET_KEY,
    Answer,
    Call,
    Limits,
    NoBody,
    NoQuery,
    Route,
)

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()


class MerchantName(msgspec.Struct, frozen=True):
    """A merchant by id and name."""

    id: str
    name: str


class ShopName(msgspec.Struct, frozen=True):
    """A shop by id and name."""

    id: str
    name: str


class Ping(msgspec.Struct, frozen=True, rename="camel"):
    """What the key opens."""

    ok: bool
    mode: str
    key_kind: str
    key_id: str
    api_version: str
    merchant: MerchantName
    timestamp: str


class LimitsWire(msgspec.Struct, frozen=True, rename="camel"):
    """What a restricted key may give back, in USD."""

    max_claim_usd: msgspec.Raw | None
    max_day_usd: msgspec.Raw | None


class KeyWire(msgspec.Struct, frozen=True, rename="camel"):
    """The key that calls."""

    id: str
    scopes: tuple[str, ...]
    limits: LimitsWire | None
    expires_at: str | None


class SettingsWire(msgspec.Struct, frozen=True, rename="camel"):
    """The book's settings that a caller may see."""

    approval_threshold_usd: msgspec.Raw | None
    require_idempotency_key: bool
    idempotency_hours: int
    reserve_percent: msgspec.Raw
    reserve_days: int
    credit_line_usd: msgspec.Raw


class Me(msgspec.Struct, frozen=True, rename="camel"):
    """The merchant, its shops, the key and the book's settings."""

    id: str
    name: str
    mode: str
    shop: ShopName | None
    shops: list[ShopName]
    api_version: str
    key: KeyWire
    settings: SettingsWire


async def ping(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /ping."""
    return Answer(
        200,
        _ENCODER.encode(
            Ping(
                ok=True,
                mode=call.book.mode,
                key_kind=call.caller.kind,
                key_id=call.caller.key_id,
                api_version=API_VERSION,
                merchant=MerchantName(call.book.merchant_id, call.book.merchant_name),
                timestamp=clock.wire_time(call.real_now),
            )
        ),
    )


def _limits(limits: Limits | None) -> LimitsWire | None:
    if limits is None:
        return None
    claim, day = limits.max_claim_usd_e4, limits.max_day_usd_e4
    return LimitsWire(None if claim is None else usd(claim), None if day is None else usd(day))


async def me(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /me."""
    async with call.services.reader() as connection:
        book = await SQL.find_book(connection, book_id=call.book.book_id)
        rows = await SQL.list_shops(connection, merchant_id=call.book.merchant_id)
    if book is None:
        return NotFound()
    shops = [ShopName(row["shop_id"], row["name"]) for row in rows]
    threshold, expires = book["approval_threshold_usd_e4"], call.caller.expires_at
    shown = Me(
        id=call.book.merchant_id,
        name=call.book.merchant_name,
        mode=call.book.mode,
        shop=next((shop for shop in shops if shop.id == call.caller.shop_id), None),
        shops=shops,
        api_version=book["api_version"],
        key=KeyWire(
            call.caller.key_id,
            call.caller.scopes,
            _limits(call.caller.limits),
            clock.maybe_wire_time(expires),
        ),
        settings=SettingsWire(
            approval_threshold_usd=None if threshold is None else usd(threshold),
            require_idempotency_key=book["require_idempotency_key"],
            idempotency_hours=book["idempotency_hours"],
            reserve_percent=major(book["reserve_percent_e4"], USD_E4),
            reserve_days=book["reserve_days"],
            credit_line_usd=usd(book["credit_line_usd_e4"]),
        ),
    )
    return Answer(200, _ENCODER.encode(shown))


ROUTES: Final = (
    Route("GET", "/ping", ping, ANY_KEY, "Check a key", Ping, open_cors=True),
    Route("GET", "/me", me, ANY_SECRET_KEY, "Show merchant, key and settings", Me),
)

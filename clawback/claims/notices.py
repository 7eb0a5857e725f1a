"""What a provider tells by itself: POST /providers/{provider}/webhooks (contract, section 11).

The signature is checked over the raw bytes before anything is read. The fact is stored and folded
in one commit, and only then acknowledged; a repeat of one changes nothing. A reference of ours
names its shard; a fact about an object that is not there is stored unmatched and acknowledged.
"""

from typing import TYPE_CHECKING, Final, cast

import msgspec

from clawback.claims.fold import RecordNotice, report
from clawback.db import queries
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, opaque
from clawback.lanes.records import Fact, Payment
from clawback.payments.jobs import recorded
from clawback.providers import port
from clawback.route import PROVIDER, Answer, BookRef, ProviderCall, Route

if TYPE_CHECKING:
    from asyncpg import Record

SQL: Final = queries.load(__package__, "notices.sql")
_PAYMENT: Final = msgspec.json.Decoder(Payment)
_ENCODER: Final = msgspec.json.Encoder()
RECEIVED: Final = Answer(200, b'{"received":true}')


class InvalidSignature(Refused, frozen=True, kw_only=True):
    """The signature does not fit the bytes."""

    code = "invalid_signature"
    message = "The webhook's signature could not be verified."


class StaleTimestamp(Refused, frozen=True, kw_only=True):
    """The timestamp is more than five minutes off."""

    code = "stale_timestamp"
    message = "The webhook's timestamp is too far from now."


class UnknownAccount(Refused, frozen=True, kw_only=True):
    """No such provider, or no such account of it."""

    code = "route_not_found"
    message = "There is no such path."


async def receive(call: ProviderCall) -> Answer | Refused:
    """Verify, store, fold, acknowledge."""
    account = call.services.provider_account(call.provider, call.account)
    if account is None:
        return UnknownAccount()
    adapter = cast("port.Provider", account.adapter)
    noticed = adapter.verify_notice(
        call.headers, call.body, secrets=account.notice_secrets, now=call.real_now
    )
    match noticed:
        case port.NoticeRefused(code="stale_timestamp"):
            return StaleTimestamp()
        case port.NoticeRefused():
            return InvalidSignature()
        case port.RefundNotice():
            return await _refund_notice(call, noticed)
        case port.ChargeNotice():
            return await _charge_notice(call, noticed)
        case port.DisputeNotice():
            return await _dispute_notice(call, noticed)
        case port.OtherNotice():
            return RECEIVED


async def _refund_notice(call: ProviderCall, notice: port.RefundNotice) -> Answer | Refused:
    ours = port.parse_refund_reference(notice.reference)
    if ours is None:
        return RECEIVED
    told = report(notice.finding)
    fact = _fact(call, notice.id, f"refund.{told.status}", notice.reference, ours.claim_id)
    fact = msgspec.structs.replace(
        fact,
        amount_minor=told.amount_minor,
        currency=told.currency,
        provider_reference=told.provider_reference,
        rail_reference=told.rail_reference,
        reason=told.reason,
        effective_at=notice.at,
    )
    async with call.services.reader() as connection:
        row = await SQL.find_claim(connection, shard=ours.shard, claim_id=ours.claim_id)
    if row is None:
        return await _keep(call, ours.shard, fact)
    return await call.services.submit(
        _book(row),
        RecordNotice(
            claim_id=ClaimId(ours.claim_id),
            fact=fact,
            report=told,
            actor=f"provider:{call.provider}",
        ),
        _received,
    )


async def _charge_notice(call: ProviderCall, notice: port.ChargeNotice) -> Answer | Refused:
    ours = port.parse_charge_reference(notice.reference)
    if ours is None:
        return RECEIVED
    payment_id, shard = ours
    finding = notice.finding
    fact = _fact(call, notice.id, f"charge.{finding.status}", notice.reference, payment_id)
    fact = msgspec.structs.replace(
        fact, amount_minor=finding.amount_minor, currency=finding.currency, effective_at=notice.at
    )
    async with call.services.reader() as connection:
        row = await SQL.find_payment(connection, shard=shard, payment_id=payment_id)
    if row is None:
        return await _keep(call, shard, fact)
    command = recorded(_PAYMENT.decode(row["row"]), finding)
    return await call.services.submit(
        _book(row), msgspec.structs.replace(command, fact=fact), _received
    )


async def _dispute_notice(call: ProviderCall, notice: port.DisputeNotice) -> Answer | Refused:
    ours = port.parse_charge_reference(notice.charge_reference)
    if ours is None:
        return RECEIVED
    payment_id, shard = ours
    fact = _fact(call, notice.id, f"dispute.{notice.status}", notice.case, payment_id)
    fact = msgspec.structs.replace(
        fact,
        amount_minor=notice.amount_minor,
        currency=notice.currency,
        provider_reference=notice.case,
        rail_reference=notice.rail_reference,
        reason=notice.reason,
        effective_at=notice.at,
    )
    return await _keep(call, shard, fact)


def _received(_: object) -> Answer:
    return RECEIVED


def _fact(call: ProviderCall, event: str, kind: str, reference: str, object_id: str) -> Fact:
    return Fact(
        fact_id=opaque("fct_"),
        book_id=None,
        provider=call.provider,
        provider_account=call.account,
        source="notice",
        event_key=event,
        type=kind,
        reference=reference,
        object_id=object_id,
        received_at=call.real_now,
    )


async def _keep(call: ProviderCall, shard: int, fact: Fact) -> Answer | Refused:
    """Store a fact about an object that is not there (yet); a repeat of it is one fact."""
    async with call.services.writer() as connection:
        await SQL.keep_fact(connection, shard=shard, fact=_ENCODER.encode(fact).decode())
    return RECEIVED


def _book(row: "Record") -> BookRef:
    return BookRef(
        shard=row["shard"],
        book_id=BookId(row["book_id"]),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
    )


class AccountQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the provider's accounts a webhook is for."""

    account: str = "default"


class Received(msgspec.Struct, frozen=True):
    """The fact is stored."""

    received: bool


ROUTES: Final = (
    Route(
        "POST",
        "/providers/{provider}/webhooks",
        receive,
        PROVIDER,
        "Take a provider's notice",
        Received,
        query=AccountQuery,
        errors=("invalid_signature", "stale_timestamp", "route_not_found"),
    ),
)

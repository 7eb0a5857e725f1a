"""What a provider tells by itself: POST /providers/{provider}/webhooks (contract, section 11).

The signature is checked over the raw bytes before anything is read, the account's rate after it.
The fact is stored and folded in one commit, and only then acknowledged; a repeat of one changes
nothing. A reference of ours names its shard, or one that its book has left; what has none is found
by the charge that it is about.
A fact about an object that is not there is stored, acknowledged, and folded once the object is.
"""

from typing import TYPE_CHECKING, Final, cast

import msgspec

from clawback import clock
from clawback.claims.disputes import RecordDispute
from clawback.claims.early import FoldCases
from clawback.claims.fold import RecordNotice, report
from clawback.claims.outside import RecordOutsideRefund
from clawback.claims.standing import told_text
from clawback.db import queries
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, PaymentId, base36, opaque
from clawback.lanes.records import Fact, Payment
from clawback.payments import jobs
from clawback.providers import port
from clawback.route import PROVIDER, Answer, BookRef, Kept, ProviderCall, Route

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

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
    if isinstance(noticed, port.NoticeRefused):
        is_stale = noticed.code == "stale_timestamp"
        return StaleTimestamp() if is_stale else InvalidSignature()
    too_many = call.take_token()
    if too_many is not None:
        return too_many
    match noticed:
        case port.RefundNotice():
            return await _refund_notice(call, noticed)
        case port.ChargeNotice():
            return await _charge_notice(call, noticed)
        case port.DisputeNotice():
            return await _dispute_notice(call, noticed)
        case port.OtherNotice():
            return RECEIVED


# Refunds


async def _refund_notice(call: ProviderCall, notice: port.RefundNotice) -> Answer | Refused:
    ours = port.parse_refund_reference(notice.reference)
    if ours is None:
        return await _outside_notice(call, notice)
    fact = refund_fact(
        call.provider, call.account, notice, ours.claim_id, received_at=call.real_now
    )
    row = await _find(call, ours.shard, ours.claim_id)
    if row is None:
        return await _keep(call, ours.shard, fact)
    return await call.services.submit(
        _book(row),
        RecordNotice(
            claim_id=ClaimId(ours.claim_id),
            fact=fact,
            report=report(notice.finding),
            actor=f"provider:{call.provider}",
        ),
        _received,
    )


async def _outside_notice(call: ProviderCall, notice: port.RefundNotice) -> Answer | Refused:
    """Money of a charge of ours that somebody else gave back."""
    ours = port.parse_charge_reference(notice.charge_reference)
    if ours is None:
        return RECEIVED
    payment_id, shard = PaymentId(ours[0]), ours[1]
    fact = refund_fact(call.provider, call.account, notice, payment_id, received_at=call.real_now)
    row = await _find(call, shard, payment_id)
    if row is None:
        return await _keep(call, shard, fact)
    return await call.services.submit(
        _book(row),
        RecordOutsideRefund(
            payment_id=payment_id,
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            report=report(notice.finding),
            fact=fact,
            actor=f"provider:{call.provider}",
        ),
        _received,
    )


def refund_fact(
    provider: str,
    account: str,
    notice: port.RefundNotice,
    object_id: str,
    *,
    received_at: "datetime",
) -> Fact:
    """What was told of a refund, about a claim or, made outside, a payment."""
    told = report(notice.finding)
    return Fact(
        fact_id=opaque("fct_"),
        book_id=None,
        provider=provider,
        provider_account=account,
        source="notice",
        event_key=notice.id,
        type=f"refund.{told.status}",
        reference=notice.reference,
        object_id=object_id,
        amount_minor=told.amount_minor,
        currency=told.currency,
        provider_reference=told.provider_reference,
        rail_reference=told.rail_reference,
        reason=told.reason,
        effective_at=notice.at,
        received_at=received_at,
    )


# Charges


async def _charge_notice(call: ProviderCall, notice: port.ChargeNotice) -> Answer | Refused:
    ours = port.parse_charge_reference(notice.reference)
    if ours is None:
        return RECEIVED
    payment_id, shard = ours
    finding = notice.finding
    fact = Fact(
        fact_id=opaque("fct_"),
        book_id=None,
        provider=call.provider,
        provider_account=call.account,
        source="notice",
        event_key=notice.id,
        type=f"charge.{finding.status}",
        reference=notice.reference,
        object_id=payment_id,
        amount_minor=finding.amount_minor,
        currency=finding.currency,
        effective_at=notice.at,
        received_at=call.real_now,
    )
    row = await _find(call, shard, payment_id)
    if row is None:
        return await _keep(call, shard, fact)
    command = jobs.recorded(_PAYMENT.decode(row["row"]), finding)
    outcome = await call.services.submit(
        _book(row), msgspec.structs.replace(command, fact=fact), _received
    )
    if row["has_waiting_facts"] and not isinstance(outcome, Refused):
        return await _fold_cases(call, row)
    return outcome


async def _fold_cases(call: ProviderCall, row: "Record") -> Answer | Refused:
    """The payment was captured: what was said before of its cases can be folded."""
    unix_ms = clock.milliseconds(call.real_now)
    return await call.services.submit(
        _book(row),
        FoldCases(
            payment_id=PaymentId(row["payment_id"]),
            claim_ids=tuple(call.services.mint.claim(unix_ms) for _ in range(8)),
            actor=f"provider:{call.provider}",
        ),
        _received,
    )


# Disputes


async def _dispute_notice(call: ProviderCall, notice: port.DisputeNotice) -> Answer | Refused:
    ours = port.parse_charge_reference(notice.charge_reference)
    if ours is None:
        return RECEIVED
    payment_id, shard = PaymentId(ours[0]), ours[1]
    fact = dispute_fact(call.provider, call.account, notice, payment_id, received_at=call.real_now)
    row = await _find(call, shard, payment_id)
    if row is None:
        return await _keep(call, shard, fact)
    outcome = await call.services.submit(
        _book(row),
        RecordDispute(
            payment_id=payment_id,
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            notice=notice,
            fact=fact,
            actor=f"provider:{call.provider}",
        ),
        _received,
    )
    if isinstance(outcome, Refused):
        return outcome
    if row["captured_minor"] == 0:
        return await _catch_up(call, row)
    return await _fold_cases(call, row) if row["has_waiting_facts"] else outcome


async def _catch_up(call: ProviderCall, row: "Record") -> Answer | Refused:
    """A disputed charge was paid, and we have not heard of it: ask, then fold what was said."""
    payment, book = _PAYMENT.decode(row["row"]), _book(row)
    account = call.services.provider_account(payment.provider, payment.provider_account)
    if account is not None:
        provider = cast("port.Provider", account.adapter)
        book_time = clock.book_time(call.real_now, row["clock_offset_seconds"])
        command = await jobs.ask(provider, book, payment, book_time)
        outcome = await call.services.submit(book, command, Kept[object]())
        if isinstance(outcome, Refused):
            return outcome
    return await _fold_cases(call, row)


def dispute_fact(
    provider: str,
    account: str,
    notice: port.DisputeNotice,
    payment_id: PaymentId,
    *,
    received_at: "datetime",
) -> Fact:
    """What a network said of a case, whole; it lies with the payment."""
    return Fact(
        fact_id=opaque("fct_"),
        book_id=None,
        provider=provider,
        provider_account=account,
        source="notice",
        event_key=notice.id,
        type=f"dispute.{notice.status}",
        reference=notice.charge_reference,
        object_id=payment_id,
        amount_minor=notice.amount_minor,
        currency=notice.currency,
        provider_reference=notice.case,
        rail_reference=notice.rail_reference,
        reason=notice.reason,
        effective_at=notice.at,
        received_at=received_at,
        notice=told_text(notice),
    )


# Where it belongs


async def _find(call: ProviderCall, home: int, name: str) -> "Record | None":
    """The payment or claim of a reference: in the shard that it carries, or where its book went."""
    async with call.services.reader() as connection:
        row = await _find_in(connection, home, home, name)
        if row is not None:
            return row
        for place in await SQL.moved_to(connection, left=name[4:12] + base36(home, 2)):
            row = await _find_in(connection, place["shard"], home, name)
            if row is not None:
                return row
    return None


async def _find_in(
    connection: "PoolConnectionProxy", shard: int, home: int, name: str
) -> "Record | None":
    """That of this name in a shard, if its references carry `home`: names are one's own there."""
    row: Record | None
    if name.startswith("CLM-"):
        row = await SQL.find_claim(connection, shard=shard, claim_id=name)
    else:
        row = await SQL.find_payment(connection, shard=shard, payment_id=name)
    return row if row is not None and _book(row).home_of(name) == home else None


async def _keep(call: ProviderCall, shard: int, fact: Fact) -> Answer | Refused:
    """Store a fact about an object that is not there (yet); a repeat of it is one fact."""
    async with call.services.writer() as connection:
        await SQL.keep_fact(connection, shard=shard, fact=_ENCODER.encode(fact).decode())
    return RECEIVED


def _received(_: object) -> Answer:
    return RECEIVED


def _book(row: "Record") -> BookRef:
    return BookRef(
        shard=row["shard"],
        book_id=BookId(row["book_id"]),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
        former_shards=tuple(row["former_shards"]),
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

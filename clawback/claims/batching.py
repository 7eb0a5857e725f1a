"""POST /refunds/batch: many refunds in one call, as JSON or CSV (contract, section 7.3).

Directly, or in two steps: a dry run that moves nothing and shows every row, and a commit of exactly
that. This module knows the wire; what is decided stands in `batches`.
"""

import secrets
from hashlib import sha256
from typing import Annotated, ClassVar, Final

import msgspec

from clawback import clock
from clawback.claims.batches import (
    PREVIEW,
    BatchDone,
    Preview,
    RefundBatch,
    RowDone,
    given_row,
)
from clawback.claims.model import OpenRefund
from clawback.claims.reading import SQL
from clawback.claims.rows import MOST_ROWS, GivenRow, RowBody, read_csv, read_row
from clawback.currencies import exponent
from clawback.errors import Refused
from clawback.ids import PaymentId, opaque
from clawback.lanes.records import Claim
from clawback.lists import ParameterRefused
from clawback.money import major, usd
from clawback.payments.refusals import FieldInvalid, FieldMissing
from clawback.route import Answer, Call, FileBody, Route

MAX_BODY: Final = 1_048_576
TOKEN: Final = "bct_"  # noqa: S105 - how a token begins

_ENCODER: Final = msgspec.json.Encoder()
_PREVIEW: Final = msgspec.json.Decoder(Preview)


class BatchBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /refunds/batch: rows, or the token of a dry run."""

    one_of: ClassVar = ("rows", "commitToken")

    rows: Annotated[list[RowBody], msgspec.Meta(min_length=1, max_length=MOST_ROWS)] | None = None
    dry_run: bool | None = None
    all_or_nothing: bool | None = None
    commit_token: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class BatchQuery(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """With CSV these stand in the query; with JSON they stand in the body."""

    dry_run: bool | None = None
    all_or_nothing: bool | None = None


class RowError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a row was refused: the error of a single refund."""

    code: str
    message: str
    param: str | None = None
    details: dict[str, msgspec.Raw] | None = None


class RowAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A row with its outcome: created, would_create or refused."""

    row: int
    transaction_id: str | None
    reference: str | None
    outcome: str
    refund_id: str | msgspec.UnsetType = msgspec.UNSET
    amount: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    amount_usd: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    pending_reason: str | msgspec.UnsetType | None = msgspec.UNSET
    error: RowError | msgspec.UnsetType = msgspec.UNSET


class CurrencyTotal(msgspec.Struct, frozen=True, rename="camel"):
    """What the accepted rows of one currency add up to."""

    currency: str
    amount: msgspec.Raw
    amount_usd: msgspec.Raw


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """The batch in figures."""

    rows: int
    accepted: int
    refused: int
    by_currency: list[CurrencyTotal]


class BatchAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """What came of a batch, or would come of it."""

    batch_id: str
    dry_run: bool
    commit_token: str | None
    commit_expires_at: str | None
    totals: Totals
    rows: list[RowAnswer]


def _row_answer(done: RowDone, *, is_dry: bool) -> RowAnswer:
    row, outcome = done.row, done.outcome
    if isinstance(outcome, Refused):
        facts = outcome.details() or {}
        details = {name: msgspec.Raw(_ENCODER.encode(facts[name])) for name in facts} or None
        error = RowError(outcome.code, outcome.message, outcome.param, details)
        return RowAnswer(
            row=done.number,
            transaction_id=row.transaction_id,
            reference=row.reference,
            outcome="refused",
            error=error,
        )
    return RowAnswer(
        row=done.number,
        transaction_id=row.transaction_id,
        reference=row.reference,
        outcome="would_create" if is_dry else "created",
        refund_id=msgspec.UNSET if is_dry else outcome.claim_id,
        amount=major(outcome.amount_minor, exponent(outcome.currency)),
        amount_usd=usd(outcome.amount_usd_e4),
        currency=outcome.currency,
        pending_reason=outcome.pending_reason,
    )


def _totals(rows: tuple[RowDone, ...]) -> Totals:
    claims = [one.outcome for one in rows if isinstance(one.outcome, Claim)]
    by_currency = [
        CurrencyTotal(
            currency,
            major(
                sum(one.amount_minor for one in claims if one.currency == currency),
                exponent(currency),
            ),
            usd(sum(one.amount_usd_e4 for one in claims if one.currency == currency)),
        )
        for currency in sorted({one.currency for one in claims})
    ]
    return Totals(len(rows), len(claims), len(rows) - len(claims), by_currency)


def _answer(done: BatchDone, token: str | None) -> Answer:
    expires_at = done.expires_at
    body = BatchAnswer(
        done.batch_id,
        done.is_dry,
        token,
        None if expires_at is None else clock.wire_time(expires_at),
        _totals(done.rows),
        [_row_answer(one, is_dry=done.is_dry) for one in done.rows],
    )
    return Answer(200 if done.is_dry else 201, _ENCODER.encode(body))


class _Asked(msgspec.Struct, frozen=True):
    """A batch as it was asked for, by rows or by token. `shown`: what its dry run showed."""

    rows: tuple[GivenRow, ...]
    is_dry: bool = False
    all_or_nothing: bool = False
    token: str | None = None
    shown: tuple[str, ...] = ()


async def _asked(call: Call[BatchBody | FileBody, BatchQuery]) -> _Asked | Refused:
    body, query = call.body, call.query
    if isinstance(body, FileBody):
        assert isinstance(body.content, tuple), "as read_csv makes it"
        return _Asked(body.content, bool(query.dry_run), bool(query.all_or_nothing))
    for name, value in (("dryRun", query.dry_run), ("allOrNothing", query.all_or_nothing)):
        if value is not None:
            return ParameterRefused(param=name)
    if body.commit_token is not None:
        for param, beside in (
            ("allOrNothing", body.all_or_nothing),
            ("dryRun", body.dry_run),
            ("rows", body.rows),
        ):
            if beside is not None:
                return FieldInvalid(param=param)
        return await _previewed(call, body.commit_token)
    if body.rows is None:
        return FieldMissing(param="rows")
    rows = tuple(read_row(row) for row in body.rows)
    return _Asked(rows, bool(body.dry_run), bool(body.all_or_nothing))


async def _previewed(call: Call[BatchBody | FileBody, BatchQuery], token: str) -> _Asked:
    """The batch of a token; without rows if it opens nothing, which is decided under the lock."""
    digest = sha256(token.encode()).hexdigest()
    async with call.services.reader() as connection:
        found = await SQL.find_preview(
            connection,
            shard=call.book.shard,
            book_id=call.book.book_id,
            route=PREVIEW,
            key=digest,
        )
    if found is None or found["body"] == "{}":
        return _Asked((), token=digest)
    kept = _PREVIEW.decode(found["body"])
    return _Asked(
        tuple(given_row(row) for row in kept.rows),
        all_or_nothing=kept.all_or_nothing,
        token=digest,
        shown=tuple(row.shown for row in kept.rows),
    )


async def batch(call: Call[BatchBody | FileBody, BatchQuery]) -> Answer | Refused:
    """POST /refunds/batch: decide all rows in one command of the book."""
    asked = await _asked(call)
    if isinstance(asked, Refused):
        return asked
    token = TOKEN + secrets.token_urlsafe(24) if asked.is_dry else None
    digest = asked.token if token is None else sha256(token.encode()).hexdigest()

    def decided(done: BatchDone) -> Answer:
        return _answer(done, token)

    return await call.services.submit(
        call.book,
        RefundBatch(
            batch_id=opaque("bat_"),
            parts=tuple(_part(call, row) for row in asked.rows if row.fault is None),
            rows=asked.rows,
            is_dry=asked.is_dry,
            all_or_nothing=asked.all_or_nothing,
            token=digest,
            key_id=call.caller.key_id,
            real_now=call.real_now,
            shown=asked.shown,
        ),
        decided,
        call.key,
    )


def _part(call: Call[BatchBody | FileBody, BatchQuery], row: GivenRow) -> OpenRefund:
    limits = call.caller.limits
    return OpenRefund(
        payment_id=PaymentId(row.transaction_id or ""),
        claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
        amount=row.amount,
        reason=row.reason,
        expected_remaining=row.expected_remaining,
        actor=call.caller.actor,
        principal=call.caller.person,
        max_claim_usd_e4=None if limits is None else limits.max_claim_usd_e4,
        max_day_usd_e4=None if limits is None else limits.max_day_usd_e4,
    )


ROUTES: Final = (
    Route(
        "POST",
        "/refunds/batch",
        batch,
        "claims:write",
        "Refund many payments, or see what would come of it",
        BatchAnswer,
        status=201,
        other_status=200,
        body=BatchBody,
        query=BatchQuery,
        csv=read_csv,
        max_body=MAX_BODY,
        empty_body=False,
        errors=("invalid_csv", "commit_token_invalid", "preview_stale", "batch_refused"),
    ),
)

"""Many refunds at once: each row is the refund call, in order; all that is accepted enters as one.

Pure. A batch is a bundle of the refund's own commands, so its rows are decided by the same code as
single refunds. A dry run drops what they did and keeps a preview under a token, of which only the
digest is stored: it is committed once, by the key that asked, exactly as shown or not at all.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS
from clawback.claims.rows import GivenRow
from clawback.errors import InvalidAmount, Refused
from clawback.lanes.command import Bundle, Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, KeyRow
from clawback.lanes.state import Draft
from clawback.money import Amount, major_text, read_amount
from clawback.payments.refusals import FieldInvalid, FieldMissing

PREVIEW: Final = "POST /refunds/batch preview"
"""The route under which previews are kept, beside the idempotency keys of the calls."""
OPEN, USED = 200, 201
"""Whether a preview may still be committed."""
PREVIEW_LIFE: Final = timedelta(minutes=15)

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class RowNote(msgspec.Struct, frozen=True):
    """A row of a batch that cannot go on, by its number, and its code now; None: it would pass."""

    row: int
    code: str | None


class _Rows(Refused, frozen=True, kw_only=True):
    """Base of what is refused because of some rows."""

    rows: tuple[RowNote, ...]

    def details(self) -> dict[str, object]:
        """The rows."""
        return {"rows": self.rows}


class BatchRefused(_Rows, frozen=True, kw_only=True):
    """A row was refused under `allOrNothing`."""

    code = "batch_refused"
    message = "A row was refused, so nothing was done; see details."


class PreviewStale(_Rows, frozen=True, kw_only=True):
    """The batch would no longer do what its dry run showed."""

    code = "preview_stale"
    message = "These rows would no longer come out as they were shown. Nothing was done."


class CommitTokenInvalid(Refused, frozen=True, kw_only=True):
    """Unknown, expired, used, or another key's: not told apart."""

    code = "commit_token_invalid"
    message = "This commit token opens nothing: it is used, expired, or not yours."
    param: str | None = "commitToken"


class KeptRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row as a preview keeps it: what it asked for, and what was shown. Amounts as text."""

    transaction_id: str | None = None
    amount: str | None = None
    reason: str | None = None
    expected_remaining: str | None = None
    reference: str | None = None
    fault: tuple[str, str | None, str | None, int | None] | None = None
    shown: str = ""


class Preview(msgspec.Struct, frozen=True):
    """A dry run that may be committed."""

    all_or_nothing: bool
    rows: tuple[KeptRow, ...]


class RefundBatch(Bundle, frozen=True, kw_only=True):
    """Refunds to be decided in order. `rows` with a fault have no part.

    `token` is the digest of a preview's token: of the one to keep on a dry run, else of the one
    to commit, or None. `key_id` is the API key that it belongs to.
    """

    batch_id: str
    rows: tuple[GivenRow, ...]
    all_or_nothing: bool
    token: str | None
    key_id: str
    real_now: datetime
    shown: tuple[str, ...] = ()

    def reads(self) -> Reads:
        """All payments at once, what a freeze touches, and the preview."""
        names = dict.fromkeys(name for part in self.parts for name in part.reads().payments)
        keys = () if self.token is None else ((PREVIEW, self.token),)
        return Reads(payments=tuple(names), accounts=FREEZE_ACCOUNTS, keys=keys)


class RowDone(msgspec.Struct, frozen=True):
    """A row with what came of it."""

    number: int
    row: GivenRow
    outcome: Refused | Claim


class BatchDone(msgspec.Struct, frozen=True):
    """A batch with what came of its rows."""

    batch_id: str
    is_dry: bool
    rows: tuple[RowDone, ...]
    expires_at: datetime | None


def decide_refund_batch(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - tokens live on real time, rows were decided by now
) -> Refused | Decided:
    """Keep what its rows did, or drop it.

    Refuses: CommitTokenInvalid, PreviewStale, BatchRefused; a dry run refuses nothing.
    """
    assert isinstance(command, RefundBatch)
    outcomes = iter(command.outcomes)
    rows = tuple(
        RowDone(number, row, _outcome(row.fault or next(outcomes)))
        for number, row in enumerate(command.rows, start=1)
    )
    expires_at = None
    if command.is_dry:
        expires_at = _keep_preview(draft, command, rows)
    elif command.token is not None:
        refused = _take_preview(draft, command, rows)
        if refused is not None:
            return refused
    if command.all_or_nothing and not command.is_dry:
        notes = tuple(
            RowNote(one.number, one.outcome.code)
            for one in rows
            if isinstance(one.outcome, Refused)
        )
        if notes:
            return BatchRefused(rows=notes)
    done = BatchDone(command.batch_id, command.is_dry, rows, expires_at)
    return Decided(response=done, object_id=command.batch_id)


def _outcome(found: object) -> Refused | Claim:
    assert isinstance(found, Refused | Claim), found
    return found


def token_owner(key_id: str) -> str:
    """What a preview's fingerprint is: the API key that asked for it."""
    return sha256(key_id.encode()).hexdigest()


def _keep_preview(draft: Draft, command: RefundBatch, rows: tuple[RowDone, ...]) -> datetime:
    assert command.token is not None, "a dry run brings its token"
    expires_at = command.real_now + PREVIEW_LIFE
    kept = Preview(command.all_or_nothing, tuple(_kept(one) for one in rows))
    draft.keep(
        KeyRow(
            book_id=draft.book.book_id,
            route=PREVIEW,
            key=command.token,
            fingerprint=token_owner(command.key_id),
            object_id=command.batch_id,
            status=OPEN,
            location=None,
            body=_ENCODER.encode(kept).decode(),
            created_at=command.real_now,
            expires_at=expires_at,
        )
    )
    return expires_at


def _take_preview(draft: Draft, command: RefundBatch, rows: tuple[RowDone, ...]) -> Refused | None:
    """Use the token up, if it is good and every row comes out as shown."""
    assert command.token is not None, "asked for a token's sake"
    kept = draft.kept(PREVIEW, command.token)
    if (
        kept is None
        or kept.status != OPEN
        or kept.fingerprint != token_owner(command.key_id)
        or kept.expires_at <= command.real_now
        or not rows
    ):
        return CommitTokenInvalid()
    notes = tuple(
        RowNote(one.number, one.outcome.code if isinstance(one.outcome, Refused) else None)
        for one, was in zip(rows, command.shown, strict=True)
        if shown(one.outcome) != was
    )
    if notes:
        return PreviewStale(rows=notes)
    draft.keep(msgspec.structs.replace(kept, status=USED, body="{}"))
    return None


def _kept(one: RowDone) -> KeptRow:
    row = one.row
    return KeptRow(
        transaction_id=row.transaction_id,
        amount=_text(row.amount),
        reason=row.reason,
        expected_remaining=_text(row.expected_remaining),
        reference=row.reference,
        fault=None if row.fault is None else _fault(row.fault),
        shown=shown(one.outcome),
    )


def given_row(kept: KeptRow) -> GivenRow:
    """The row as it was given to the dry run."""
    amount, expected = kept.amount, kept.expected_remaining
    return GivenRow(
        transaction_id=kept.transaction_id,
        amount=None if amount is None else read_amount(amount),
        reason=kept.reason,
        expected_remaining=None if expected is None else read_amount(expected),
        reference=kept.reference,
        fault=None if kept.fault is None else _restored(*kept.fault),
    )


def _text(amount: Amount | None) -> str | None:
    return None if amount is None else major_text(amount.units, amount.scale)


def _fault(fault: Refused) -> tuple[str, str | None, str | None, int | None]:
    """A row's own fault in parts: code, field, rule, maximum."""
    if isinstance(fault, InvalidAmount):
        return (fault.code, fault.param, fault.rule, fault.maximum)
    return (fault.code, fault.param, None, None)


def _restored(code: str, param: str | None, rule: str | None, maximum: int | None) -> Refused:
    match code:
        case "invalid_amount":
            return InvalidAmount(param=param, rule=rule or "", maximum=maximum)
        case "missing_field":
            return FieldMissing(param=param)
        case _:
            return FieldInvalid(param=param)


def shown(outcome: Refused | Claim) -> str:
    """What a dry run shows of a row, as one text to compare."""
    if isinstance(outcome, Refused):
        said = (outcome.code, outcome.param, outcome.details())
        return _ENCODER.encode(said).decode()
    worth = (outcome.amount_minor, outcome.amount_usd_e4, outcome.currency)
    return _ENCODER.encode((*worth, outcome.pending_reason)).decode()


DECIDE: Final[dict[type, Decide]] = {RefundBatch: decide_refund_batch}

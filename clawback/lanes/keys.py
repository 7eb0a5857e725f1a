"""Idempotency within a batch: what a key's earlier request left, and what this one leaves.

The key's row is read under the head row and written in the commit of its effect, so a copy of a
running request waits for that commit and then gets the same bytes. Only accepted commands store
anything; a refusal leaves the key free.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from clawback.errors import IdempotencyConflict, IdempotencyInProgress
from clawback.ids import ClaimId
from clawback.lanes.command import Decided
from clawback.lanes.queue import Outcome, Work
from clawback.lanes.records import KeyRow
from clawback.lanes.state import BookState, Draft
from clawback.route import Answer, IdempotencyKey

_REFUNDS: Final = re.compile(r'"refundId":"(CLM-[0-9A-Z-]{13})"')


def find_key(
    draft: Draft, state: BookState, work: Work, key: IdempotencyKey, real_now: datetime
) -> Outcome | None:
    """What an earlier request under this key left: its answer, a conflict, or nothing."""
    row = state.keys[key.route, key.key]
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        return None if _is_spent(draft, row, real_now) else IdempotencyConflict()
    if row.body is not None and row.status is not None:
        if _is_spent(draft, row, real_now):
            return None
        return Answer(row.status, row.body.encode(), row.location, replayed=True)
    if work.command.completes_key:
        return None
    return IdempotencyInProgress(object_id=row.object_id)


def find_any(state: BookState, work: Work, real_now: datetime) -> Outcome | None:
    """`find_key` for work that may have no key, before anything of it is decided."""
    if work.key is None:
        return None
    return find_key(state.draft(real_now), state, work, work.key, real_now)


def _is_spent(draft: Draft, row: KeyRow, real_now: datetime) -> bool:
    """Whether the key's life is over: its time is up and no claim under it is still open."""
    if real_now < row.expires_at:
        return False
    opened = _opened_under(row)
    draft.need_claims(opened)
    return not any(claim is not None and claim.is_open for claim in map(draft.claim, opened))


def _opened_under(row: KeyRow) -> tuple[ClaimId, ...]:
    """The claims that the key's request opened: its object, or those in a batch's answer."""
    if row.object_id is not None and row.object_id.startswith("CLM-"):
        return (ClaimId(row.object_id),)
    if row.object_id is None or not row.object_id.startswith("bat_") or row.body is None:
        return ()
    return tuple(ClaimId(name) for name in _REFUNDS.findall(row.body))


def store_key(
    state: BookState, key: IdempotencyKey, decided: Decided, answer: Answer, real_now: datetime
) -> None:
    """Note the key with its answer, in the same commit as the effect."""
    place = (key.route, key.key)
    hours = state.book.idempotency_hours
    state.keys[place] = KeyRow(
        book_id=state.book.book_id,
        route=key.route,
        key=key.key,
        fingerprint=key.fingerprint,
        object_id=decided.object_id,
        status=answer.status if decided.is_answered else None,
        location=answer.location if decided.is_answered else None,
        body=answer.body.decode() if decided.is_answered else None,
        created_at=real_now,
        expires_at=real_now + timedelta(hours=hours),
    )
    state.touched_keys[place] = None

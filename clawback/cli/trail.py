"""Reviews and the trail of acts as operators see them.

Both are read over all books, straight from the database. What an operator finds about a claim is
decided on a lane of this process, under the same rules and locks as a call of the API.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.claims.reviews import ResolveReview, Reviewed
from clawback.cli.operating import Operator, OperatorRefusal, decided
from clawback.cli.output import Stop, clean
from clawback.cli.register import Fields, shown
from clawback.currencies import exponent
from clawback.db import queries
from clawback.ids import BookId, ClaimId, Mint, opaque
from clawback.money import major
from clawback.route import BookRef

if TYPE_CHECKING:
    from asyncpg import Connection

SQL: Final = queries.load(__package__, "trail.sql")
_ADVICE: Final = {
    "claim_transition_invalid": "Only a claim in review is resolved (`clawback claims reviews`), "
    "and an inquiry is never paid.",
    "self_approval": "You have said so already: another person has to confirm it.",
}


class Wanted(msgspec.Struct, frozen=True):
    """Which acts."""

    object_id: str | None
    by: str | None
    merchant_id: str | None
    before: datetime | None
    limit: int


def time_of(text: str | None) -> datetime | None:
    """A time as typed. Raises: Stop for anything else."""
    if text is None:
        return None
    try:
        return msgspec.convert(text, datetime).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Stop(f"{clean(text)} is no time", "Write it as 2026-05-12T20:27:53Z.") from error


async def list_acts(session: "Connection", wanted: Wanted) -> list[Fields]:
    """What people and keys did, the newest first."""
    given = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    return [shown(row) for row in await SQL.list_acts(session, **given)]


async def list_reviews(session: "Connection", merchant_id: str | None, limit: int) -> list[Fields]:
    """Claims in review, the one that waits longest first, each with what was proposed."""
    rows = await SQL.list_reviews(session, merchant_id=merchant_id, limit=limit)
    return [
        {
            "claim": row["claim_id"],
            "kind": row["kind"],
            "status": row["status"],
            "amount": major(row["amount_minor"], exponent(row["currency"])),
            "currency": row["currency"],
            "merchant": row["merchant"],
            "mode": row["mode"],
            "payment": row["payment_id"],
            "updated": clock.wire_time(row["updated_at"]),
            "reason": row["review_reason"],
            "proposals": msgspec.json.decode(row["proposals"] or "[]"),
        }
        for row in rows
    ]


class Finding(msgspec.Struct, frozen=True):
    """What an operator says of a claim; `merchant_id` where several books know its id."""

    claim_id: str
    finding: str
    reason: str
    merchant_id: str | None


async def resolve(session: "Connection", dsn: str, by: Operator, said: Finding) -> Reviewed:
    """Propose a finding, or confirm another's. Raises: Stop."""
    now = clock.real_now()
    command = ResolveReview(
        claim_id=ClaimId(said.claim_id),
        review_id=opaque("rev_"),
        made_id=Mint().claim(clock.milliseconds(now)),
        finding=said.finding,
        reason=said.reason,
        actor=by.actor,
        via=by.via,
        real_now=now,
    )
    book = await _book_of(session, said.claim_id, said.merchant_id)
    try:
        return await decided(session, dsn, book, command, Reviewed)
    except OperatorRefusal as refusal:
        advice = _ADVICE.get(refusal.code)
        if advice is None:
            raise
        raise Stop(refusal.text, advice) from refusal


async def _book_of(session: "Connection", claim_id: str, merchant_id: str | None) -> BookRef:
    """The book of a claim. Raises: Stop if there is none, or more than one."""
    rows = await SQL.find_claims(session, claim_id=claim_id, merchant_id=merchant_id)
    if not rows:
        raise Stop(f"there is no claim {clean(claim_id)}", "`clawback claims reviews` lists them.")
    if len(rows) > 1:
        raise Stop(f"several books have a {clean(claim_id)}", "Say which with --merchant.")
    row = rows[0]
    return BookRef(
        shard=row["shard"],
        book_id=BookId(row["book_id"]),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
    )

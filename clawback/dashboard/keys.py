"""API keys: made, shown once, replaced, revoked; with scopes, limits, last use and end.

Nobody makes a key that may do more than they may themselves: a role hands on only the scopes that
it stands for, in a live book. A key belongs to its maker, so where two have to decide the two are
one. Each key made, replaced or revoked is noted in the book's acts in the same transaction.
"""

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec
from starlette.responses import Response

from clawback import clock
from clawback.dashboard import people
from clawback.dashboard.asking import Json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.names import read_names
from clawback.dashboard.roles import KEYS
from clawback.dashboard.sql import SQL
from clawback.errors import NotFound
from clawback.http import keys

SCOPES: Final = (
    "payments:read", "payments:write", "claims:read", "claims:write", "claims:approve",
    "balance:read", "ledger:read", "events:read", "webhooks:manage", "sandbox:use",
)  # fmt: skip
_OWNERS_ONLY: Final = frozenset({"claims:write", "claims:approve"})
RATES: Final = {"publishable": 20, "test": 100, "live": 500}
OVERLAPS: Final = {"0 h": 0, "1 h": 1, "24 h": 24, "7 d": 168}
"""How long a key that is replaced still works, in hours."""
_USD: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,4}))?", re.ASCII)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is to be like."""

    shop_id: str
    kind: str
    scopes: list[str]
    max_claim_usd_e4: int | None
    max_day_usd_e4: int | None
    rate_per_second: int
    burst: int


def grantable(role: str, mode: str) -> tuple[str, ...]:
    """The scopes that a key made by this role may have; in a test book no money can go."""
    if role == "owner" or mode == "test":
        return SCOPES
    return tuple(scope for scope in SCOPES if scope not in _OWNERS_ONLY)


def usd_e4(text: str) -> int | None:
    """USD as typed, in 1/10,000; None for nothing. Raises: ValueError for anything else."""
    if not text.strip():
        return None
    found = _USD.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[1]) * 10_000 + int((found[2] or "").ljust(4, "0"))


def may_hand_on(scopes: list[str], allowed: tuple[str, ...]) -> bool:
    """Whether whoever may grant `allowed` may make a key with these scopes."""
    return allowed == SCOPES or all(scope in allowed for scope in scopes)


def end_of(day: str, now: datetime) -> datetime | None:
    """The end of a day in UTC, None if none is named. Raises: ValueError for one that is over."""
    if not day:
        return None
    end = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)
    if end <= now:
        raise ValueError(day)
    return end


async def show(
    visit: Visit, made: Json | None = None, fault: str = "", status: int = 200
) -> Response:
    """All keys of the book, without what they open: that is not stored."""
    async with visit.house.services.reader() as connection:
        rows = await SQL.list_keys(connection, book_id=visit.held.book.book_id)
    now = clock.real_now()
    alive = [row for row in rows if row["revoked_at"] is None
             and (row["expires_at"] is None or row["expires_at"] > now)]  # fmt: skip
    names = await read_names(visit, [f"user:{row['owner']}" for row in rows if row["owner"]])
    return visit.page(
        "keys.html",
        status,
        keys=[dict(row) for row in rows],
        alive=alive,
        names=names,
        scopes=grantable(visit.held.role, visit.held.book.mode),
        made=made,
        overlaps=OVERLAPS,
        now=now,
        fault=fault,
        typed=visit.form,
    )


async def create(visit: Visit) -> Response:
    """Make a key; it is on the page that answers, this once."""
    form, book = visit.form, visit.held.book
    kind = "publishable" if form.get("kind") == "publishable" else "secret"
    allowed = grantable(visit.held.role, book.mode)
    scopes = [scope for scope in SCOPES if form.get(f"scope.{scope}") == "on"]
    if any(scope not in allowed for scope in scopes):
        return await show(visit, None, "Your role cannot hand on these scopes.", 403)
    if kind == "secret" and not scopes:
        return await show(visit, None, "Choose at least one scope.", 422)
    try:
        most = [usd_e4(form.get(name, "")) for name in ("maxClaimUsd", "maxDayUsd")]
    except ValueError:
        return await show(visit, None, "A limit is an amount in USD, such as 500 or 99.50.", 422)
    now = clock.real_now()
    try:
        ends_at = end_of(form.get("lastDay", ""), now)
    except ValueError:
        return await show(visit, None, "The last day of a key is today or later.", 422)
    whole = kind == "secret" and scopes == list(SCOPES) and allowed == SCOPES
    rate = RATES[book.mode if kind == "secret" else kind]
    wanted = Wanted(
        shop_id=visit.held.shop_id,
        kind=kind,
        scopes=["*"] if whole else scopes if kind == "secret" else [],
        max_claim_usd_e4=most[0],
        max_day_usd_e4=most[1],
        rate_per_second=rate,
        burst=2 * rate,
    )
    async with visit.house.services.writer() as connection, connection.transaction():
        made = await _make(connection, visit, wanted, now, ends_at)
    return await show(visit, made=made)


async def _make(
    session: "people.Session", visit: Visit, wanted: Wanted, now: datetime, ends_at: datetime | None
) -> Json:
    """Make a key and note it; it belongs to who made it."""
    book = visit.held.book
    minted = keys.mint(wanted.kind, book.mode)
    await SQL.create_key(
        session,
        key_id=minted.key_id,
        book_id=book.book_id,
        shop_id=wanted.shop_id,
        kind=wanted.kind,
        digest=minted.digest,
        scopes=wanted.scopes,
        max_claim_usd_e4=wanted.max_claim_usd_e4,
        max_day_usd_e4=wanted.max_day_usd_e4,
        rate=wanted.rate_per_second,
        burst=wanted.burst,
        owner=visit.person.login,
        at=now,
        expires_at=ends_at,
    )
    await _note(session, visit, "key_created", minted.key_id, " ".join(wanted.scopes)[:500] or None)
    return {"id": minted.key_id, "key": minted.key}


async def _note(
    session: "people.Session", visit: Visit, action: str, key_id: str, text: str | None
) -> None:
    place = people.place_of(visit.held.book)
    await people.note(session, place, action, key_id, people.By(visit.person.actor), text)


async def rotate(visit: Visit) -> Response:
    """Make a key like this one; the old one ends after a while, in the same transaction."""
    form, now = visit.form, clock.real_now()
    key_id = form.get("key", "")
    allowed = grantable(visit.held.role, visit.held.book.mode)
    hours = OVERLAPS.get(form.get("overlap", ""))
    try:
        ends_at = end_of(form.get("lastDay", ""), now)
    except ValueError:
        return await show(visit, None, "The last day of a key is today or later.", 422)
    if hours is None:
        return visit.refused(NotFound())
    place = {"book_id": visit.held.book.book_id, "key_id": key_id}
    async with visit.house.services.writer() as connection, connection.transaction():
        row = await SQL.lock_key(connection, **place, at=now)
        if row is None:
            return visit.refused(NotFound())
        wanted = Wanted(**row)
        if not may_hand_on(wanted.scopes, allowed):
            return await show(visit, None, "Your role cannot hand on these scopes.", 403)
        made = await _make(connection, visit, wanted, now, ends_at)
        ended = await SQL.end_key(connection, **place, at=now + timedelta(hours=hours))
        await _note(connection, visit, "key_rotated", key_id, f"by {made['id']}")
    return await show(visit, made={**made, "old": key_id, "oldEndsAt": ended["expires_at"]})


async def revoke(visit: Visit) -> Response:
    """End a key: two seconds later it opens nothing."""
    book, key_id = visit.held.book, visit.path["id"]
    now = clock.real_now()
    async with visit.house.services.writer() as connection, connection.transaction():
        row = await SQL.revoke_key(connection, book_id=book.book_id, key_id=key_id, at=now)
        if row is None:
            return visit.refused(NotFound())
        await _note(connection, visit, "key_revoked", key_id, None)
    return visit.go("/keys")


PAGES: Final = (
    BookPage("/keys", show, KEYS),
    BookPage("/keys", create, KEYS, method="POST"),
    BookPage("/keys/rotate", rotate, KEYS, method="POST"),
    BookPage("/keys/{id}/revoke", revoke, KEYS, method="POST"),
)

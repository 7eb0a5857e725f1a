"""API keys: made, shown once, revoked; with scopes, limits and when they were last used.

Nobody makes a key that may do more than they may themselves: a role hands on only the scopes that
it stands for, in a live book. A key belongs to its maker, so where two have to decide the two are
one. Each key made or revoked is noted in the book's acts in the same transaction.
"""

import re
from typing import Final

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
_USD: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,4}))?", re.ASCII)


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


async def show(
    visit: Visit, made: Json | None = None, fault: str = "", status: int = 200
) -> Response:
    """All keys of the book, without what they open: that is not stored."""
    async with visit.house.services.reader() as connection:
        rows = await SQL.list_keys(connection, book_id=visit.held.book.book_id)
    names = await read_names(visit, [f"user:{row['owner']}" for row in rows if row["owner"]])
    return visit.page(
        "keys.html",
        status,
        keys=[dict(row) for row in rows],
        names=names,
        scopes=grantable(visit.held.role, visit.held.book.mode),
        made=made,
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
    whole = kind == "secret" and scopes == list(SCOPES) and allowed == SCOPES
    minted = keys.mint(kind, book.mode)
    now = clock.real_now()
    async with visit.house.services.writer() as connection, connection.transaction():
        await SQL.create_key(
            connection,
            key_id=minted.key_id,
            book_id=book.book_id,
            shop_id=visit.held.shop_id,
            kind=kind,
            digest=minted.digest,
            scopes=["*"] if whole else scopes if kind == "secret" else [],
            max_claim_usd_e4=most[0],
            max_day_usd_e4=most[1],
            rate=RATES[book.mode if kind == "secret" else kind],
            owner=visit.person.login,
            at=now,
        )
        by, place = people.By(visit.person.actor), people.place_of(book)
        text = " ".join(scopes)[:500] or None
        await people.note(connection, place, "key_created", minted.key_id, by, text)
    return await show(visit, made={"id": minted.key_id, "key": minted.key})


async def revoke(visit: Visit) -> Response:
    """End a key: two seconds later it opens nothing."""
    book, key_id = visit.held.book, visit.path["id"]
    now = clock.real_now()
    async with visit.house.services.writer() as connection, connection.transaction():
        row = await SQL.revoke_key(connection, book_id=book.book_id, key_id=key_id, at=now)
        if row is None:
            return visit.refused(NotFound())
        await people.note(
            connection,
            people.place_of(book),
            "key_revoked",
            key_id,
            people.By(visit.person.actor),
            None,
        )
    return visit.go("/keys")


PAGES: Final = (
    BookPage("/keys", show, KEYS),
    BookPage("/keys", create, KEYS, method="POST"),
    BookPage("/keys/{id}/revoke", revoke, KEYS, method="POST"),
)

"""People: made, given roles, let in by one-time links, shut out. Used here and by the command line.

What concerns a book is noted in its acts in the same transaction, with who did it. A link is shown
once: only its digest is stored. A new role, a new link and an end all end the person's sessions.
"""

import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from clawback import clock
from clawback.dashboard.roles import ROLES
from clawback.db import queries
from clawback.ids import BookId, opaque
from clawback.lanes.evidence import Act, act_name
from clawback.route import BookRef

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    Session: TypeAlias = Connection | PoolConnectionProxy

SQL: Final = queries.load(__package__, "people.sql")
SET_UP: Final = "set_up"
SIGN_IN: Final = "sign_in"
LINK_HOURS: Final = 24
VIA: Final = "dashboard"

_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}", re.ASCII)
_TOKEN_BYTES: Final = 32


class Place(msgspec.Struct, frozen=True):
    """A book, as far as an act on it needs it."""

    shard: int
    book_id: BookId


NOWHERE: Final = Place(0, BookId("-"))
"""Where acts stand that concern a person, and no book (decision 16)."""


class By(msgspec.Struct, frozen=True):
    """Who changes something about people or keys, and where they sit."""

    actor: str
    via: str = VIA


class PersonRefused(Exception):
    """What is asked for cannot be done; the text says why and is for people."""


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return sha256(token.encode("utf-8", "replace")).digest()


def new_token() -> str:
    """A token that opens something: 256 random bits, safe in a cookie and in a path."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


async def note(
    session: "Session", place: Place, action: str, object_id: str, by: By, text: str | None
) -> None:
    """Note in the book's acts what was done, in the transaction of its doing."""
    head = await SQL.read_offset(session, shard=place.shard, book_id=place.book_id)
    now = clock.book_time(clock.real_now(), 0 if head is None else head["clock_offset_seconds"])
    act = Act(
        book_id=place.book_id,
        act_id=act_name(now, object_id, action, by.actor, secrets.token_hex(8)),
        object_id=object_id,
        action=action,
        actor=by.actor,
        principal=None,
        note=text,
        via=by.via,
        at=now,
    )
    acts = msgspec.json.encode([act]).decode()
    await SQL.note_acts(session, shard=place.shard, acts=acts)


def place_of(book: BookRef) -> Place:
    """Where acts on a book are noted."""
    return Place(book.shard, book.book_id)


async def find_place(session: "Session", merchant_id: str, mode: str) -> Place:
    """A merchant's book. Raises: PersonRefused if there is none."""
    row = await SQL.find_book(session, merchant_id=merchant_id, mode=mode)
    if row is None:
        raise PersonRefused(f"there is no merchant {merchant_id}")
    return Place(row["shard"], BookId(row["book_id"]))


async def find(session: "Session", login: str) -> "Record":
    """A person. Raises: PersonRefused if there is none of that login."""
    row = await SQL.find_person(session, login=login.lower())
    if row is None:
        raise PersonRefused(f"there is nobody called {login}")
    found: Record = row
    return found


async def create(session: "Session", login: str, name: str) -> str:
    """A person without a role and without a way in. Raises: PersonRefused."""
    login = login.lower()
    if _LOGIN.fullmatch(login) is None or not 1 <= len(name) <= 120:  # noqa: PLR2004 - the column
        raise PersonRefused("a login has 2 to 64 letters, digits or . _ @ + -, a name 1 to 120")
    if await SQL.find_person(session, login=login) is not None:
        raise PersonRefused(f"there is a {login} already")
    person_id = opaque("usr_")
    await SQL.create_person(
        session, person_id=person_id, login=login, name=name, at=clock.real_now()
    )
    return person_id


async def grant(session: "Session", person_id: str, place: Place, role: str, by: By) -> None:
    """Give a person a role in a book; one role takes the other's place. Raises: PersonRefused."""
    if role not in ROLES:
        raise PersonRefused(f"there is no role {role}: there are {', '.join(ROLES)}")
    now = clock.real_now()
    if role != "owner":
        await _keep_an_owner(session, person_id, place)
    await SQL.grant_role(session, person_id=person_id, book_id=place.book_id, role=role, at=now)
    await SQL.end_sessions(session, person_id=person_id, at=now)
    await note(session, place, "role_granted", person_id, by, role)


async def take(session: "Session", person_id: str, place: Place, by: By) -> None:
    """Take a person's role in a book away. Raises: PersonRefused for the last owner."""
    await _keep_an_owner(session, person_id, place)
    row = await SQL.take_role(session, person_id=person_id, book_id=place.book_id)
    if row is not None:
        await SQL.end_sessions(session, person_id=person_id, at=clock.real_now())
        await note(session, place, "role_taken", person_id, by, row["role"])


async def _keep_an_owner(session: "Session", person_id: str, place: Place) -> None:
    owners = [row["person_id"] for row in await SQL.lock_owners(session, book_id=place.book_id)]
    if owners == [person_id]:
        raise PersonRefused("a book keeps at least one owner: make another one first")


async def let_in(
    session: "Session", person_id: str, kind: str, by: By, hours: int = LINK_HOURS
) -> str:
    """A one-time token that lets a person in; those of before open nothing any more.

    With SET_UP the person chooses a new password and second factor, and until then has none.
    """
    now = clock.real_now()
    token = new_token()
    await SQL.close_entrances(session, person_id=person_id, at=now)
    if kind == SET_UP:
        await SQL.forget_password(session, person_id=person_id)
        await SQL.end_sessions(session, person_id=person_id, at=now)
    await SQL.create_entrance(
        session,
        digest=digest(token),
        person_id=person_id,
        kind=kind,
        at=now,
        ends_at=now + timedelta(hours=hours),
    )
    await note(session, NOWHERE, f"link_made_{kind}", person_id, by, None)
    return token


async def shut_out(session: "Session", person_id: str, at: datetime | None, by: By) -> None:
    """End a person's ways in from now on; None lets the person in again."""
    await SQL.disable_person(session, person_id=person_id, at=at)
    action = "person_let_in" if at is None else "person_shut_out"
    await note(session, NOWHERE, action, person_id, by, None)
    if at is not None:
        await SQL.end_sessions(session, person_id=person_id, at=at)
        await SQL.close_entrances(session, person_id=person_id, at=at)


def path_of(token: str) -> str:
    """Where a one-time token leads."""
    return f"/dashboard/enter/{token}"

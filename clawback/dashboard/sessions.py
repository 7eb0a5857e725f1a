"""Sessions: a cookie with a random token, of which the server keeps the digest.

A session ends after an hour without use, after twelve hours, on signing out, with a new password or
role, and when its person is shut out. The form's token is derived from the cookie's, so that a page
of one session cannot speak for another.
"""

import hmac
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.dashboard.people import SQL, digest, new_token
from clawback.ids import BookId, KeyId, ShopId
from clawback.route import BookRef, Caller

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from clawback.dashboard.people import Session

IDLE: Final = timedelta(hours=1)
LONGEST: Final = timedelta(hours=12)
TOUCH: Final = timedelta(minutes=1)
"""How often a use is written down, at most."""
FAMILIAR: Final = timedelta(days=30)
_RATE: Final = 20
_BURST: Final = 60


class Held(msgspec.Struct, frozen=True):
    """A role in a book, and the shop that payments made by hand belong to.

    `event_number`: that of the book's last event before anything of a page is read; None while the
    book is held.
    """

    book: BookRef
    role: str
    shop_id: ShopId
    api_version: str
    event_number: int | None


class Person(msgspec.Struct, frozen=True):
    """Who is signed in, by which session, and what is theirs."""

    person_id: str
    login: str
    name: str
    language: str | None
    theme: str
    token: str
    books: tuple[Held, ...]

    @property
    def actor(self) -> str:
        """How timelines and acts name this person."""
        return f"user:{self.login}"

    @property
    def form_token(self) -> str:
        """What a form of this session carries."""
        return hmac.digest(self.token.encode(), b"clawback form", sha256).hex()

    def holds(self, book_id: str) -> Held | None:
        """The person's role in a book."""
        return next((one for one in self.books if one.book.book_id == book_id), None)


class PersonCaller(Caller, frozen=True):
    """A person who calls what keys call; the person's own keys count as the person."""

    @property
    def actor(self) -> str:
        """How timelines name this caller."""
        return f"user:{self.owner}"


def caller_of(person: Person, held: Held) -> Caller:
    """The person as the API's calls see who asks."""
    return PersonCaller(
        key_id=KeyId(person.person_id),
        kind="secret",
        scopes=("*",),
        limits=None,
        shop_id=held.shop_id,
        owner=person.login,
        expires_at=None,
        rate_per_second=_RATE,
        burst=_BURST,
    )


async def open_session(session: "Session", person_id: str, address: str, now: datetime) -> str:
    """Begin a session; returns the cookie's token."""
    token = new_token()
    await SQL.open_session(
        session,
        digest=digest(token),
        person_id=person_id,
        address=address[:64],
        at=now,
        ends_at=now + LONGEST,
    )
    return token


async def find_person(
    session: "Session", token: str, now: datetime
) -> tuple[Person, datetime] | None:
    """Who holds this token, and when it was last used; None if it opens nothing any more."""
    row = await SQL.find_session(session, digest=digest(token), at=now, idle_since=now - IDLE)
    if row is None:
        return None
    books = await SQL.books_of(session, person_id=row["person_id"])
    person = Person(
        person_id=row["person_id"],
        login=row["login"],
        name=row["name"],
        language=row["language"],
        theme=row["theme"],
        token=token,
        books=tuple(
            Held(
                BookRef(
                    shard=one["shard"],
                    book_id=BookId(one["book_id"]),
                    merchant_id=one["merchant_id"],
                    merchant_name=one["merchant_name"],
                    mode=one["mode"],
                ),
                one["role"],
                ShopId(one["shop_id"]),
                one["api_version"],
                one["event_number"],
            )
            for one in books
        ),
    )
    return person, row["seen_at"]


async def is_familiar(session: "Session", person_id: str, address: str, now: datetime) -> bool:
    """Whether the person has signed in from this address not long ago."""
    row = await SQL.knows_address(
        session, person_id=person_id, address=address[:64], since=now - FAMILIAR
    )
    return row is not None


def cookie_name(*, is_secure: bool) -> str:
    """Bound to the host where there is TLS; on plain loopback browsers take no such name."""
    return "__Host-clawback" if is_secure else "clawback_local"


def read_cookie(request: "Request", *, is_secure: bool) -> str | None:
    """The token that a request brings."""
    return request.cookies.get(cookie_name(is_secure=is_secure))


def set_cookie(response: "Response", token: str, *, is_secure: bool) -> None:
    """Hand the browser its token: not for scripts, not for requests from elsewhere."""
    response.set_cookie(
        cookie_name(is_secure=is_secure),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(response: "Response", *, is_secure: bool) -> None:
    """Have the browser forget its token."""
    response.delete_cookie(
        cookie_name(is_secure=is_secure),
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )

"""The ways in and out: signing in, a one-time link, signing out.

Whoever is unknown, shut out, not set up or wrong in any part reads the same bytes after the same
work. A session's token is always new. A link is used by sending its form: looking at it changes
nothing, so that whatever opens links by itself uses none up.
"""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clawback import clock, logs, seal
from clawback.dashboard import passwords, people, sessions
from clawback.dashboard.guard import (
    TOKEN,
    Stranger,
    address_of,
    check_origin,
    error_page,
    read_form,
    recognize,
    speech_of,
    to_sign_in,
)
from clawback.dashboard.house import House
from clawback.dashboard.words import LANGUAGES
from clawback.db import pool
from clawback.seal import Seal, SealBroken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncpg import Record

HOME: Final = "/dashboard/"
_OWN_PATH: Final = re.compile(r"/dashboard/[A-Za-z0-9_-][A-Za-z0-9_/.?=&%+:-]*", re.ASCII)
_THEMES: Final = ("auto", "light", "dark")

log = logs.get_logger()


def own_path(text: str) -> str:
    """A path of ours to go to; anything else leads home."""
    found = _OWN_PATH.fullmatch(text[:2000])
    return text if found and ".." not in text and "//" not in text else HOME


def make_routes(house: House) -> list[Route]:
    """The doors."""
    doors = Doors(house)
    return [
        Route("/", doors.home, methods=["GET"]),
        Route("/sign-in", doors.sign_in, methods=["GET", "POST"]),
        Route("/sign-out", doors.sign_out, methods=["POST"]),
        Route("/manners", doors.manners, methods=["POST"]),
        Route("/enter/{token}", doors.enter, methods=["GET", "POST"]),
        Route("/{book}", doors.to_book, methods=["GET"]),
    ]


def _guarded(
    serve: "Callable[[Doors, Request], Awaitable[Response]]",
) -> "Callable[[Doors, Request], Awaitable[Response]]":
    """Turn away what does not come from our own pages, and say when the database is away."""

    async def guarded(doors: "Doors", request: Request) -> Response:
        try:
            if request.method == "POST":
                check_origin(request)
            return await serve(doors, request)
        except Stranger:
            return error_page(doors.house, request, "forbidden")
        except passwords.Busy:
            return error_page(doors.house, request, "overloaded")
        except pool.AWAY:
            return error_page(doors.house, request, "unavailable")

    return guarded


class Doors:
    """The ways in and out of one process."""

    def __init__(self, house: House) -> None:
        """Of this dashboard."""
        self.house = house

    @_guarded
    async def home(self, request: Request) -> Response:
        """To the person's first book."""
        person = await recognize(self.house, request)
        if person is None:
            return to_sign_in(request)
        if not person.books:
            return error_page(self.house, request, "no_book", speech_of(request, person))
        book = person.books[0].book.book_id
        return RedirectResponse(f"{HOME}{book}/", HTTPStatus.SEE_OTHER)

    async def to_book(self, request: Request) -> Response:
        """A book's first page, without the stroke at its end."""
        path = own_path(f"{HOME}{request.path_params['book']}/")
        return RedirectResponse(path, HTTPStatus.SEE_OTHER)

    @_guarded
    async def sign_in(self, request: Request) -> Response:
        """The form, and what comes of it."""
        wanted = own_path(request.query_params.get("next", HOME))
        if request.method == "GET":
            return self._form(request, wanted, 200)
        form = await read_form(request)
        login = form.get("login", "").strip().lower()[:120]
        address = address_of(self.house, request)
        async with self.house.services.reader() as connection:
            row = await people.SQL.find_person(connection, login=login)
            person_id = "" if row is None else row["person_id"]
            known = await sessions.is_familiar(connection, person_id, address, clock.real_now())
        brakes = self.house.brakes
        wait = brakes.wait_seconds(address, login, is_known=known)
        if wait:
            return self._form(request, wanted, 429, login, wait=wait)
        brakes.note(address, login, is_known=known)
        if not await self._is_right(row, form):
            log.warning("sign_in_failed", address=address)
            return self._form(request, wanted, 401, login)
        brakes.forgive(address, login, is_known=known)
        assert row is not None, "only somebody is right"
        return await self._admit(request, row["person_id"], login, wanted)

    def _form(
        self, request: Request, wanted: str, status: int, login: str = "", wait: int = 0
    ) -> Response:
        answer = self.house.pages.render(
            "sign_in.html",
            speech_of(request),
            status,
            outcome=status,
            wanted=wanted,
            login=login,
            wait=wait,
        )
        if wait:
            answer.headers["retry-after"] = str(wait)
        return answer

    async def _is_right(self, row: "Record | None", form: "Mapping[str, str]") -> bool:
        """Whether password and code are the person's; a code is used up by that."""
        stored = None if row is None or row["disabled_at"] is not None else row["password"]
        given = form.get("password", "")[: passwords.LONGEST]
        is_word = await self.house.passwords.matches(stored, given)
        lock = self.house.services.seal()
        if row is None or not is_word or lock is None:
            return False
        try:
            secret = lock.open(row["sealed_totp"], about=seal.of_person(row["person_id"]))
        except SealBroken as broken:
            log.warning("second_factor_sealed_with_lost_key", reason=str(broken))
            return False
        code = form.get("code", "").replace(" ", "")
        step = passwords.step_of(secret, code, clock.milliseconds(clock.real_now()))
        if step is None:
            return False
        async with self.house.services.writer() as connection:
            used = await people.SQL.use_code(connection, person_id=row["person_id"], step=step)
        return used is not None

    async def _admit(self, request: Request, person_id: str, login: str, wanted: str) -> Response:
        """Begin a session with a token of its own; one that the browser had before is ended."""
        now = clock.real_now()
        before = sessions.read_cookie(request, is_secure=self.house.is_secure)
        async with self.house.services.writer() as connection, connection.transaction():
            if before:
                await people.SQL.end_session(connection, digest=people.digest(before), at=now)
            token = await sessions.open_session(
                connection, person_id, address_of(self.house, request), now
            )
            by = people.By(f"user:{login}")
            await people.note(connection, people.NOWHERE, "signed_in", person_id, by, None)
        log.info("signed_in", person=person_id)
        answer = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
        sessions.set_cookie(answer, token, is_secure=self.house.is_secure)
        return answer

    @_guarded
    async def sign_out(self, request: Request) -> Response:
        """End the session on the server."""
        person = await recognize(self.house, request)
        answer = RedirectResponse("/dashboard/sign-in", HTTPStatus.SEE_OTHER)
        if person is None:
            return answer
        form = await read_form(request)
        if form.get(TOKEN) != person.form_token:
            raise Stranger
        async with self.house.services.writer() as connection, connection.transaction():
            digest = people.digest(person.token)
            await people.SQL.end_session(connection, digest=digest, at=clock.real_now())
            by, about = people.By(person.actor), person.person_id
            await people.note(connection, people.NOWHERE, "signed_out", about, by, None)
        sessions.drop_cookie(answer, is_secure=self.house.is_secure)
        answer.headers["clear-site-data"] = '"cache"'
        return answer

    @_guarded
    async def manners(self, request: Request) -> Response:
        """The person's language and colours."""
        person = await recognize(self.house, request)
        if person is None:
            return to_sign_in(request)
        form = await read_form(request)
        if form.get(TOKEN) != person.form_token:
            raise Stranger
        language, theme = form.get("language"), form.get("theme")
        async with self.house.services.writer() as connection:
            await people.SQL.set_manners(
                connection,
                person_id=person.person_id,
                language=language if language in LANGUAGES else person.language,
                theme=theme if theme in _THEMES else person.theme,
            )
        return RedirectResponse(own_path(form.get("next", HOME)), HTTPStatus.SEE_OTHER)

    @_guarded
    async def enter(self, request: Request) -> Response:
        """A one-time link: choose a password and a second factor, or come straight in."""
        digest = people.digest(request.path_params["token"])
        async with self.house.services.reader() as connection:
            row = await people.SQL.find_entrance(connection, digest=digest, at=clock.real_now())
        lock = self.house.services.seal()
        if row is None:
            return error_page(self.house, request, "link_used")
        if row["kind"] == people.SIGN_IN:
            return await self._enter_at_once(request, row, digest)
        if lock is None:
            return error_page(self.house, request, "no_seal")
        return await self._set_up(request, row, digest, lock)

    async def _enter_at_once(self, request: Request, row: "Record", digest: bytes) -> Response:
        if request.method == "GET":
            words = speech_of(request)
            return self.house.pages.render("enter.html", words, name=row["name"])
        async with self.house.services.writer() as connection:
            used = await people.SQL.use_entrance(connection, digest=digest, at=clock.real_now())
        if used is None:
            return error_page(self.house, request, "link_used")
        return await self._admit(request, used["person_id"], row["login"], HOME)

    async def _set_up(self, request: Request, row: "Record", digest: bytes, lock: Seal) -> Response:
        about = seal.of_person(row["person_id"])
        if request.method == "GET":
            return self._set_up_form(request, row, lock, passwords.new_secret())
        form = await read_form(request)
        try:
            secret = lock.open_text(form.get("sealed", ""), about=about)
        except SealBroken as broken:
            raise Stranger from broken
        password = form.get("password", "")
        if password != form.get("again") or not passwords.is_fit(password, row["login"]):
            return self._set_up_form(request, row, lock, secret, "password")
        unix_ms = clock.milliseconds(clock.real_now())
        step = passwords.step_of(secret, form.get("code", "").replace(" ", ""), unix_ms)
        if step is None:
            return self._set_up_form(request, row, lock, secret, "code")
        stored = await self.house.passwords.make(password)
        async with self.house.services.writer() as connection, connection.transaction():
            used = await people.SQL.use_entrance(connection, digest=digest, at=clock.real_now())
            if used is None:
                return error_page(self.house, request, "link_used")
            person_id = used["person_id"]
            await people.SQL.set_password(
                connection,
                person_id=person_id,
                password=stored,
                sealed_totp=lock.close(secret, about=about),
            )
            await people.SQL.use_code(connection, person_id=person_id, step=step)
            await people.SQL.end_sessions(connection, person_id=person_id, at=clock.real_now())
        return await self._admit(request, person_id, row["login"], HOME)

    def _set_up_form(
        self, request: Request, row: "Record", lock: Seal, secret: str, fault: str = ""
    ) -> Response:
        uri = passwords.uri(secret, row["login"])
        return self.house.pages.render(
            "set_up.html",
            speech_of(request),
            HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            name=row["name"],
            login=row["login"],
            secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
            uri=uri,
            picture=passwords.picture(uri),
            sealed=lock.close_text(secret, about=seal.of_person(row["person_id"])),
            fault=fault,
            shortest=passwords.SHORTEST,
        )

"""The one gate before every page: where a request is from, who asks, of which book, by which role.

Unsafe methods must come from our own pages: by Sec-Fetch-Site or Origin, and with the session's
form token. A book that the person holds no role in does not exist. A page without a permission
does not exist either: `BookPage` cannot be made without one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clawback import clock
from clawback.dashboard import people, sessions
from clawback.dashboard.asking import Asking
from clawback.dashboard.house import House
from clawback.dashboard.roles import may
from clawback.dashboard.sessions import Held, Person
from clawback.dashboard.words import Speech, choose, speech
from clawback.db import pool
from clawback.errors import Refused
from clawback.http.addresses import group
from clawback.http.decode import BodyDecoder
from clawback.http.multipart import MULTIPART, read_upload
from clawback.route import FileBody, Upload

MAX_FORM: Final = 1_200_000
"""Bytes: a file of refunds fits, pasted as text."""
MAX_FILE: Final = 10_500_000
FORM: Final = b"application/x-www-form-urlencoded"
TOKEN: Final = "formToken"  # noqa: S105 - a field's name


class Visit(msgspec.Struct, frozen=True):
    """One request of a person in a book: what a page is handed."""

    house: House
    request: Request
    person: Person
    held: Held
    ask: Asking
    speech: Speech
    form: Mapping[str, str]
    upload: FileBody | None = None

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the page's path."""
        found: Mapping[str, str] = self.request.path_params
        return found

    @property
    def query(self) -> dict[str, str]:
        """The page's query; of a repeated name the last."""
        return dict(self.request.query_params)

    @property
    def base(self) -> str:
        """Where the book's pages begin."""
        return f"/dashboard/{self.held.book.book_id}"

    def may(self, permission: str) -> bool:
        """Whether the person may do this in the book."""
        return may(self.held.role, permission)

    def page(self, template: str, status: int = 200, **context: object) -> Response:
        """A page of the book."""
        return self.house.pages.render(
            template,
            self.speech,
            status,
            person=self.person,
            held=self.held,
            book=self.held.book,
            base=self.base,
            may=self.may,
            form_token=self.person.form_token,
            here=self.request.url.path,
            query=self.query,
            visit=self,
            **context,
        )

    def refused(self, refused: Refused) -> Response:
        """A page that says why something cannot be shown or done."""
        return error_page(self.house, self.request, refused.code, self.speech, self)

    def lead(self, path: str) -> Response:
        """Off to another page, also where a part of this one was asked for."""
        if self.request.headers.get("hx-request"):
            return Response(headers={"hx-redirect": self.base + path})
        return self.go(path)

    def go(self, path: str) -> Response:
        """Off to another page of the book."""
        return RedirectResponse(self.base + path, HTTPStatus.SEE_OTHER)


Show = Callable[[Visit], Awaitable[Response]]


class BookPage(msgspec.Struct, frozen=True):
    """A page of a book: its path below the book's, who may have it, and what shows it.

    `upload`: the fields of a form that brings a file, its token among them.
    """

    path: str
    show: Show
    permit: str
    method: str = "GET"
    test_only: bool = False
    upload: type | None = None


class Stranger(Exception):
    """The request does not come from our own pages, or its form cannot be read."""


def make_route(house: House, page: BookPage) -> Route:
    """The page behind its gate."""
    decoder: BodyDecoder[Any] | None = None
    if page.upload is not None:
        decoder = BodyDecoder(page.upload, empty_body=True)

    async def serve(request: Request) -> Response:
        try:
            return await _admit(house, page, request, decoder)
        except Stranger:
            return error_page(house, request, "forbidden")
        except pool.UNAVAILABLE:
            return error_page(house, request, "unavailable")
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    return Route("/{book}" + page.path, serve, methods=[page.method])


async def _admit(
    house: House, page: BookPage, request: Request, decoder: BodyDecoder[Any] | None
) -> Response:
    is_safe = request.method in {"GET", "HEAD"}
    if not is_safe:
        check_origin(request)
    person = await recognize(house, request)
    if person is None:
        return to_sign_in(request)
    words = speech_of(request, person)
    held = person.holds(request.path_params["book"])
    if held is None or (page.test_only and held.book.mode != "test"):
        return error_page(house, request, "not_found", words)
    form: Mapping[str, str] = {}
    upload: FileBody | None = None
    if not is_safe:
        if decoder is not None:
            upload = await _read_upload(request, decoder)
            given = _token_beside(upload)
        else:
            form = await read_form(request)
            given = form.get(TOKEN, "")
        if not compare_digest(given.encode(), person.form_token.encode()):
            raise Stranger
    asking = Asking(house.table, house.services, person, held)
    visit = Visit(house, request, person, held, asking, words, form, upload)
    if not visit.may(page.permit):
        return error_page(house, request, "forbidden", words, visit)
    bucket = house.buckets.take(f"person:{person.person_id}", 20, 80)
    if not bucket.passes:
        return error_page(house, request, "rate_limited", words, visit)
    return await page.show(visit)


async def recognize(house: House, request: Request) -> Person | None:
    """Who is signed in, if anybody is. Raises: the driver's errors."""
    token = sessions.read_cookie(request, is_secure=house.is_secure)
    if not token:
        return None
    now = clock.real_now()
    async with house.services.reader() as connection:
        found = await sessions.find_person(connection, token, now)
    if found is None:
        return None
    person, seen_at = found
    connection_of = request.scope.get("clawback.connection")
    if connection_of is not None and connection_of.is_anonymous:
        connection_of.know()
    if now - seen_at > sessions.TOUCH:
        async with house.services.writer() as connection:
            await people.SQL.touch_session(connection, digest=people.digest(token), at=now)
    return person


def check_origin(request: Request) -> None:
    """Raises: Stranger unless the browser says that one of our own pages has sent this."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is None and origin is None:
        raise Stranger
    if site is not None and site != "same-origin":
        raise Stranger
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Stranger


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; of a repeated one the last. Raises: Stranger."""
    kind = request.headers.get("content-type", "").encode().partition(b";")[0].strip().lower()
    if kind != FORM:
        raise Stranger
    body = await _read_body(request, MAX_FORM)
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError as error:
        raise Stranger from error
    if any("\0" in name + value for name, value in pairs):
        raise Stranger
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


async def _read_upload(request: Request, decoder: BodyDecoder[Any]) -> FileBody:
    kind = request.headers.get("content-type", "").encode()
    if kind.partition(b";")[0].strip().lower() != MULTIPART:
        raise Stranger
    body = await _read_body(request, MAX_FILE)
    found = await asyncio.to_thread(read_upload, body, {b"content-type": kind}, decoder)
    if isinstance(found, Refused):
        raise Stranger
    return found


def _token_beside(upload: FileBody) -> str:
    """The token among the fields beside a file."""
    assert isinstance(upload.content, Upload), "what the reader makes"
    fields = upload.content.fields
    assert isinstance(fields, msgspec.Struct), "the form's own struct"
    return str(msgspec.structs.asdict(fields)["form_token"])


async def _read_body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Stranger
    return bytes(body)


def address_of(house: House, request: Request) -> str:
    """The address that a request is counted for."""
    peer = request.client.host if request.client else ""
    return house.peers.caller(peer, request.headers.getlist("x-forwarded-for")) or group(peer)


def speech_of(request: Request, person: Person | None = None) -> Speech:
    """The language of a page: the person's own, else the browser's."""
    wanted = None if person is None else person.language
    return speech(choose(wanted, request.headers.get("accept-language", "")))


def to_sign_in(request: Request) -> Response:
    """Off to sign in, and back here afterwards if this was a page."""
    to = "/dashboard/sign-in"
    if request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        to += f"?next={quote(path, safe='/')}"
    if request.headers.get("hx-request"):
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"hx-redirect": to})
    return RedirectResponse(to, HTTPStatus.SEE_OTHER)


_STATUS: Final = {
    "forbidden": 403, "not_found": 404, "rate_limited": 429, "unavailable": 503,
    "overloaded": 503, "scope_missing": 403, "sandbox_only": 403, "invalid_parameter": 400,
}  # fmt: skip


def error_page(
    house: House,
    request: Request,
    code: str,
    words: Speech | None = None,
    visit: Visit | None = None,
) -> Response:
    """A page that says what is wrong; unknown and foreign books look the same."""
    return house.pages.render(
        "error.html",
        words or speech_of(request),
        _STATUS.get(code, 422),
        code=code,
        back="/dashboard/" if visit is None else visit.base + "/",
    )

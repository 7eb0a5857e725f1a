"""The page on which a payer says where the money of a refund shall go.

A signed link opens it, once, until its time is up on the book's clock. Before the signature is
checked nothing is read; forged and unknown links are answered alike. The page keeps nothing, is
never framed, names no referrer and loads nothing from elsewhere.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib import resources
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clawback import clock
from clawback.claims.detailing import give
from clawback.claims.details import PAYER, WAITS, PayerDetailsInvalid
from clawback.claims.links import DETAILS, PATH, Link, read_token
from clawback.claims.payees import Given, rail_of
from clawback.claims.reading import SQL
from clawback.claims.refusals import ClaimTransitionInvalid
from clawback.db import pool
from clawback.errors import NotFound, Refused
from clawback.http.payer_html import Shown, form_page, message_page
from clawback.http.payer_words import choose, load_words
from clawback.ids import BookId
from clawback.lanes.records import Claim
from clawback.route import BookRef, Kept, Services
from clawback.seal import Seal

MAX_FORM: Final = 16_384
FORM: Final = "application/x-www-form-urlencoded"
CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": CSP,
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    "cross-origin-opener-policy": "same-origin",
}
_CLAIM: Final = msgspec.json.Decoder(Claim)


class Visit(msgspec.Struct, frozen=True):
    """A genuine link that is still of use."""

    book: BookRef
    claim: Claim
    shown: Shown


class Ended(msgspec.Struct, frozen=True):
    """What is said instead of the form: the word's name, and the status."""

    said: str
    status: int
    merchant: str = ""


async def _find(services: Services, seal: Seal, token: str, lang: str) -> Visit | Ended:
    link = read_token(seal, DETAILS, token)
    if link is None:
        return Ended("unknown", HTTPStatus.NOT_FOUND)
    async with services.reader() as connection:
        row = await SQL.find_payer_claim(connection, book_id=link.book_id, claim_id=link.claim_id)
    if row is None:
        return Ended("unknown", HTTPStatus.NOT_FOUND)
    claim = _CLAIM.decode(row["row"])
    now = clock.book_time(clock.real_now(), row["clock_offset_seconds"])
    rail = rail_of(claim.currency)
    if clock.milliseconds(now) >= link.until_ms:
        return Ended("expired", HTTPStatus.GONE, row["merchant_name"])
    if not _is_open(claim, link) or rail is None:
        return Ended("used", HTTPStatus.GONE, row["merchant_name"])
    assert claim.payer_details_due_at is not None, "it waits for them"
    book = BookRef(
        shard=row["shard"],
        book_id=BookId(link.book_id),
        merchant_id=row["merchant_id"],
        merchant_name=row["merchant_name"],
        mode=row["mode"],
    )
    shown = Shown(
        lang=lang,
        merchant=book.merchant_name,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        rail=rail,
        until=claim.payer_details_due_at,
        needed=claim.payer_fields,
    )
    return Visit(book, claim, shown)


def _is_open(claim: Claim, link: Link) -> bool:
    """Whether the claim still waits for just what this link was made for."""
    due = claim.payer_details_due_at
    return (
        claim.pending_reason == WAITS
        and due is not None
        and clock.milliseconds(due) == link.until_ms
    )


async def _read_form(request: Request) -> dict[str, str] | None:
    """The fields of a small form; None for anything else. A repeated field counts once."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            return None
    try:
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=32)
    except ValueError:
        return None
    return dict(pairs)


async def _submit(
    services: Services, seal: Seal, visit: Visit, form: dict[str, str]
) -> dict[str, str] | Ended:
    """Give the details; what is wrong with them by field, or how it ended."""
    given = Given(
        rail=visit.shown.rail,
        holder_name=form.get("holderName", "")[:120],
        account=form.get("account", "")[:128],
        account_type=form.get("accountType", "")[:32],
        bank_code=form.get("bankCode", "")[:32],
        document_type=form.get("documentType", "")[:32],
        document_id=form.get("documentId", "")[:32],
    )
    command = give(seal, visit.book, visit.claim.claim_id, given, PAYER)
    kept: Kept[msgspec.Struct] = Kept()
    outcome = await services.submit(visit.book, command, kept)
    merchant = visit.book.merchant_name
    match outcome:
        case PayerDetailsInvalid():
            return {fault.field: fault.rule for fault in outcome.faults}
        case ClaimTransitionInvalid() | NotFound():
            return Ended("used", HTTPStatus.GONE, merchant)
        case Refused():
            return Ended("busy", HTTPStatus.SERVICE_UNAVAILABLE, merchant)
        case _:
            return Ended("thanks", HTTPStatus.OK, merchant)


def _said(lang: str, ended: Ended, amount: str = "") -> Response:
    message: tuple[str, str] = getattr(load_words()[lang], ended.said)
    html = message_page(lang, message, merchant=ended.merchant, amount=amount)
    return HTMLResponse(html, ended.status, HEADERS)


def make_routes(services: Services) -> list[Route]:
    """The page and what it loads."""

    async def page(request: Request) -> Response:
        lang = choose(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        seal = services.seal()
        if seal is None:
            return _said(lang, Ended("unknown", HTTPStatus.NOT_FOUND))
        try:
            visit = await _find(services, seal, request.path_params["token"], lang)
            if isinstance(visit, Ended):
                return _said(lang, visit)
            if request.method != "POST":
                return HTMLResponse(form_page(visit.shown, {}, {}), 200, HEADERS)
            form = await _read_form(request)
            if form is None:
                return _said(lang, Ended("unknown", HTTPStatus.BAD_REQUEST))
            found = await _submit(services, seal, visit, form)
        except pool.UNAVAILABLE:
            return _said(lang, Ended("busy", HTTPStatus.SERVICE_UNAVAILABLE))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        if isinstance(found, Ended):
            return _said(lang, found, visit.shown.amount)
        html = form_page(visit.shown, form, found)
        return HTMLResponse(html, HTTPStatus.UNPROCESSABLE_ENTITY, HEADERS)

    return [
        Route(PATH + "{token}", page, methods=["GET", "POST"]),
        Route("/static/payer.css", _static("payer.css", "text/css"), methods=["GET"]),
        Route("/static/payer.js", _static("payer.js", "text/javascript"), methods=["GET"]),
    ]


def _static(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Serves a file of ours, read once."""
    text = resources.files(__package__).joinpath(f"static/{name}").read_text("utf-8")

    async def serve(_: Request) -> Response:
        return Response(text, media_type=media_type)

    return serve

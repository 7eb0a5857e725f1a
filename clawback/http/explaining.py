"""The page that explains a claim to its payer: in plain words, where the money is.

A signed link opens it until its time is up on the book's clock. It shows the claim's amount, state
and steps, and names neither people nor notes, nor anything else of the payment. Wrong, altered and
expired links are answered with the same bytes. The page keeps nothing and takes nothing.
"""

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clawback import clock
from clawback.claims.links import EXPLAINING, EXPLAINING_PATH, read_token
from clawback.claims.reading import SQL
from clawback.db import pool
from clawback.http.explaining_html import Told, load_texts, told_page
from clawback.http.payer import HEADERS
from clawback.http.payer_html import message_page
from clawback.http.payer_words import choose, load_words
from clawback.lanes.records import Claim
from clawback.route import Services
from clawback.seal import Seal

_CLAIM: Final = msgspec.json.Decoder(Claim)


async def find_told(services: Services, seal: Seal, token: str) -> Told | None:
    """What a link tells, if it is genuine and still good. Raises: the driver's errors."""
    link = read_token(seal, EXPLAINING, token)
    if link is None:
        return None
    async with services.reader() as connection:
        row = await SQL.find_payer_claim(connection, book_id=link.book_id, claim_id=link.claim_id)
        if row is None:
            return None
        steps = await SQL.list_timeline(
            connection, shard=row["shard"], book_id=link.book_id, claim_id=link.claim_id
        )
    now = clock.book_time(clock.real_now(), row["clock_offset_seconds"])
    if clock.milliseconds(now) >= link.until_ms:
        return None
    return Told(
        claim=_CLAIM.decode(row["row"]),
        steps=tuple(
            (step["created_at"], step["to_status"])
            for step in steps
            if step["from_status"] != step["to_status"]
        ),
        is_test=row["mode"] == "test",
        until=clock.from_milliseconds(link.until_ms),
    )


def make_routes(services: Services) -> list[Route]:
    """The page. Raises: ValueError if a language lacks words for a status."""
    texts = load_texts()

    async def page(request: Request) -> Response:
        lang = choose(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        seal = services.seal()
        try:
            token = request.path_params["token"]
            told = None if seal is None else await find_told(services, seal, token)
        except pool.UNAVAILABLE:
            html = message_page(lang, texts[lang].busy)
            return HTMLResponse(html, HTTPStatus.SERVICE_UNAVAILABLE, HEADERS)
        if told is None:
            html = message_page(lang, load_words()[lang].unknown)
            return HTMLResponse(html, HTTPStatus.NOT_FOUND, HEADERS)
        return HTMLResponse(told_page(told, lang), HTTPStatus.OK, HEADERS)

    return [Route(EXPLAINING_PATH + "{token}", page, methods=["GET"])]

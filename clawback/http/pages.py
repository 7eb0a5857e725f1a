"""What lies outside /api/v1: health, readiness, metrics, the document of all calls, the manual.

Built on Starlette; nothing here is on the way of a refund.
"""

from collections.abc import Awaitable, Callable, Sequence
from hmac import compare_digest
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from clawback.errors import Refused, Unavailable
from clawback.http import faults
from clawback.http.answers import REQUEST_ID, render_refusal
from clawback.http.manual import error_page, manual_page
from clawback.http.metrics import render_metrics
from clawback.http.openapi import Document

if TYPE_CHECKING:
    from clawback.settings import Settings

PAGE_CSP: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
"""Headers by which a proxy on this machine shows that the request came from elsewhere."""


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers=headers, media_type="application/json")


def _refusal(request: Request, refused: Refused, headers: dict[str, str] | None = None) -> Response:
    status, body = render_refusal(refused, request.scope[REQUEST_ID])
    return _json(body, status, headers)


def _page(html: str) -> Response:
    headers = {
        "content-security-policy": PAGE_CSP,
        "referrer-policy": "no-referrer",
    }
    return HTMLResponse(html, headers=headers)


async def _style(_: Request) -> Response:
    text = resources.files(__package__).joinpath("static/manual.css").read_text("utf-8")
    return Response(text, media_type="text/css")


def make_pages(
    document: Document,
    settings: "Settings",
    is_ready: Callable[[], Awaitable[bool]],
    gauges: Callable[[], Awaitable[dict[str, float]]],
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application for every path that is not of the API. `more`: pages of other modules.

    Raises: SettingsError if the metrics' token is set and cannot be read.
    """
    file = settings.metrics_token_file
    token = None if file is None else settings.secret(file)
    spec = msgspec.json.encode(document)
    manual = manual_page(document)
    errors = error_page()

    async def healthz(_: Request) -> Response:
        return _json(b'{"ok":true}')

    async def readyz(request: Request) -> Response:
        if await is_ready():
            return _json(b'{"ready":true}')
        return _refusal(request, Unavailable(), {"retry-after": "1"})

    async def metrics(request: Request) -> Response:
        if not _may_see_metrics(request, token, behind_proxy=settings.behind_proxy):
            return _refusal(request, faults.RouteNotFound())
        return Response(
            render_metrics(await gauges()),
            media_type="application/openmetrics-text; version=1.0.0; charset=utf-8",
        )

    async def openapi(_: Request) -> Response:
        return _json(spec, headers={"access-control-allow-origin": "*"})

    async def docs(request: Request) -> Response:
        return _page(errors if request.url.path.endswith("/errors") else manual)

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        is_method = status == HTTPStatus.METHOD_NOT_ALLOWED
        allow = (error.headers or {}) if isinstance(error, HTTPException) else {}
        return _refusal(
            request, faults.MethodNotAllowed() if is_method else faults.RouteNotFound(), dict(allow)
        )

    calls = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
        "/openapi.json": openapi,
        "/docs": docs,
        "/docs/errors": docs,
        "/static/manual.css": _style,
    }
    return Starlette(
        routes=[*(Route(path, call, methods=["GET"]) for path, call in calls.items()), *more],
        exception_handlers={404: not_found, 405: not_found},
    )


def _may_see_metrics(request: Request, token: str | None, *, behind_proxy: bool) -> bool:
    """With a token: whoever has it. Without one: this machine, unless a proxy speaks for others."""
    if token is not None:
        given = request.headers.get("authorization", "")
        return compare_digest(given.encode(), f"Bearer {token}".encode())
    if behind_proxy or any(name in request.headers for name in FORWARDED):
        return False
    return request.client is not None and request.client.host in LOOPBACK

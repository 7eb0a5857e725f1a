"""The dashboard as one application under /dashboard, with every page of every book.

The list below is all there is: tests walk it, page by page and role by role. What is not in it is
answered with a page that says so, in the same bytes for everybody.
"""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from clawback.dashboard import (
    batches,
    books,
    claims,
    decisions,
    doors,
    figures,
    home,
    keys,
    live,
    payments,
    refunds,
    sandbox,
    sharing,
    statics,
    team,
    terms_form,
    webhooks,
)
from clawback.dashboard.guard import BookPage, error_page, make_route
from clawback.dashboard.house import House
from clawback.route import Route, Services
from clawback.settings import Settings

PAGES: Final[tuple[BookPage, ...]] = (
    *home.PAGES,
    *figures.PAGES,
    *payments.PAGES,
    *refunds.PAGES,
    *claims.PAGES,
    *decisions.PAGES,
    *sharing.PAGES,
    *batches.PAGES,
    *books.PAGES,
    *keys.PAGES,
    *sandbox.PAGES,
    *team.PAGES,
    *terms_form.PAGES,
    *webhooks.PAGES,
    *live.PAGES,
)


def make_dashboard(
    services: Services,
    settings: Settings,
    calls: Sequence[Route],
    *,
    processes: int = 1,
    is_stopping: Callable[[], bool] = lambda: False,
) -> BaseRoute:
    """The dashboard. `calls`: the API's routes, of which it makes all that it shows and does."""
    house = House(services, settings, calls, processes=processes, is_stopping=is_stopping)

    async def not_found(request: Request, _: Exception) -> Response:
        return error_page(house, request, "not_found")

    inside = Starlette(
        routes=[
            statics.make_route(house.files),
            *doors.make_routes(house),
            *(make_route(house, page) for page in PAGES),
        ],
        exception_handlers={404: not_found, 405: not_found},
    )
    inside.router.redirect_slashes = False
    return Mount("/dashboard", app=inside)

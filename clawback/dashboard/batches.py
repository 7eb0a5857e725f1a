"""Many refunds at once: a file is tried first, its every row is shown, then just that is done.

The dry run moves nothing; its token does exactly what was shown, once, for this person and book, or
says that things have changed since.
"""

from hashlib import sha256
from typing import Final

from starlette.responses import Response

from clawback.dashboard.asking import Json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.refunds import explained
from clawback.dashboard.roles import REFUND
from clawback.errors import Refused
from clawback.ids import opaque
from clawback.route import FileBody


async def show(
    visit: Visit, shown: Json | None = None, error: Json | None = None, status: int = 200
) -> Response:
    """The form, or what a file comes to."""
    return visit.page(
        "batches.html",
        status,
        shown=shown,
        error=error,
        typed=visit.form,
        key=opaque("dash-", size=16),
    )


async def preview(visit: Visit) -> Response:
    """What would come of each row; nothing moves."""
    served, _ = visit.house.table.find("POST", ["refunds", "batch"])
    assert served is not None, "batches are a call of the API"
    assert served.route.csv is not None, "which takes files"
    data = visit.form.get("csv", "").strip().replace("\n", "\r\n").encode()
    content = served.route.csv(data)
    if isinstance(content, Refused):
        return await show(visit, None, explained(content), 422)
    body = FileBody(sha256(data).hexdigest(), content)
    query = {"dryRun": "true"}
    if visit.form.get("allOrNothing") == "true":
        query["allOrNothing"] = "true"
    found = await visit.ask.do("POST", "/refunds/batch", body, query=query)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return await show(visit, found)


async def commit(visit: Visit) -> Response:
    """Do what was shown."""
    body = {"commitToken": visit.form.get("commitToken", "")}
    found = await visit.ask.do("POST", "/refunds/batch", body, visit.form.get("key") or None)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return await show(visit, found)


PAGES: Final = (
    BookPage("/batches", show, REFUND),
    BookPage("/batches/preview", preview, REFUND, method="POST"),
    BookPage("/batches/commit", commit, REFUND, method="POST"),
)

"""A link for a claim's payer, to a page that explains in plain words where the money is.

It is shown on the page that answers and kept nowhere; that it was made, by whom and until when it
holds, is noted in the book's acts.
"""

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from clawback.claims.links import make_explaining_link
from clawback.dashboard import claims, people
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.home import book_now
from clawback.dashboard.roles import PAYER
from clawback.errors import NotFound, Refused


async def share(visit: Visit) -> Response:
    """Make the link and show it, this once. Refuses: NotFound, without a sealing key too."""
    claim = await claims.read_claim(visit)
    if isinstance(claim, Refused):
        return visit.refused(claim)
    book = visit.held.book
    until = await book_now(visit) + timedelta(days=claims.SHARE_DAYS)
    link = make_explaining_link(visit.house.services, book.book_id, claim["id"], until)
    if link is None:
        return visit.refused(NotFound())
    async with visit.house.services.writer() as connection:
        by, place = people.By(visit.person.actor), people.place_of(book)
        note = f"until {until:%Y-%m-%d}"
        await people.note(connection, place, "explanation_shared", claim["id"], by, note)
    return await claims.show(visit, shared=link)


PAGES: Final = (BookPage("/claims/{id}/share", share, PAYER, method="POST"),)

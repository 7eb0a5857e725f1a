"""Settings of the book, to look at; its people, for owners; what people did, for everybody.

An owner gives and takes roles and brings in new people by a one-time link. Somebody who is known
already only gets the role: a new link would take away a way in that other books rely on, so those
are made on the command line.
"""

from typing import Final

from starlette.responses import Response

from clawback.dashboard import people, terms
from clawback.dashboard.asking import Json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.names import read_names
from clawback.dashboard.people import PersonRefused
from clawback.dashboard.roles import ROLES, SEE, TEAM
from clawback.dashboard.sql import SQL
from clawback.errors import NotFound, Refused

_ACTS: Final = 100


async def show(
    visit: Visit, made: Json | None = None, fault: str = "", status: int = 200
) -> Response:
    """The page."""
    book = visit.held.book
    me = await visit.ask.get("/me")
    if isinstance(me, Refused):
        return visit.refused(me)
    async with visit.house.services.reader() as connection:
        columns = await terms.load(connection, people.place_of(book))
        team = await people.SQL.list_team(connection, book_id=book.book_id)
        acts = await SQL.latest_acts(
            connection, shard=book.shard, book_id=book.book_id, limit=_ACTS
        )
    return visit.page(
        "settings.html",
        status,
        me=me,
        terms=columns,
        fees=terms.fees_of(columns),
        team=[dict(row) for row in team],
        acts=[dict(row) for row in acts],
        names=await read_names(visit, [row["actor"] for row in acts]),
        roles=list(ROLES),
        made=made,
        fault=fault,
        typed=visit.form,
    )


async def add(visit: Visit) -> Response:
    """Give somebody a role; who is new gets a link, shown this once."""
    form, book = visit.form, visit.held.book
    login, name = form.get("login", "").strip().lower(), form.get("name", "").strip()
    place, token = people.place_of(book), ""
    try:
        async with visit.house.services.writer() as connection, connection.transaction():
            row = await people.SQL.find_person(connection, login=login)
            if row is None:
                person_id = await people.create(connection, login, name)
                token = await people.let_in(
                    connection, person_id, people.SET_UP, people.By(visit.person.actor)
                )
            else:
                person_id = row["person_id"]
            by = people.By(visit.person.actor)
            await people.grant(connection, person_id, place, form.get("role", ""), by)
    except PersonRefused as refused:
        return await show(visit, None, str(refused), 422)
    link = visit.house.services.public_url() + people.path_of(token) if token else ""
    return await show(visit, made={"login": login, "link": link})


async def change(visit: Visit) -> Response:
    """Another role for somebody, or none."""
    book, person_id = visit.held.book, visit.path["person"]
    place, role = people.place_of(book), visit.form.get("role", "")
    by = people.By(visit.person.actor)
    try:
        async with visit.house.services.writer() as connection, connection.transaction():
            held = await people.SQL.find_role(connection, person_id=person_id, book_id=book.book_id)
            if held is None:
                return visit.refused(NotFound())
            if role == "none":
                await people.take(connection, person_id, place, by)
            else:
                await people.grant(connection, person_id, place, role, by)
    except PersonRefused as refused:
        return await show(visit, None, str(refused), 422)
    return visit.go("/settings")


PAGES: Final = (
    BookPage("/settings", show, SEE),
    BookPage("/team", add, TEAM, method="POST"),
    BookPage("/team/{person}", change, TEAM, method="POST"),
)

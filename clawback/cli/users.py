"""`clawback users`: the people of the dashboard, their roles, and links that let them in once.

A link is shown once and works once, within a day; only its digest is stored. With it a person
chooses a password and a second factor; a new link takes the old ones away.
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated

import typer

from clawback.cli.operating import operator
from clawback.cli.options import Live
from clawback.cli.output import Stop, note
from clawback.cli.session import Database, with_database

if TYPE_CHECKING:
    from asyncpg import Connection

    from clawback.dashboard.people import By

app = typer.Typer()

COLUMNS = ("login", "person", "name", "roles", "isSetUp", "disabledAt", "createdAt")

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="As typed when signing in.")]
InMerchant = Annotated[str, typer.Option("--merchant", help="MCH-…: whose books.")]
Role = Annotated[
    str, typer.Option(help="owner, developer, operator, disputes or read-only; `-` for none.")
]
Address = Annotated[
    str, typer.Option("--public-url", help="Where people reach this service, for the link.")
]


@app.command("create")
@with_database
def create_user(
    database: Database,
    login: Login,
    *,
    name: Annotated[str, typer.Option(help="How others see the person.")],
    merchant: InMerchant,
    role: Role = "read-only",
    live: Live = False,
    address: Address = "",
) -> None:
    """Create a person with a role in a test book (--live: live book); prints a one-time link."""
    from clawback.dashboard import people  # noqa: PLC0415 - the driver is loaded only when used

    async def work(session: "Connection") -> dict[str, object]:
        async with session.transaction():
            place = await people.find_place(session, merchant, "live" if live else "test")
            person = await people.create(session, login, name)
            await people.grant(session, person, place, role, _by())
            token = await people.let_in(session, person, people.SET_UP, _by())
        return {"person": person, "login": login.lower(), "role": role, "link": token}

    _show_link(database, database.run(lambda session: _told(work(session))), address)


@app.command("link")
@with_database
def link_user(database: Database, login: Login, *, address: Address = "") -> None:
    """Print a new one-time link: password, second factor and sessions of before end at once."""
    from clawback.dashboard import people  # noqa: PLC0415 - the driver is loaded only when used

    async def work(session: "Connection") -> dict[str, object]:
        async with session.transaction():
            person = (await people.find(session, login))["person_id"]
            token = await people.let_in(session, person, people.SET_UP, _by())
        return {"person": person, "login": login.lower(), "link": token}

    _show_link(database, database.run(lambda session: _told(work(session))), address)


@app.command("grant")
@with_database
def grant_role(
    database: Database, login: Login, *, merchant: InMerchant, role: Role, live: Live = False
) -> None:
    """Give a person a role in a test book (--live: live book), or take it away."""
    from clawback.dashboard import people  # noqa: PLC0415 - the driver is loaded only when used

    async def work(session: "Connection") -> dict[str, object]:
        async with session.transaction():
            place = await people.find_place(session, merchant, "live" if live else "test")
            person = (await people.find(session, login))["person_id"]
            if role == "-":
                await people.take(session, person, place, _by())
            else:
                await people.grant(session, person, place, role, _by())
        return {"person": person, "login": login.lower(), "role": role}

    database.show_one(database.run(lambda session: _told(work(session))))


@app.command("disable")
@with_database
def disable_user(
    database: Database,
    login: Login,
    *,
    again: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False,
) -> None:
    """Shut a person out: every session ends at once. What the person did stays on record."""
    from clawback import clock  # noqa: PLC0415 - loaded only when used
    from clawback.dashboard import people  # noqa: PLC0415 - the driver is loaded only when used

    async def work(session: "Connection") -> dict[str, object]:
        async with session.transaction():
            person = (await people.find(session, login))["person_id"]
            await people.shut_out(session, person, None if again else clock.real_now(), _by())
        return {"person": person, "login": login.lower(), "disabled": not again}

    database.show_one(database.run(lambda session: _told(work(session))))


@app.command("list")
@with_database
def list_users(database: Database) -> None:
    """List people and their roles."""
    from clawback.cli.register import shown  # noqa: PLC0415 - the driver is loaded only when used
    from clawback.dashboard import people  # noqa: PLC0415 - the same

    async def work(session: "Connection") -> list[dict[str, object]]:
        return [shown(row) for row in await people.SQL.list_people(session)]

    database.show(COLUMNS, database.run(work))


def _by() -> "By":
    """Whoever runs this."""
    from clawback.dashboard.people import By  # noqa: PLC0415 - loaded only when used

    who = operator()
    return By(who.actor, who.via)


async def _told(work: "Awaitable[dict[str, object]]") -> dict[str, object]:
    """What it answers. Raises: Stop for what people refuses."""
    from clawback.dashboard.people import PersonRefused  # noqa: PLC0415 - loaded only when used

    try:
        return await work
    except PersonRefused as refused:
        raise Stop(str(refused)) from refused


def _show_link(database: Database, made: dict[str, object], address: str) -> None:
    from clawback.dashboard.people import path_of  # noqa: PLC0415 - loaded only when used

    where = address or database.url
    made["link"] = where.rstrip("/") + path_of(str(made["link"]))
    database.show_one(made)
    note("Give it to that person only: it works once, within a day, and is not shown again.")

"""A person's browser without script: keeps its cookie, sends forms as a browser does.

People are made beside the product, by the functions that the command line uses; they come in by a
one-time link. Every request is one connection, from an address of the test's choosing.
"""

import asyncio
import html
import json
import re
from http.cookies import SimpleCookie
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import asyncpg

from clawback.dashboard import people
from tests.support.trees import Tree
from tests.support.wire import Line, Reply

FORM: Final = "application/x-www-form-urlencoded"
COOKIE: Final = "clawback_local"


class Shown(NamedTuple):
    """A page, as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def header(self, name: str) -> str:
        """The header of this name, or nothing."""
        return next((value for one, value in self.headers if one == name), "")

    @property
    def amounts(self) -> list[str]:
        """Every amount on the page, as a machine reads it."""
        return re.findall(r'<data[^>]*value="([^"]*)"', self.text)

    @property
    def error(self) -> str:
        """The code of an error page, or nothing."""
        found = re.search(r'id="error" data-code="([a-z_]+)"', self.text)
        return found[1] if found else ""

    def says(self, text: str) -> bool:
        """Whether the page shows this text."""
        return html.escape(text) in self.text or text in self.text


class Visitor:
    """One browser."""

    def __init__(self, tree: Tree, source: str = "") -> None:
        """Nobody is signed in. `source`: the loopback address that it comes from."""
        self.tree = tree
        self.source = source
        self.cookie = ""
        self.token = ""

    @property
    def origin(self) -> str:
        """Where the pages are."""
        return str(self.tree.dev["url"])

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Shown:
        """A request; the browser keeps what cookie and form token it is given."""
        given = {"Host": self.origin.removeprefix("http://"), **(headers or {})}
        if self.cookie:
            given.setdefault("Cookie", f"{COOKIE}={self.cookie}")
        with Line(self.tree.address, source=self.source) as line:
            reply = line.call(method, path, [*given.items(), ("Connection", "close")], body)
        self._keep(reply)
        shown = Shown(reply.status, reply.headers, reply.body.decode("utf-8", "replace"))
        found = re.search(r'name="formToken" value="([0-9a-f]+)"', shown.text)
        self.token = found[1] if found else self.token
        return shown

    def _keep(self, reply: Reply) -> None:
        for name, value in reply.headers:
            if name == "set-cookie":
                jar: SimpleCookie = SimpleCookie(value)
                self.cookie = jar[COOKIE].value if COOKIE in jar else self.cookie

    def get(self, path: str, **headers: str) -> Shown:
        """Look at a page."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("GET", path, None, named)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Shown:
        """Send a form, with the token of the session."""
        named = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = urlencode({"formToken": self.token, **(form or {})}).encode()
        named = {name: value for name, value in named.items() if value}
        return self.send("POST", path, body, named)


class Person(NamedTuple):
    """Somebody who was made for a test."""

    person_id: str
    login: str


class Staff:
    """The people of one merchant, made straight in the database."""

    def __init__(self, tree: Tree, merchant: str) -> None:
        """Of this merchant; its books are looked up."""
        self.tree = tree
        self.merchant = merchant
        self.places = {mode: self.run(self._place, mode) for mode in ("test", "live")}

    def run(self, work: Any, *arguments: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Do something on a connection of its own, as one transaction."""

        async def connected() -> object:
            connection = await asyncpg.connect(self.tree.dev["databaseUrl"])
            try:
                async with connection.transaction():
                    return await work(connection, *arguments)
            finally:
                await connection.close()

        return asyncio.run(connected())

    async def _place(self, connection: asyncpg.Connection, mode: str) -> people.Place:
        return await people.find_place(connection, self.merchant, mode)

    def book(self, mode: str = "test") -> str:
        """The path of a book's pages."""
        return f"/dashboard/{self.places[mode].book_id}"

    def hire(self, login: str, **roles: str) -> Person:
        """A person with a role in the `test` or `live` book."""

        async def work(connection: asyncpg.Connection) -> str:
            person = await people.create(connection, login, f"{login} of {self.merchant}")
            for mode, role in roles.items():
                await people.grant(
                    connection, person, self.places[mode], role, people.By("user:test")
                )
            return person

        return Person(self.run(work), login)

    def link(self, person: Person, kind: str = people.SIGN_IN) -> str:
        """The path of a one-time link."""

        async def work(connection: asyncpg.Connection) -> str:
            return await people.let_in(connection, person.person_id, kind, people.By("user:test"))

        return people.path_of(self.run(work))

    def visitor(self, person: Person, source: str = "") -> Visitor:
        """A browser in which the person is signed in."""
        made = Visitor(self.tree, source)
        answer = made.post(self.link(person))
        assert answer.status == 303, answer
        made.get(self.book() + "/")
        return made


def decoded(text: str) -> Any:  # noqa: ANN401 - whatever it says
    """JSON with numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)

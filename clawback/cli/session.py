"""The options that commands share, and what they lead to: the API with a key, or the database.

`@with_api` and `@with_database` hand a command its session first and add the options that make
it: `--json` everywhere, `--key`, `--url` and `--data` where they matter. So a command's own
signature holds what is its own.
"""

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

from clawback.cli import place
from clawback.cli.output import Stop, note, show_fields, show_json, show_table

if TYPE_CHECKING:
    from asyncpg import Connection

    from clawback.cli.client import Client, Reply

SessionT = TypeVar("SessionT")
ResultT = TypeVar("ResultT")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Directory of a running `clawback dev`. (default: ./.clawback)",
        envvar="CLAWBACK_DATA",
        show_envvar=False,
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Secret key, or @FILE that holds one. Others can see arguments: prefer the variable. "
        "(default: that of the running dev)",
        envvar="CLAWBACK_KEY",
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Where the API is. (default: that of the running dev)",
        envvar="CLAWBACK_URL",
        show_default=False,
    ),
]


Live = Annotated[
    bool, typer.Option("--live", help="Use the live book of the running dev, not the test one.")
]


class Api(msgspec.Struct, frozen=True):
    """A command's way to the HTTP API."""

    client: "Client"
    as_json: bool

    def show_list(self, reply: "Reply", columns: Mapping[str, str]) -> None:
        """Print a list: `columns` maps a title to the dotted path of its field."""
        if self.as_json:
            show_json(reply.body)
            return
        rows = [[pick(row, path) for path in columns.values()] for row in reply.rows]
        show_table(list(columns), rows)
        page = reply.data.get("pagination")
        following = page.get("next") if isinstance(page, dict) else None
        if following and len(rows) > 0:
            note(f"More: --after {following}")

    def show_fields(self, fields: Mapping[str, object]) -> None:
        """Print what was made of answers, a field a line."""
        if self.as_json:
            show_json(fields)
        else:
            show_fields(fields)

    def show_object(self, reply: "Reply") -> None:
        """Print one object, a field a line."""
        if self.as_json:
            show_json(reply.body)
        else:
            show_fields(reply.data)


class Database(msgspec.Struct, frozen=True):
    """A command's way to the database, as the role of the running service.

    `url` is where that service is reached, as far as it is known.
    """

    dsn: str
    as_json: bool
    url: str = ""

    def run(self, work: "Callable[[Connection], Awaitable[ResultT]]") -> ResultT:
        """Do something on a connection of its own. Raises: Stop where a person can cure it."""

        async def connected() -> ResultT:
            from clawback.db import pool  # noqa: PLC0415 - the driver is loaded only when used

            connection = await pool.connect(self.dsn, application_name="clawback cli")
            try:
                return await work(connection)
            finally:
                await connection.close()

        return explained(connected)

    def show(self, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
        """Print rows, under the names of their fields."""
        if self.as_json:
            show_json({"data": [dict(row) for row in rows]})
        else:
            show_table(columns, [[row[name] for name in columns] for row in rows])

    def show_one(self, fields: Mapping[str, object]) -> None:
        """Print one object."""
        if self.as_json:
            show_json(fields)
        else:
            show_fields(fields)


def explained(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Run it in a loop of its own. Raises: Stop for what a person can cure in the database."""
    from clawback.db import failures  # noqa: PLC0415 - the driver is loaded only when used

    async def awaited() -> ResultT:
        return await work()

    try:
        return asyncio.run(awaited())
    except failures.DATABASE_ERRORS as error:
        told = failures.explain(error)
        if told is None:
            raise
        raise Stop(*told) from error


def pick(row: Mapping[str, object], path: str) -> object:
    """The field at a dotted path of a row, or None."""
    found: object = row
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def api_session(
    key: Key = None,
    url: Url = None,
    data: Data = None,
    *,
    live: Live = False,
    as_json: AsJson = False,
) -> Api:
    """What the API options lead to. Raises: Stop if no server or key is known."""
    from clawback.cli.client import Client  # noqa: PLC0415 - loaded only when used

    secret = None if key is None else _read_key(key)
    if url is not None and secret is not None:
        return Api(Client(url, secret), as_json)
    if url is not None and data is None:
        raise Stop(f"no key for {url}", "Set CLAWBACK_KEY, or give --key @FILE.")
    dev = place.find_dev(data)
    secret = secret or (dev.live_secret_key if live else dev.secret_key)
    return Api(Client(url or dev.url, secret), as_json)


def database_session(data: Data = None, *, as_json: AsJson = False) -> Database:
    """What the database options lead to. Raises: Stop if no database is known."""
    return Database(place.find_database(data), as_json, place.find_url(data))


def with_api(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the command an `Api` first."""
    return _joined(command, api_session)


def with_database(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the command a `Database` first."""
    return _joined(command, database_session)


def _joined(command: Callable[..., None], make: Callable[..., SessionT]) -> Callable[..., None]:
    """The command with the options of `make` after its own."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    added = inspect.signature(make, eval_str=True).parameters
    every = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *added.values())]

    def run(**given: object) -> None:
        session = make(**{name: given.pop(name) for name in added})
        command(session, **given)

    # What typer reads: a name, a text, and a signature with annotations.
    run.__name__, run.__doc__ = command.__name__, inspect.getdoc(command)
    vars(run)["__signature__"] = inspect.Signature(every)
    run.__annotations__ = {one.name: one.annotation for one in every}
    return run


def _read_key(given: str) -> str:
    """A key given as it is, or as @FILE. Raises: Stop."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"no key in {given[1:]}", "It must hold one key, as text.") from error


def environment() -> dict[str, str]:
    """The environment for our own processes: without what is meant for the caller's side."""
    ours = {"CLAWBACK_KEY", "CLAWBACK_URL", "CLAWBACK_DATA", "CLAWBACK_OPERATOR"}
    return {name: value for name, value in os.environ.items() if name not in ours}

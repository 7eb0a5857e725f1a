"""Operators: who sits at the command line, and commands of theirs that go through a lane.

An operator is known by the name they give: whoever has the database could give any. Beside it the
trail keeps the account of the machine and its name, which they did not choose. What changes money
or a claim is decided on a lane of this process, exactly as a call of the API would be.
"""

import getpass
import os
import re
import socket
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
import typer

from clawback import clock
from clawback.cli.output import Stop, clean

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Connection

    from clawback.lanes.command import Command
    from clawback.route import BookRef

ResponseT = TypeVar("ResponseT")

Named = Annotated[
    str | None,
    typer.Option(
        "--operator",
        help="Who you are: the name that your keys belong to. (default: CLAWBACK_OPERATOR)",
        envvar="CLAWBACK_OPERATOR",
        show_envvar=False,
        show_default=False,
    ),
]
NO_BOOK: Final = "-"
"""Where acts stand that concern no book, such as those on a provider account."""
DRAIN_SECONDS: Final = 20.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
_ENCODER: Final = msgspec.json.Encoder()


class Operator(msgspec.Struct, frozen=True):
    """Who acts (`user:NAME`, as the owner of a key counts), and where they sit."""

    actor: str
    via: str


class OperatorRefusal(Stop):
    """A lane refused the command; `code` is its word for it, and nothing was done."""

    def __init__(self, text: str, code: str) -> None:
        """Keep the code beside what is told."""
        super().__init__(text, "Nothing was done.")
        self.code = code


def named(name: str | None) -> Operator:
    """The operator of that name. Raises: Stop if there is none, or it is no name."""
    if name is None:
        raise Stop("who are you?", "Give --operator NAME, or set CLAWBACK_OPERATOR.")
    if not _NAME.fullmatch(name):
        raise Stop(f"{clean(name)} is no name", "Use letters, digits and . _ @ + -.")
    return Operator(f"user:{name}", _place())


def operator() -> Operator:
    """Whoever runs this: by CLAWBACK_OPERATOR, else by the account of the machine."""
    return named(os.environ.get("CLAWBACK_OPERATOR") or _known(_login()))


def _place() -> str:
    return f"cli:{_known(_login())}@{_known(socket.gethostname())}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return f"uid{os.getuid()}"


def _known(text: str) -> str:
    """A name of the machine's, without what a name may not hold."""
    found = re.sub(r"[^A-Za-z0-9._@+-]", "_", text)[:63]
    return found if _NAME.fullmatch(found) else f"x{found}"


def act(
    by: Operator,
    book_id: str,
    action: str,
    object_id: str,
    note: str | None = None,
    at: "datetime | None" = None,
) -> str:
    """What an operator did beside the lanes, as `lane_note_acts_v1` takes it."""
    from clawback.lanes.evidence import Act, act_name  # noqa: PLC0415 - loaded only when used

    now = at or clock.real_now()
    made = Act(
        book_id=book_id,  # type: ignore[arg-type]  # a book's id, or that there is none
        act_id=act_name(now, object_id, action, by.actor, note or ""),
        object_id=object_id,
        action=action,
        actor=by.actor,
        principal=None,
        note=None if note is None else note[:500],
        via=by.via,
        at=now,
    )
    return _ENCODER.encode([made]).decode()


async def decided(
    session: "Connection", dsn: str, book: "BookRef", command: "Command", kind: type[ResponseT]
) -> ResponseT:
    """Have a lane of this process decide a command. Raises: OperatorRefusal, Stop."""
    from clawback.cli.processes import settings_of  # noqa: PLC0415 - loaded only when used
    from clawback.db import pool  # noqa: PLC0415 - the same
    from clawback.errors import Refused  # noqa: PLC0415 - the same
    from clawback.ids import Mint  # noqa: PLC0415 - the same
    from clawback.lanes.lanes import Lanes  # noqa: PLC0415 - the same
    from clawback.route import Kept  # noqa: PLC0415 - the same
    from clawback.tables import RULES  # noqa: PLC0415 - the same

    allow_unsafe = settings_of().allow_unsafe_database
    try:
        await pool.check_durability(session, allow_unsafe=allow_unsafe)
    except pool.UnfitServer as error:
        raise Stop(str(error), "Nothing was done.") from error
    lanes = Lanes(dsn, 1, RULES, Mint(), allow_unsafe=allow_unsafe)
    lanes.start()
    kept: Kept[ResponseT] = Kept()
    try:
        outcome = await lanes.submit(book, command, kept)
    finally:
        await lanes.drain(DRAIN_SECONDS)
    if isinstance(outcome, Refused):
        details = outcome.details()
        said = f"{outcome.message} ({outcome.code})"
        said = said if details is None else f"{said} {clean(details)}"
        raise OperatorRefusal(said, outcome.code)
    assert isinstance(kept.value, kind), kept.value
    return kept.value

"""The names of people who stand in timelines by their logins.

Only for showing: what is stored and sent is the login, which never changes. Operators and owners of
keys who are nobody's login are shown as they are.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clawback.dashboard.people import SQL

if TYPE_CHECKING:
    from clawback.dashboard.guard import Visit

_PREFIX = "user:"


async def read_names(visit: "Visit", actors: Iterable[str | None]) -> dict[str, str]:
    """Names by login, of those actors that are people."""
    wanted = {one.removeprefix(_PREFIX) for one in actors if one and one.startswith(_PREFIX)}
    if not wanted:
        return {}
    async with visit.house.services.reader() as connection:
        rows = await SQL.names_of(connection, logins=sorted(wanted))
    return {row["login"]: row["name"] for row in rows}

"""The names of people who stand in timelines by their ids.

Only for showing: what is stored and sent is the id, so a person's name is in one place.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clawback.dashboard.people import SQL

if TYPE_CHECKING:
    from clawback.dashboard.guard import Visit

_PREFIX = "user:"


async def read_names(visit: "Visit", actors: Iterable[str | None]) -> dict[str, str]:
    """Names by id, of those actors that are people."""
    wanted = {one.removeprefix(_PREFIX) for one in actors if one and one.startswith(_PREFIX)}
    if not wanted:
        return {}
    async with visit.house.services.reader() as connection:
        rows = await SQL.names_of(connection, people=sorted(wanted))
    return {row["person_id"]: row["name"] for row in rows}

"""How many deliveries each endpoint may have under way: the reason why none delays another.

An endpoint starts with a small room that grows with each success and is halved with each failure.
One that keeps failing has room for a single try at a time, pauses between them, and shares a
bounded part of the whole with its like: what hangs or is dead can never fill the rest. Endpoints
at one origin share the connections to it. All of it is known to this process only, and forgotten
with it; the schedule of each delivery stands in the database.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

FIRST_ROOM: Final = 4
MOST_ROOM: Final = 16
PER_ORIGIN: Final = 32
FAILING: Final = 3
"""Failures in a row that make an endpoint a failing one."""
PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
FAILING_SHARE: Final = 4
"""Failing endpoints share one part in so many of all deliveries under way."""
KEPT: Final = 10_000


class Due(NamedTuple):
    """An endpoint that something is due for."""

    shard: int
    endpoint_id: str
    url: str | None


class _Endpoint:
    """What is known of an endpoint, from the tries of this process."""

    __slots__ = ("failures", "origin", "paused_until", "room", "running")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.room = FIRST_ROOM
        self.running = 0
        self.failures = 0
        self.paused_until = 0.0

    @property
    def is_failing(self) -> bool:
        return self.failures >= FAILING


class Rooms:
    """Gives out room, and takes it back with what came of it."""

    def __init__(self, total: int) -> None:
        """At most `total` deliveries are under way at once."""
        self._free = {False: max(1, total - total // FAILING_SHARE), True: total // FAILING_SHARE}
        self._endpoints: dict[str, _Endpoint] = {}
        self._origins: Counter[str] = Counter()
        self._taken: dict[tuple[str, int], bool] = {}

    def share_out(self, due: Iterable[Due], now: float) -> list[tuple[Due, int]]:
        """How much each of these endpoints may take now; the first of them choose first.

        `now`: the monotonic clock.
        """
        found = []
        free = dict(self._free)
        origins = Counter(self._origins)
        for one in due:
            known = self._known(one)
            room = 1 if known.is_failing else known.room
            left = room - known.running
            if now < known.paused_until or 2 * left < room:
                continue  # a few at once cost less than one by one
            left = min(left, free[known.is_failing], PER_ORIGIN - origins[known.origin])
            if left > 0:
                free[known.is_failing] -= left
                origins[known.origin] += left
                found.append((one, left))
        return found

    def take(self, endpoint_id: str, event_number: int) -> None:
        """A delivery is under way."""
        known = self._endpoints[endpoint_id]
        known.running += 1
        self._origins[known.origin] += 1
        self._free[known.is_failing] -= 1
        self._taken[endpoint_id, event_number] = known.is_failing

    def give_back(self, endpoint_id: str, event_number: int, now: float, *, is_well: bool) -> None:
        """It has ended. `now`: the monotonic clock."""
        known = self._endpoints[endpoint_id]
        known.running -= 1
        self._origins[known.origin] -= 1
        if not self._origins[known.origin]:
            del self._origins[known.origin]
        self._free[self._taken.pop((endpoint_id, event_number))] += 1
        if is_well:
            known.failures = 0
            known.paused_until = 0.0
            known.room = min(MOST_ROOM, known.room + 1)
            return
        known.failures += 1
        known.room = max(1, known.room // 2)
        if known.is_failing:
            pause = PAUSES[min(known.failures - FAILING, len(PAUSES) - 1)]
            known.paused_until = now + pause

    def _known(self, one: Due) -> _Endpoint:
        origin = one.endpoint_id if one.url is None else urlsplit(one.url).netloc.lower()
        known = self._endpoints.get(one.endpoint_id)
        if known is None:
            if len(self._endpoints) >= KEPT:
                busy = {name: e for name, e in self._endpoints.items() if e.running or e.failures}
                self._endpoints = busy
            known = self._endpoints[one.endpoint_id] = _Endpoint(origin)
        elif known.running == 0:
            known.origin = origin
        return known

"""How often the database is asked whether something is due.

Right after something was found, then less and less often, up to four times a second; and never so
often that looking takes more than a fifth of the time, however many books there are to look at,
unless a look lasts longer than a quarter of a second.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from clawback import clock

IDLE_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.25)
REST: Final = 4
LONGEST_REST_SECONDS: Final = 1.0
"""REST times the length of a look lie between two looks, and no more than LONGEST_REST_SECONDS."""


class Pace:
    """The pace of one kind of look."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self._idle = 0
        self._rest = 0.0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Time a look: the questions alone, not the work that they lead to."""
        begun = clock.monotonic()
        try:
            yield
        finally:
            self._rest = min(REST * (clock.monotonic() - begun), LONGEST_REST_SECONDS)

    async def wait(
        self, found: int, *, stop: asyncio.Event, wake: asyncio.Event | None = None
    ) -> None:
        """Until the next look, after one that found so much; `wake` cannot cut the rest short."""
        self._idle = 0 if found else min(self._idle + 1, len(IDLE_SECONDS) - 1)
        await pause(self._rest, stop)
        await pause(IDLE_SECONDS[self._idle] - self._rest, stop, *([wake] if wake else []))


async def pause(seconds: float, *enders: asyncio.Event) -> None:
    """Wait so long, or until one of these is set."""
    if seconds <= 0:
        return
    waits = {asyncio.create_task(one.wait()) for one in enders}
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()

"""Rate limits: a token bucket for each key, and a brake on wrong keys for each address.

Generic cell rate algorithm: one number for each bucket, the time at which it would be full again.
Real time, in memory; with several processes each holds its share of the key's rate.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from clawback import clock

MAX_BUCKETS: Final = 100_000


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what the RateLimit headers say."""

    passes: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after: int


class Buckets:
    """Token buckets by name."""

    def __init__(self, processes: int = 1) -> None:
        """`processes` that share each key's rate."""
        self._processes = max(1, processes)
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, per_second: int, burst: int) -> Verdict:
        """Take one token of the bucket, if there is one."""
        interval = self._processes / per_second
        room = max(1.0, burst / self._processes) * interval
        now = clock.monotonic()
        full_at = max(self._full_at.get(name, now), now)
        passes = full_at - now <= room - interval
        if passes:
            full_at += interval
            self._full_at[name] = full_at
            if len(self._full_at) > MAX_BUCKETS:
                self._full_at.popitem(last=False)
        used = full_at - now
        return Verdict(
            passes=passes,
            limit=burst,
            remaining=max(0, int((room - used) / interval)),
            reset_seconds=int(used) + 1,
            retry_after=1 if passes else max(1, int(used - room + interval) + 1),
        )


class WrongKeys:
    """Counts wrong keys for each address over a minute; a valid key always passes."""

    def __init__(self, per_minute: int) -> None:
        """At most so many wrong keys a minute before an address is told to wait."""
        self._per_minute = per_minute
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, address: str) -> bool:
        """Count a wrong key; True once the address has used up its minute."""
        now = clock.monotonic()
        since, count = self._counts.get(address, (now, 0))
        if now - since >= 60:  # noqa: PLR2004 - a minute
            since, count = now, 0
        self._counts[address] = (since, count + 1)
        if len(self._counts) > MAX_BUCKETS:
            self._counts.popitem(last=False)
        return count >= self._per_minute

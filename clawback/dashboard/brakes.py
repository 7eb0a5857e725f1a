"""Brakes on guessing: for each address, and for each account from where it is not known.

An address on which somebody has signed in to an account before is not slowed by what strangers try
on that account, so guessing from elsewhere locks nobody out. In memory, real time; several
processes share each rate.
"""

from collections import OrderedDict
from typing import Final

from clawback import clock

MOST: Final = 50_000


class Brake:
    """So many tries at once, then one every so many seconds."""

    def __init__(self, *, burst: int, seconds: float, processes: int = 1) -> None:
        """`processes` share the rate."""
        self._interval = seconds * processes
        self._room = max(1.0, burst / processes) * self._interval
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, name: str) -> int:
        """How long to wait before the next try; 0: now."""
        used = self._full_at.get(name, 0.0) - clock.monotonic()
        return max(0, int(used + self._interval - self._room + 0.999))

    def note(self, name: str) -> None:
        """A try has failed."""
        now = clock.monotonic()
        self._full_at[name] = max(self._full_at.get(name, now), now) + self._interval
        self._full_at.move_to_end(name)
        if len(self._full_at) > MOST:
            self._full_at.popitem(last=False)

    def forgive(self, name: str) -> None:
        """The last try was right after all."""
        if name in self._full_at:
            self._full_at[name] -= self._interval


class Brakes:
    """Both brakes of signing in."""

    def __init__(self, processes: int = 1) -> None:
        """`processes` share the rates."""
        self.address = Brake(burst=20, seconds=6, processes=processes)
        self.account = Brake(burst=8, seconds=30, processes=processes)

    def wait_seconds(self, address: str, login: str, *, is_known: bool) -> int:
        """How long this address has to wait before it may try this account again."""
        own = self.address.wait_seconds(address)
        return own if is_known else max(own, self.account.wait_seconds(login))

    def note(self, address: str, login: str, *, is_known: bool) -> None:
        """A try begins; it counts as failed until it is forgiven, so that many at once count."""
        self.address.note(address)
        if not is_known:
            self.account.note(login)

    def forgive(self, address: str, login: str, *, is_known: bool) -> None:
        """The try that was noted was right: it counts no longer."""
        self.address.forgive(address)
        if not is_known:
            self.account.forgive(login)

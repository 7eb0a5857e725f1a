"""All lanes of a process: the only door to money and claims.

A shard's commands always go to the same lane, so that they are decided in the order they came.
While draining nothing more is taken; what is queued is finished.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Final, TypeVar

from clawback import clock, logs
from clawback.errors import Overloaded, Unavailable
from clawback.ids import Mint
from clawback.lanes.command import Command
from clawback.lanes.lane import Lane
from clawback.lanes.queue import Outcome, Work
from clawback.lanes.store import Store
from clawback.lanes.working import Rules
from clawback.route import Answer, BookRef, IdempotencyKey

MAX_LANES: Final = 4

ResponseT = TypeVar("ResponseT")

log = logs.get_logger()


def _end_process_on_failure(task: "asyncio.Task[None]") -> None:
    """A process whose lane died could only keep its callers waiting: it ends and is restarted."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("lane_died", error=repr(task.exception()))
        signal.raise_signal(signal.SIGTERM)


class Lanes:
    """All lanes of a process: the only door to money and claims."""

    def __init__(
        self, dsn: str, shards: int, rules: Rules, mint: Mint, *, allow_unsafe: bool = False
    ) -> None:
        """One lane per shard, at most four; shards beyond that share them.

        `allow_unsafe`: development only, see `db.pool.check_durability`.
        """
        stores = [
            Store(dsn, f"clawback lane {number}", allow_unsafe=allow_unsafe)
            for number in range(min(shards, MAX_LANES))
        ]
        self._lanes = [Lane(store, rules, mint) for store in stores]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    def start(self) -> None:
        """Start the lanes' tasks on the running loop."""
        self._tasks = [asyncio.create_task(lane.run()) for lane in self._lanes]
        for task in self._tasks:
            task.add_done_callback(_end_process_on_failure)
        self._is_open = True

    async def drain(self, seconds: float) -> None:
        """Take no more work, finish what is queued, then stop; unfinished work is refused."""
        self._is_open = False
        deadline = clock.monotonic() + seconds
        while any(lane.waiting or not lane.is_idle for lane in self._lanes):
            if clock.monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def submit(
        self,
        book: BookRef,
        command: Command,
        render: Callable[[ResponseT], Answer] | None,
        key: IdempotencyKey | None = None,
    ) -> "asyncio.Future[Outcome]":
        """Decide a command in its book's order; done after its commit, or its refusal.

        Refuses: Unavailable while draining, Overloaded when the queue has no room.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        lane = self._lanes[book.shard % len(self._lanes)]
        if not self._is_open:
            future.set_result(Unavailable())
        elif not lane.put(Work(book, command, render, key, future)):
            future.set_result(Overloaded())
        return future

    def post(self, book: BookRef, command: Command) -> bool:
        """Queue a command that nobody waits for; False if there is no room."""
        lane = self._lanes[book.shard % len(self._lanes)]
        return self._is_open and lane.put(Work(book, command, None, None, None))

    @property
    def counters(self) -> dict[str, int]:
        """Batches run, tried again, and failed and split, for the metrics."""
        return {
            "batches": sum(lane.batches for lane in self._lanes),
            "retries": sum(lane.retries for lane in self._lanes),
            "failures": sum(lane.failures for lane in self._lanes),
        }

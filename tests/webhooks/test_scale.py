"""Many events to twenty endpoints of which six fail or hang: the others notice nothing.

A hundredth of the count in the usual run, without the clock's verdict; with LONG=1 100,000 events,
and the healthy ones' 99th percentile, from an event's time to its arrival, is at most twice that of
a run in which all are healthy. What arrived is compared with the rows: complete, versions gapless.
"""

import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Final

import pytest

from clawback import clock
from clawback.db.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.support.counts import LONG, count
from tests.webhooks.stage import (
    OK,
    Got,
    Receiver,
    Script,
    Stage,
    answering,
    hanging,
    receiving,
    staged,
    status,
)

ENDPOINTS: Final = 20
PAYMENTS_A_SECOND: Final = count(40, 20)
"""Two events each: below what two shared cores deliver to twenty, so that nothing queues up."""


async def _late(_: Got) -> bytes:
    await asyncio.sleep(60)
    return OK


async def _cut(_: Got) -> None:
    return None


BAD: Final[tuple[Script, ...]] = (
    hanging, hanging, _late, _cut, answering(last=status(500)),
    answering(last=status(503, "Retry-After: 60")),
)  # fmt: skip


class Healthy:
    """Answers at once, and keeps of each event its object, version and time on the way."""

    def __init__(self) -> None:
        self.receiver = Receiver(self.answer)
        self.events: dict[str, tuple[str, int]] = {}
        self.seconds: list[float] = []

    async def answer(self, got: Got) -> bytes:
        told = json.loads(got.body)
        at = datetime.fromisoformat(told["createdAt"])
        self.seconds.append((got.at - at).total_seconds())
        self.events[told["id"]] = (told["data"]["object"]["id"], told["data"]["version"])
        self.receiver.got.clear()
        return OK


@asynccontextmanager
async def _receivers(bad: tuple[Script, ...]) -> AsyncIterator[tuple[list[Healthy], list[str]]]:
    """The healthy ones, and the addresses of all."""
    healthy = [Healthy() for _ in range(ENDPOINTS - len(bad))]
    async with AsyncExitStack() as stack:
        for one in healthy:
            one.receiver = await stack.enter_async_context(receiving(one.answer))
        others = [await stack.enter_async_context(receiving(script)) for script in bad]
        yield healthy, [one.url for one in (*(h.receiver for h in healthy), *others)]


async def _pay(stage: Stage, payments: int) -> None:
    """Payments at a steady rate."""
    begun = clock.monotonic()
    running: set[asyncio.Task[None]] = set()
    for number in range(payments):
        wait = begun + number / PAYMENTS_A_SECOND - clock.monotonic()
        await asyncio.sleep(max(0, wait))
        task = asyncio.create_task(stage.pay())
        running.add(task)
        task.add_done_callback(running.discard)
    while running:
        await asyncio.wait(set(running))


def _check(healthy: Healthy, events: set[str]) -> None:
    """Every event came, and the versions of each object run without a gap."""
    assert set(healthy.events) == events
    versions = defaultdict(list)
    for name, version in healthy.events.values():
        versions[name].append(version)
    for found in versions.values():
        assert sorted(found) == list(range(1, len(found) + 1))


async def _run(dsn: str, payments: int, bad: tuple[Script, ...]) -> float:
    """The healthy ones' 99th percentile, in seconds, once everything has arrived there."""
    async with staged(dsn) as stage, _receivers(bad) as (healthy, urls), stage.delivering():
        for url in urls:
            await stage.endpoint(url)
        await _pay(stage, payments)
        events = {row["event_id"] for row in await stage.look("SELECT event_id FROM events")}
        end = clock.monotonic() + 120
        while any(len(one.events) < len(events) for one in healthy):
            assert clock.monotonic() < end, [len(one.events) for one in healthy]
            await asyncio.sleep(0.2)
        assert len(events) == 2 * payments
        for one in healthy:
            _check(one, events)
        found = [seconds for one in healthy for seconds in one.seconds]
        p99 = statistics.quantiles(found, n=100)[98]
        print(f"{len(events)} events to {len(urls)} endpoints, {len(bad)} of them bad: "
              f"median {statistics.median(found):.3f} s, p99 {p99:.3f} s")  # fmt: skip
        return p99


@pytest.mark.timeout(10_000 if LONG else 120)
@pytest.mark.long
async def test_six_bad_endpoints_of_twenty_delay_nobody(server: EmbeddedPostgres) -> None:
    payments = count(250, 50_000)
    async with new_database(server) as dsn:
        with_bad = await _run(dsn, payments, BAD)
    if LONG:
        async with new_database(server) as dsn:
            assert with_bad <= 2 * await _run(dsn, payments // 10, ())

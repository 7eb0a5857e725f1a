"""What the worker notes on a delivery's row: fenced, leased, and never by one who came too late.

Row by row through the functions that the worker calls, with times handed in.
"""

import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from clawback import clock
from clawback.route import Kept
from clawback.webhooks.model import ReplayDelivery, Requeued
from tests.webhooks.stage import Stage, staged

LEASE = "SELECT * FROM lane_lease_deliveries_v1($1, $2, $3, $4, $5)"
NOTE = "SELECT * FROM lane_note_deliveries_v1($1, $2, interval '5 days', $3)"


class Worker:
    """A worker's connection, and its clock."""

    def __init__(self, stage: Stage, session: asyncpg.Connection, endpoint: str) -> None:
        self.stage = stage
        self.session = session
        self.endpoint = endpoint
        self.now = clock.real_now()

    async def fan_out(self) -> None:
        book = self.stage.book
        await self.session.fetchval(
            "SELECT lane_fan_out_v1($1, $2, $3, 100)", book.shard, book.book_id, self.now
        )

    async def lease(self, room: int = 1, seconds: int = 20) -> list[Any]:
        until = self.now + timedelta(seconds=seconds)
        rows = await self.session.fetch(LEASE, 0, [self.endpoint], [room], self.now, until)
        return list(rows)

    async def note(
        self, row: asyncpg.Record, *, succeeded: bool, wait_ms: int | None = None
    ) -> None:
        result = {
            "endpoint_id": row["endpoint_id"], "event_number": row["event_number"],
            "attempts": row["attempts"], "tries": row["tries"], "succeeded": succeeded,
            "status_code": 200 if succeeded else 500, "wait_ms": wait_ms,
        }  # fmt: skip
        await self.session.fetch(NOTE, 0, self.now, json.dumps([result]))

    async def row(self, number: int = 1) -> asyncpg.Record:
        found = await self.stage.deliveries(self.endpoint)
        return next(one for one in found if one["event_number"] == number)


async def _worker(stage: Stage) -> Worker:
    endpoint = await stage.endpoint("https://shop.example/")
    await stage.pay()
    session = await asyncpg.connect(stage.dsn)
    worker = Worker(stage, session, endpoint)
    await worker.fan_out()
    return worker


async def test_a_leased_delivery_is_nobody_elses_until_its_lease_is_over(database: str) -> None:
    async with staged(database) as stage:
        worker = await _worker(stage)
        first = await worker.lease(room=5)
        assert [row["event_number"] for row in first] == [1, 2]
        assert [row["attempts"] for row in first] == [1, 1]
        assert await worker.lease(room=5) == []
        worker.now += timedelta(seconds=21)
        again = await worker.lease(room=5)
        assert [row["attempts"] for row in again] == [2, 2]
        assert [row["body"] for row in again] == [row["body"] for row in first]
        await worker.note(first[0], succeeded=False, wait_ms=5000)
        assert (await worker.row())["status"] == "pending", "too late: it was taken over"
        await worker.note(again[0], succeeded=True)
        row = await worker.row()
        assert (row["status"], row["next_attempt_at"], row["lease_until"]) == (
            "succeeded", None, None)  # fmt: skip
        await worker.note(again[0], succeeded=False, wait_ms=5000)
        assert (await worker.row())["status"] == "succeeded", "the last word was spoken"
        await worker.session.close()


async def test_rooms_are_kept_and_the_earliest_due_comes_first(database: str) -> None:
    async with staged(database) as stage:
        worker = await _worker(stage)
        (first,) = await worker.lease(room=1)
        await worker.note(first, succeeded=False, wait_ms=5000)
        (second,) = await worker.lease(room=1)
        assert (first["event_number"], second["event_number"]) == (1, 2)
        assert await worker.lease() == [], "its wait is not over"
        worker.now += timedelta(seconds=6)
        (again,) = await worker.lease()
        assert (again["event_number"], again["tries"]) == (1, 1)
        await worker.session.close()


async def test_a_replay_begins_the_schedule_anew_and_attempts_count_on(database: str) -> None:
    async with staged(database) as stage:
        worker = await _worker(stage)
        (row,) = await worker.lease()
        await worker.note(row, succeeded=False, wait_ms=None)
        assert (await worker.row())["status"] == "dead_letter"
        kept = Kept[Requeued]()
        command = ReplayDelivery(endpoint_id=worker.endpoint, event_number=1)
        await stage.lanes.submit(stage.book, command, kept)
        assert kept.value is not None
        assert kept.value.previous_status == "dead_letter"
        after = await worker.row()
        assert (after["status"], after["tries"], after["attempts"]) == ("pending", 0, 1)
        worker.now = max(worker.now, _later(after["next_attempt_at"]))
        leased = {one["event_number"]: one for one in await worker.lease(room=5)}
        assert leased[1]["attempts"] == 2
        await worker.session.close()


async def test_what_was_replayed_under_way_is_not_ended_by_the_old_schedule(
    database: str,
) -> None:
    async with staged(database) as stage:
        worker = await _worker(stage)
        (row,) = await worker.lease()
        await worker.note(row, succeeded=False, wait_ms=1)
        worker.now += timedelta(seconds=1)
        leased = {one["event_number"]: one for one in await worker.lease(room=5)}
        command = ReplayDelivery(endpoint_id=worker.endpoint, event_number=1)
        await stage.lanes.submit(stage.book, command, Kept[Requeued]())
        await worker.note(leased[1], succeeded=False, wait_ms=None)
        assert (await worker.row())["status"] == "pending"
        await worker.session.close()


def _later(at: datetime) -> datetime:
    return at + timedelta(milliseconds=1)

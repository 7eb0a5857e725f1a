"""GET /events never skips: who goes on from a cursor while rivals commit sees each event once.

One transaction holds a number open for long while other books go on; the reader's view is compared
with the rows at the end.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

from clawback.ids import KeyId, Mint, ShopId
from clawback.route import Answer, Call, Caller, NoBody, Services
from clawback.webhooks.api import EventsQuery, list_events
from tests.support.books import open_book
from tests.webhooks.stage import Stage, staged

CALLER = Caller(KeyId("key_x"), "secret", ("*",), None, ShopId("SHP-X"), None, None, 1, 1)


class Reading:
    """What list_events needs of a runtime: a connection to read on."""

    mint = Mint()

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._dsn)
        try:
            yield connection
        finally:
            await connection.close()


async def page(stage: Stage, after: str | None, kind: str | None = None) -> dict[str, Any]:
    services = cast("Services", Reading(stage.dsn))
    query = EventsQuery(after=after, limit=7, type=kind)
    now = (await stage.look("SELECT now() AS at"))[0]["at"]
    call = Call(stage.book, CALLER, {}, query, NoBody(), None, None, now, services)
    answer = await list_events(call)
    assert isinstance(answer, Answer), answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_a_reader_sees_every_event_once_in_order_while_rivals_commit(database: str) -> None:
    async with staged(database) as stage:
        seen: list[str] = []
        cursor: str | None = None
        writing = [asyncio.create_task(stage.pay(10)) for _ in range(6)]
        while True:
            is_over = all(task.done() for task in writing)
            found = await page(stage, cursor)
            seen += [one["id"] for one in found["data"]]
            cursor = found["pagination"]["next"] or cursor
            if is_over and not found["data"]:
                break
        rows = await stage.look("SELECT event_id FROM events ORDER BY number")
        assert seen == [row["event_id"] for row in rows]
        assert len(seen) == 120


async def test_a_held_transaction_hides_nothing_behind_a_cursor(database: str) -> None:
    async with staged(database) as stage:
        other = await open_book(database, 2, shard=1)
        await stage.pay()
        cursor = (await page(stage, None))["pagination"]["next"]
        held = await asyncpg.connect(database)
        await held.execute("BEGIN")
        await held.execute(
            "UPDATE heads SET event_number = 3 WHERE book_id = $1", stage.book.book_id
        )
        await held.execute(
            "INSERT INTO events (shard, book_id, number, event_id, type, object_id, created_at,"
            " body) VALUES (0, $1, 3, $2, 'claim.updated', 'CLM-X', now(), '{\"id\":\"held\"}')",
            stage.book.book_id,
            f"evt_0000000000000003{stage.book.book_id[3:]}",
        )
        later = asyncio.create_task(stage.pay())
        await stage.pay(20, other)
        between = await page(stage, cursor)
        assert between["data"] == []
        assert between["pagination"]["next"] == cursor
        filtered = await page(stage, cursor, "payment.*")
        assert filtered["pagination"]["next"] == cursor, "nothing unseen is passed over"
        await held.execute("COMMIT")
        await held.close()
        await later
        found = await page(stage, cursor)
        assert found["data"][0]["id"] == "held"
        assert len(found["data"]) == 3

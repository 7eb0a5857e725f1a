"""Each event is fanned out once to each endpoint that matched, whatever else goes on.

Held transactions, killed ones, two workers at once, endpoints that come, go and change. Checked on
the rows: which event numbers an endpoint has deliveries of.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from clawback import clock
from clawback.db import pool
from clawback.egress import Egress
from clawback.route import Kept
from clawback.webhooks.model import Changed, ChangeEndpoint, RemoveEndpoint
from clawback.work.deliveries import Deliveries
from tests.support.books import KEY, open_book
from tests.webhooks.stage import Stage, receiving, staged

FAN_OUT = "SELECT lane_fan_out_v1($1, $2, $3, $4)"


async def fan_out(stage: Stage, connection: asyncpg.Connection, limit: int = 100) -> int:
    passed = await connection.fetchval(
        FAN_OUT, stage.book.shard, stage.book.book_id, clock.real_now(), limit
    )
    assert isinstance(passed, int)
    return passed


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def numbers(stage: Stage, endpoint: str) -> list[int]:
    return [row["event_number"] for row in await stage.deliveries(endpoint)]


async def change(
    stage: Stage, endpoint: str, *, active: bool | None = None, events: tuple[str, ...] = ()
) -> None:
    fields = ("active",) if active is not None else ("events",)
    command = ChangeEndpoint(
        actor=KEY, endpoint_id=endpoint, fields=fields, active=bool(active), events=events
    )
    await stage.lanes.submit(stage.book, command, Kept[Changed]())


async def test_an_event_of_a_transaction_held_open_is_not_skipped(database: str) -> None:
    """Its number is taken, its commit comes last: nobody goes past it meanwhile."""
    async with staged(database) as stage, receiving() as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url)
        other = await open_book(database, 2, shard=1)
        far = await stage.endpoint(receiver.url, book=other)
        await stage.pay()
        async with connected(database) as held:
            transaction = held.transaction()
            await transaction.start()
            await held.execute(
                "UPDATE heads SET event_number = event_number + 1 WHERE book_id = $1",
                stage.book.book_id,
            )
            await held.execute(
                "INSERT INTO events (shard, book_id, number, event_id, type, object_id, created_at,"
                " body) VALUES (0, $1, 3, 'evt_held', 'claim.updated', 'CLM-X', now(), '{}')",
                stage.book.book_id,
            )
            later = asyncio.create_task(stage.pay())
            await stage.pay(10, other)
            await stage.until("the other book", lambda: _count(stage, far, 20))
            assert await numbers(stage, endpoint) == [1, 2]
            assert not later.done(), "the control: numbers are given out one commit after another"
            await transaction.commit()
            await later
        await stage.until("all", lambda: _count(stage, endpoint, 5))
        assert await numbers(stage, endpoint) == [1, 2, 3, 4, 5]


async def _count(stage: Stage, endpoint: str, count: int) -> bool:
    return len(await stage.deliveries(endpoint)) == count


async def test_a_fan_out_that_is_killed_is_made_again_and_once(database: str) -> None:
    async with staged(database) as stage:
        endpoint = await stage.endpoint(None)
        await stage.pay(5)
        async with connected(database) as dying:
            await dying.execute("BEGIN")
            assert await fan_out(stage, dying) == 10
            async with connected(database) as rival:
                assert await fan_out(stage, rival) == 0, "one at a time"
            dying.terminate()
        async with connected(database) as second:
            while await fan_out(stage, second, 3):
                pass
            assert await fan_out(stage, second) == 0
        assert await numbers(stage, endpoint) == list(range(1, 11))


async def test_two_workers_and_rivals_make_each_delivery_once(database: str) -> None:
    async with staged(database) as stage, receiving() as receiver:
        endpoint = await stage.endpoint(receiver.url)
        async with stage.delivering(), stage.delivering():
            await asyncio.gather(*(stage.pay(5) for _ in range(10)))
            await stage.until("all", lambda: _count(stage, endpoint, 100))
            await stage.until_status(endpoint, "succeeded")
    assert await numbers(stage, endpoint) == list(range(1, 101))
    assert len(receiver.got) == 100
    assert len({one.headers["webhook-id"] for one in receiver.got}) == 100


async def test_an_endpoint_gets_what_was_made_while_it_was_active(database: str) -> None:
    async with staged(database) as stage, connected(database) as worker:
        early = await stage.endpoint(None)
        await stage.pay()  # 1, 2
        late = await stage.endpoint(None)
        await stage.pay()  # 3, 4
        await fan_out(stage, worker)
        await change(stage, early, active=False)
        await stage.pay()  # 5, 6: fanned out while it is off, or after it was on again
        await change(stage, early, active=True)
        await stage.pay()  # 7, 8
        await fan_out(stage, worker)
        assert await numbers(stage, early) == [1, 2, 3, 4, 7, 8]
        assert await numbers(stage, late) == [3, 4, 5, 6, 7, 8]
        await change(stage, early, active=False)
        await change(stage, late, active=False)
        await stage.pay()
        assert await fan_out(stage, worker) == 2, "the position moves though nobody listens"
        await change(stage, late, active=True)
        await stage.pay()
        await fan_out(stage, worker)
        assert await numbers(stage, late) == [3, 4, 5, 6, 7, 8, 11, 12]


@pytest.mark.parametrize(("patterns", "wanted"), [
    (("*",), [1, 2]), (("payment.*",), [1, 2]), (("payment.created",), [1]),
    (("claim.*",), []), (("claim.*", "payment.completed"), [2]),
])  # fmt: skip
async def test_only_what_matches_is_delivered(
    database: str, patterns: tuple[str, ...], wanted: list[int]
) -> None:
    async with staged(database) as stage, connected(database) as worker:
        endpoint = await stage.endpoint(None, *patterns)
        await stage.pay()
        await fan_out(stage, worker)
        assert await numbers(stage, endpoint) == wanted


async def test_events_lists_are_as_of_the_fan_out(database: str) -> None:
    async with staged(database) as stage, connected(database) as worker:
        endpoint = await stage.endpoint(None, "claim.*")
        await stage.pay()
        await change(stage, endpoint, events=("payment.created",))
        await fan_out(stage, worker)
        assert await numbers(stage, endpoint) == [1]


async def test_a_removed_endpoint_gets_nothing_and_is_swept(database: str) -> None:
    async with staged(database) as stage, connected(database) as worker:
        endpoint = await stage.endpoint(None)
        kept = await stage.endpoint(None)
        await stage.pay(3)
        await fan_out(stage, worker)
        command = RemoveEndpoint(endpoint_id=endpoint, actor=KEY)
        await stage.lanes.submit(stage.book, command, Kept[Changed]())
        await stage.pay()
        await fan_out(stage, worker)
        assert len(await numbers(stage, endpoint)) == 6
        row = (await stage.look("SELECT * FROM endpoints WHERE endpoint_id = $1", endpoint))[0]
        assert (row["sealed_secret"], row["active"]) == ("", False)
        async with stage.delivering():
            await stage.until("swept", lambda: _count(stage, endpoint, 0))
            await stage.until_status(kept, "succeeded")
        assert len(await numbers(stage, kept)) == 8


async def test_a_gap_in_the_numbers_is_never_passed(database: str) -> None:
    """It cannot come about; if it did, the fan-out would stop there and say so."""
    async with staged(database) as stage, connected(database) as worker:
        endpoint = await stage.endpoint(None)
        await stage.pay(2)
        await worker.execute("DELETE FROM events WHERE number = 2")
        with pytest.raises(asyncpg.CheckViolationError, match="3 rows of events"):
            await fan_out(stage, worker)
        assert await numbers(stage, endpoint) == []


@pytest.mark.long
async def test_idle_deliveries_ask_little_of_the_database(database: str) -> None:
    async with staged(database) as stage:
        await stage.endpoint(None)
        counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        connections = await pool.create_writer_pool(database, application_name="idle", size=4)
        egress = Egress(allow_loopback=True)
        idle = Deliveries(stage.lanes, connections, egress, lambda: stage.seal, concurrency=8)
        task = asyncio.create_task(idle.run())
        await asyncio.sleep(2)
        before = (await stage.look(counted))[0]["xact_commit"]
        await asyncio.sleep(4)
        after = (await stage.look(counted))[0]["xact_commit"]
        idle.stop()
        await task
        await egress.close()
        await connections.close()
    assert after - before < 4 * 30, "about five small queries four times a second"


@pytest.mark.long
async def test_a_database_that_was_away_for_a_while_loses_nothing(database: str) -> None:
    """Its connections are cut again and again while deliveries run."""
    async with staged(database) as stage, receiving() as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url)
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
            " 'deliveries' AND datname = current_database()"
        )
        killed = 0
        for _ in range(5):
            await stage.pay(4)
            killed += len(await stage.look(cut))
            await asyncio.sleep(0.2)
        assert killed > 0, "the control: there were connections to cut"
        await stage.until_status(endpoint, "succeeded")
        await stage.until("all", lambda: _count(stage, endpoint, 40))
        await stage.until_status(endpoint, "succeeded")
    assert len({one.headers["webhook-id"] for one in receiver.got}) == 40

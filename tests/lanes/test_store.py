"""A lane's connection that ends in the middle of a batch: nothing goes on elsewhere.

A new connection has no transaction: PostgreSQL answers COMMIT there with COMMIT, and a caller would
be told that a refund exists which was never stored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from clawback.db.embedded import EmbeddedPostgres
from clawback.lanes.failures import Lost
from clawback.lanes.records import Changes
from clawback.lanes.store import Store

STEPS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "load": lambda store: store.load(0, [], [], []),
    "apply": lambda store: store.apply(0, "marker", datetime(2026, 5, 12, tzinfo=UTC), Changes()),
    "commit": lambda store: store.commit(),
}


@pytest.fixture
async def store(database: str, server: EmbeddedPostgres) -> Store:
    """A store in a batch whose backend has been ended from outside, and which has noticed."""
    made = Store(database, "lane under test")
    await made.begin()
    connection = made._connection
    assert connection is not None
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    admin = await asyncpg.connect(server.superuser_dsn)
    await admin.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    await admin.close()
    await ended.wait()
    return made


@pytest.mark.parametrize("step", STEPS)
async def test_a_batch_never_goes_on_over_another_connection(store: Store, step: str) -> None:
    with pytest.raises(Lost):
        await STEPS[step](store)


async def test_the_next_batch_has_a_new_connection(store: Store) -> None:
    await store.begin()
    await store.commit()
    await store.drop()


async def test_a_connection_in_doubt_is_never_used_again(database: str) -> None:
    store = Store(database, "lane under test")
    await store.begin()
    doubtful = store._connection
    assert doubtful is not None
    await store.drop()
    await store.begin()
    assert doubtful.is_closed()
    assert store._connection is not doubtful
    await store.drop()

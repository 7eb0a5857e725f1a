"""Keys in use are believed without asking for each request, and never longer than two seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from clawback import clock
from clawback.cli import register
from clawback.http.auth import CACHE_SECONDS, RENEW_MOST, Keyring, Opened

pytestmark = pytest.mark.timeout(60)


class Questions:
    """A reader of the database that counts, and can be away."""

    def __init__(self, session: "asyncpg.Connection") -> None:
        """Over one connection."""
        self.session = session
        self.asked = 0
        self.is_away = False

    @asynccontextmanager
    async def __call__(self) -> "AsyncIterator[asyncpg.Connection]":
        """The connection, for one question."""
        self.asked += 1
        if self.is_away:
            raise ConnectionRefusedError
        yield self.session


async def made(session: "asyncpg.Connection", count: int) -> list[tuple[str, bytes]]:
    """Keys of a new merchant: their ids, and how callers present them."""
    await register.create_merchant(session, "MCH-RING", "Ring", "Main")
    wanted = register.WantedKey(merchant_id="MCH-RING", mode="test")
    found = [await register.create_key(session, wanted) for _ in range(count)]
    return [(str(one["key"]), f"Bearer {one['secret']}".encode()) for one in found]


@asynccontextmanager
async def ring(dsn: str, count: int) -> AsyncIterator[tuple[Keyring, Questions, list[bytes]]]:
    """A keyring that knows its keys and keeps them."""
    session = await asyncpg.connect(dsn)
    keys = await made(session, count)
    asking = Questions(session)
    keyring = Keyring(asking)
    for _, header in keys:
        assert isinstance(await keyring.open(header), Opened)
    keeping = asyncio.create_task(keyring.keep())
    try:
        yield keyring, asking, [header for _, header in keys]
    finally:
        keeping.cancel()
        await session.close()


async def test_keys_in_use_are_renewed_many_at_once(database: str) -> None:
    async with ring(database, 20) as (keyring, asking, headers):
        asked = asking.asked
        end = clock.monotonic() + 3
        while clock.monotonic() < end:
            assert all(keyring.remembered(one) for one in headers)
            await asyncio.sleep(0.02)
        assert 2 <= asking.asked - asked <= 6, "one question for all of them"


async def test_a_key_that_is_used_now_and_then_is_not_asked_for_each_time(database: str) -> None:
    async with ring(database, 1) as (keyring, _, [header]):
        await asyncio.sleep(2 * CACHE_SECONDS)
        assert keyring.remembered(header)


async def test_a_revoked_key_in_use_is_dead_within_two_seconds(database: str) -> None:
    async with ring(database, 2) as (keyring, asking, headers):
        await asking.session.execute(
            "UPDATE api_keys SET revoked_at = now() WHERE digest = sha256($1)", headers[0][7:]
        )
        since = clock.monotonic()
        while keyring.remembered(headers[0]):
            assert clock.monotonic() < since + 2
            await asyncio.sleep(0.01)
        assert keyring.remembered(headers[1]), "the control: the other one lives"


async def test_what_cannot_be_renewed_is_forgotten(database: str) -> None:
    async with ring(database, 1) as (keyring, asking, headers):
        asking.is_away = True
        since = clock.monotonic()
        while keyring.remembered(headers[0]):
            assert clock.monotonic() < since + 2
            await asyncio.sleep(0.01)
        asking.is_away = False
        assert isinstance(await keyring.open(headers[0]), Opened)


async def test_too_many_keys_are_asked_for_one_by_one_again(database: str) -> None:
    async with ring(database, RENEW_MOST + 5) as (keyring, _, headers):
        assert all(keyring.remembered(one) for one in headers)
        await asyncio.sleep(CACHE_SECONDS + 0.2)
        assert sum(keyring.remembered(one) is None for one in headers) >= 5
        assert isinstance(await keyring.open(headers[-1]), Opened)

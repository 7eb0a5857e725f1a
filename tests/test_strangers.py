"""Calls to servers of strangers: of an answer the status counts, of a connection where it leads.

Over real sockets on loopback; the resolver is the test's own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from clawback.connection import Ending, Lost, NotSent, Reply
from clawback.outbound import AddressRefused, Origin, Outbound, Timeouts

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def serving(answer: bytes, *, closes: bool = False) -> AsyncIterator[tuple[int, list[int]]]:
    """A port, and the requests of each connection that came."""
    counts: list[int] = []
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(counts)
        counts.append(0)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                counts[place] += 1
                writer.write(answer)
                await writer.drain()
                if closes:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], counts
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def stranger(port: int, resolve: Callable[[], str] = lambda: "127.0.0.1") -> Outbound:
    async def resolver(_: str, __: int) -> str:
        return resolve()

    short = Timeouts(connect=1, read=1, write=1, total=1)
    origin = Origin("http", "shop.example", port)
    return Outbound(origin, timeouts=short, resolver=resolver, to_strangers=True)


async def call(way: Outbound) -> Ending:
    return await way.call("POST", "/", headers={})


@pytest.mark.parametrize("answer", [
    b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall is well",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\nxx",
])  # fmt: skip
async def test_a_body_that_ends_with_the_connection_is_whole(answer: bytes) -> None:
    async with serving(answer, closes=True) as (port, _):
        way = stranger(port)
        ending = await call(way)
        await way.close()
    assert isinstance(ending, Reply)
    assert (ending.status, ending.body) == (200, b"")


async def test_a_body_that_was_announced_and_cut_is_lost() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", closes=True) as (port, _):
        way = stranger(port)
        assert await call(way) == Lost("cut")
        await way.close()


async def test_too_much_is_dropped_though_the_status_was_good() -> None:
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000
    async with serving(body, closes=True) as (port, _):
        way = stranger(port)
        assert await call(way) == Lost("too_large")
        await way.close()


async def test_a_connection_serves_again_only_where_its_address_is_found_anew() -> None:
    found = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1"]
    async with serving(OK) as (port, counts):
        way = stranger(port, lambda: found.pop(0))
        first, second = await call(way), await call(way)
        assert isinstance(first, Reply)
        assert isinstance(second, Reply)
        assert counts == [2], "one connection, two calls"
        assert isinstance(await call(way), NotSent), "nobody listens at the other address"
        assert isinstance(await call(way), Reply)
        assert counts == [2, 1], "the old one was dropped when the name led elsewhere"
        await way.close()


async def test_a_refused_address_is_told_from_a_silent_one() -> None:
    def refuse() -> str:
        raise AddressRefused("shop.example")

    async with serving(OK) as (port, counts):
        way = stranger(port, refuse)
        assert await call(way) == NotSent("address_refused")
        assert counts == []
        await way.close()

"""A proxy between a lane and PostgreSQL that knows COMMIT and cuts the connection around it.

Each fault fires once, at the next COMMIT that passes, and is counted. The lane sees the same cut in
all of them; whether the batch has committed, has not, or is about to, only the server knows.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

SOCKET: Final = ".s.PGSQL.5432"
COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
ROLLBACK: Final = b"Q\x00\x00\x00\x0dROLLBACK\x00"
_WRONG_PASSWORD: Final = b"SFATAL\x00VFATAL\x00C28P01\x00Mno such password\x00\x00"
HOLD_SECONDS: Final = 0.3

COMMITTED: Final = {"cut after it", "cut while it runs", "cut, then nobody may log in"}
"""Faults after which the batch has committed."""
NOT_COMMITTED: Final = {"cut before it", "cut, never sent", "answered with ROLLBACK"}
"""Faults after which it has not."""
REFUSED_LOGINS: Final = 3


class Proxy:
    """Passes bytes both ways until a fault is due."""

    def __init__(self, server: Path) -> None:
        """`server`: the folder of the server's socket."""
        self._server = server
        self._refused = 0
        self._connections: set[asyncio.Task[None]] = set()
        self.fault: str | None = None
        self.fired: Counter[str] = Counter()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its end."""
        if self._refused:
            self._refused -= 1
            length = len(_WRONG_PASSWORD) + 4
            writer.write(b"E" + length.to_bytes(4, "big") + _WRONG_PASSWORD)
            writer.close()
            return
        above, below = await asyncio.open_unix_connection(str(self._server / SOCKET))
        back = asyncio.create_task(_pump(above, writer))
        try:
            while data := await reader.read(65_536):
                if data.endswith(COMMIT) and self.fault is not None:
                    await self._cut(data, back, above, below, writer)
                    return
                below.write(data)
                await below.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            back.cancel()
            below.close()
            writer.transport.abort()

    async def _cut(
        self,
        data: bytes,
        back: "asyncio.Task[None]",
        above: asyncio.StreamReader,
        below: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        fault, self.fault = self.fault, None
        assert fault is not None
        self.fired[fault] += 1
        if fault == "answered with ROLLBACK":
            below.write(data.removesuffix(COMMIT) + ROLLBACK)
            await asyncio.wait({back}, timeout=0.2)
            return
        back.cancel()
        await asyncio.wait({back})
        if fault == "cut before it":
            return
        if fault in {"cut while it runs", "cut, never sent"}:
            writer.transport.abort()
            await asyncio.sleep(HOLD_SECONDS)
        if fault == "cut, never sent":
            return
        if fault == "cut, then nobody may log in":
            self._refused = REFUSED_LOGINS
        below.write(data)
        assert b"COMMIT\x00" in await above.read(65_536), "the server has committed"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[str, Proxy]]:
    """The DSN that leads through a proxy, and the proxy."""
    parts = urlsplit(dsn)
    host = parse_qs(parts.query)["host"][0]
    folder = tempfile.mkdtemp(prefix="cb")
    proxy = Proxy(Path(host))
    listener = await asyncio.start_unix_server(proxy.take, str(Path(folder) / SOCKET))
    try:
        yield urlunsplit(parts._replace(query=f"host={folder}")), proxy
    finally:
        listener.close()
        shutil.rmtree(folder)

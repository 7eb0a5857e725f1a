"""A sandbox provider for the session, and a book of its own for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.sandbox.peer import Caller, Peer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    peer = Peer(tmp_path_factory.mktemp("sandbox")).start()
    yield peer
    assert peer.stop() == 0


@pytest.fixture
def own_peer(tmp_path: Path) -> Iterator[Peer]:
    """A provider that a test may kill."""
    peer = Peer(tmp_path).start()
    yield peer
    peer.kill()


@pytest.fixture
async def caller(peer: Peer) -> AsyncIterator[Caller]:
    provider = peer.provider()
    yield Caller(provider)
    await provider.close()

"""The adapters that the suites run on."""

import socket

import pytest

from tests.sandbox.conftest import anyio_backend, caller, peer

__all__ = ["anyio_backend", "caller", "peer", "unused_port"]


@pytest.fixture
def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

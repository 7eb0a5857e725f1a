"""One running `clawback dev` for all tests of the HTTP edge in a process."""

from collections.abc import Iterator

import pytest

from tests.cli.trees import Tree
from tests.http.wire import Wire


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves."""
    made = Tree(tmp_path_factory.mktemp("http") / ".clawback")
    try:
        yield made.wait()
    finally:
        made.close()


@pytest.fixture(scope="session")
def wire(dev: Tree) -> Wire:
    """Raw access to its API."""
    return Wire(dev.dev["url"])


@pytest.fixture(scope="session")
def keys(dev: Tree) -> dict[str, str]:
    """Its keys: secret, publishable, live."""
    told = dev.dev
    return {
        "secret": told["secretKey"],
        "publishable": told["publishableKey"],
        "live": told["liveSecretKey"],
    }

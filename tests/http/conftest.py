"""The run's tree, for tests of the HTTP edge: raw access to it, and its keys."""

import pytest

from tests.http.wire import Wire
from tests.support.trees import Tree


@pytest.fixture(scope="session")
def wire(served: Tree) -> Wire:
    """Raw access to its API."""
    return Wire(served.dev["url"])


@pytest.fixture(scope="session")
def keys(served: Tree) -> dict[str, str]:
    """Its keys: secret, publishable, live."""
    told = served.dev
    return {
        "secret": told["secretKey"],
        "publishable": told["publishableKey"],
        "live": told["liveSecretKey"],
    }

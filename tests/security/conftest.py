"""One running `clawback dev` for the tests of attacks, with every log line that it can write."""

from collections.abc import Iterator

import pytest

from tests.support.databases import Database
from tests.support.trees import Tree


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves, and logs each request."""
    logged = {"CLAWBACK_ACCESS_LOG": "1", "CLAWBACK_LOG_LEVEL": "debug"}
    with Tree(tmp_path_factory.mktemp("security") / ".clawback", more=logged) as made:
        yield made


@pytest.fixture(scope="package")
def rows(tree: Tree) -> Iterator[Database]:
    """Its database, looked at beside the product."""
    with Database(str(tree.dev["databaseUrl"])) as found:
        yield found

"""The database of the run's tree, and merchants in it, for the tests of claims over HTTP."""

from collections.abc import Iterator

import pytest

from tests.support.databases import Database
from tests.support.registry import Registry
from tests.support.trees import Tree


@pytest.fixture(scope="session")
def rows(tree: Tree) -> Iterator[Database]:
    """Its database, looked at beside the product."""
    with Database(str(tree.dev["databaseUrl"])) as found:
        yield found


@pytest.fixture(scope="session")
def registry(tree: Tree) -> Iterator[Registry]:
    """Makes merchants of it."""
    with Registry(tree) as found:
        yield found

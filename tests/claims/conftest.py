"""One running `clawback dev` for all tests of claims over HTTP in a process."""

from collections.abc import Iterator

import pytest

from tests.support.databases import Database
from tests.support.registry import Registry
from tests.support.trees import Tree


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves with two API processes."""
    made = Tree(tmp_path_factory.mktemp("claims") / ".clawback")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="package")
def rows(tree: Tree) -> Iterator[Database]:
    """Its database, looked at beside the product."""
    with Database(str(tree.dev["databaseUrl"])) as found:
        yield found


@pytest.fixture(scope="package")
def registry(tree: Tree) -> Iterator[Registry]:
    """Makes merchants of it."""
    with Registry(tree) as found:
        yield found

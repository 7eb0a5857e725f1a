"""One running `clawback dev` with two API processes, for the races over real sockets."""

from collections.abc import Iterator

import pytest

from tests.support.trees import Tree


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that is nobody else's: deadlocks are counted in it."""
    with Tree(tmp_path_factory.mktemp("races") / "data", processes=2) as made:
        yield made

"""One running `clawback dev` for the tests that only look at it."""

from collections.abc import Iterator

import pytest

from tests.cli.trees import Tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves; its directory is called .clawback."""
    made = Tree(tmp_path_factory.mktemp("dev") / ".clawback")
    try:
        yield made.wait()
    finally:
        made.close()

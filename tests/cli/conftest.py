"""One running `clawback dev` for the tests that have its demo merchant to themselves."""

from collections.abc import Iterator

import pytest

from tests.cli.trees import Tree, serving


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves."""
    with serving(tmp_path_factory.mktemp("dev")) as made:
        yield made

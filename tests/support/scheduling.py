"""Which test process gets which modules, and which come first.

A module stays in one process: what it shares is made once, its merchants have fixed names. Modules
that share a tree of their own go together. What lasts long comes first, so that no process is left
with it when the others are done.
"""

from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

TOGETHER: Final = {
    "tests/browser": (),
    "tests/security": (),
    "tests/cli": ("test_commands.py", "test_documents.py"),
    "tests/races": ("test_idempotency.py", "test_refund_races.py"),
}
"""Modules of a folder, by default all, that share a tree."""
LONG: Final = (
    "tests/browser", "tests/cli", "tests/security", "tests/cli/test_dev.py",
    "tests/http/test_bad_input.py", "tests/chaos/test_provider.py", "tests/crash/test_kills.py",
    "tests/cli/test_import.py", "tests/webhooks/test_deliveries.py",
)  # fmt: skip
"""What comes first, by name."""


def group_of(nodeid: str) -> str:
    """The module of a test, or the folder whose tree it shares."""
    path = nodeid.partition("::")[0]
    folder, _, name = path.rpartition("/")
    names = TOGETHER.get(folder)
    return folder if names is not None and (not names or name in names) else path


class Modules(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Hands groups of modules out, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        """Nobody has anything yet."""
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def long_first(items: list[pytest.Item]) -> None:
    """Order tests so that those of long groups come first, each group's as they stood."""
    items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    group = group_of(nodeid)
    return LONG.index(group) if group in LONG else len(LONG)

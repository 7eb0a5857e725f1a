"""Bugs as data, and the copies of the tree in which they are planted.

A bug is a few edits and, by layer of tests, the tests that must go red. A copy holds everything
that git would, but no `.git`; its tests find its own package first, in their own process and in all
that they start. Nothing is ever planted in the tree itself.
"""

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

ROOT: Final = Path(__file__).resolve().parents[2]
LISTS: Final = ("lanes", "money", "providers", "edges")
RUN_SECONDS: Final = 600
_LEFT: Final = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist")
_WITHOUT: Final = tuple(
    f"-pno:{name}"
    for name in ("cacheprovider", "xdist", "randomly", "schemathesis", "hypothesispytest")
)
"""Plugins that cost seconds and that no test of a bug needs."""

Layer = Literal["model", "steps", "lanes", "processes", "provider", "http", "database", "webhooks"]


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place of one file: `old` stands in it exactly once."""

    file: str
    old: str
    new: str


class Bug(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bug to be planted. `twice`: tests of two layers must see it, or more."""

    number: int
    name: str
    twice: bool = False
    edit: tuple[Edit, ...]
    caught_by: dict[Layer, tuple[str, ...]]

    @property
    def tests(self) -> tuple[str, ...]:
        """All tests that must go red."""
        return tuple(name for names in self.caught_by.values() for name in names)


def read_bugs() -> tuple[Bug, ...]:
    """All bugs there are, by number."""
    found: list[Bug] = []
    for name in LISTS:
        text = Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8")
        found += msgspec.convert(tomllib.loads(text)["bug"], list[Bug])
    return tuple(sorted(found, key=lambda bug: bug.number))


def moved(bug: Bug, root: Path = ROOT) -> list[str]:
    """Edits whose old text is not in its file exactly once."""
    return [
        f"bug {bug.number}: {edit.file} has {found} times: {edit.old.strip()[:60]!r}"
        for edit in bug.edit
        if (found := (root / edit.file).read_text(encoding="utf-8").count(edit.old)) != 1
    ]


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """A copy of the tree in a folder that is there for this alone."""
    copy = folder / "tree"
    copy.mkdir()
    for name in ("clawback", "tests", "docs", "requirements"):
        shutil.copytree(ROOT / name, copy / name, ignore=_LEFT)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, copy / path.name)
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def plant(bug: Bug, copy: Path) -> None:
    """Make the bug's edits. Raises: AssertionError if the code has moved away under them."""
    assert not moved(bug, copy), f"the code moved, renew the patch: {moved(bug, copy)}"
    for edit in bug.edit:
        path = copy / edit.file
        path.write_text(path.read_text(encoding="utf-8").replace(edit.old, edit.new))


class Ran(msgspec.Struct, frozen=True):
    """A run of tests: how it ended, which of them failed, what it said."""

    code: int
    failed: frozenset[str]
    said: str

    def not_red(self, tests: Iterable[str]) -> list[str]:
        """Tests none of whose cases failed."""
        return [one for one in tests if not any(_is_of(name, one) for name in self.failed)]


def _is_of(name: str, test: str) -> bool:
    """Whether the name is the test's, or that of one of its cases."""
    return name == test or name.startswith(f"{test}[")


def run(copy: Path, tests: Iterable[str]) -> Ran:
    """Run these tests in the copy, with an end. A test that cannot begin has not failed."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "CLAWBACK", "COV")) and name not in {"LONG", "SEED"}
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-rfE", *_WITHOUT, *tests],
        cwd=copy,
        env=ours | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=RUN_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    failed = (
        line.removeprefix("FAILED ") for line in said.splitlines() if line.startswith("FAILED ")
    )
    names = frozenset(line.split(" - ", 1)[0] for line in failed)
    return Ran(process.returncode, names, said)

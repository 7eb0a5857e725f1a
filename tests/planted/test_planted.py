"""Planted bugs: each must be seen by the tests that are there for it, in a copy of the tree.

The bugs are data (`lanes.toml`, `money.toml`, `providers.toml`, `edges.toml`). An edit whose old
text is gone is a failure too: the code moved, so the patch has to be renewed. The control runs the
same tests in a copy without a bug. `make test` plants three of them; `make test-long` all.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.planted.patches import ROOT, RUN_SECONDS, Bug, Edit, copied, moved, plant, read_bugs, run

BUGS: Final = read_bugs()
SAMPLE: Final = (27, 34, 36)
"""Bugs whose tests need no database: planted on every run."""
NUMBERS: Final = range(1, 47)
TWICE: Final = frozenset({1, 2, 3, 13, 14, 18, 22, 23, 24, 31, 32, 33})
NOT_PLANTED: Final[dict[int, str]] = {}
"""Bugs that cannot be planted in this code, each with its reason."""

pytestmark = pytest.mark.timeout(RUN_SECONDS + 60)


def caught(bug: Bug, folder: Path) -> None:
    """Plant it in a copy and demand that each of its tests fails."""
    with copied(folder) as copy:
        plant(bug, copy)
        ran = run(copy, bug.tests)
    assert ran.not_red(bug.tests) == [], f"bug {bug.number}, {bug.name}:\n{ran.said[-3000:]}"


@pytest.mark.parametrize("number", SAMPLE)
def test_a_planted_bug_of_the_sample_is_caught(number: int, tmp_path: Path) -> None:
    for bug in BUGS:
        if bug.number == number:
            caught(bug, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.number}-{bug.name}")
def test_a_planted_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    caught(bug, tmp_path)


def passes(bugs: tuple[Bug, ...], folder: Path) -> None:
    """Without a bug the same tests pass, all of them."""
    tests = sorted({name for bug in bugs for name in bug.tests})
    with copied(folder) as copy:
        ran = run(copy, tests)
    assert ran.code == 0, ran.said[-3000:]
    assert " skipped" not in ran.said, ran.said


def test_the_control_of_the_sample_passes(tmp_path: Path) -> None:
    passes(tuple(bug for bug in BUGS if bug.number in SAMPLE), tmp_path)


@pytest.mark.long
@pytest.mark.timeout(2 * RUN_SECONDS)
def test_the_control_passes(tmp_path: Path) -> None:
    passes(BUGS, tmp_path)


def test_every_bug_of_the_list_is_planted_or_has_a_reason() -> None:
    planted = {bug.number for bug in BUGS}
    assert planted.isdisjoint(NOT_PLANTED)
    assert planted | NOT_PLANTED.keys() == set(NUMBERS)
    assert {bug.number for bug in BUGS if bug.twice} == TWICE - NOT_PLANTED.keys()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.number}-{bug.name}")
def test_the_code_is_where_the_patch_looks_for_it(bug: Bug) -> None:
    assert moved(bug) == [], "the code moved: renew the patch"
    assert len(bug.caught_by) >= 1 + bug.twice, "one that is marked is for two layers"
    for name in bug.tests:
        path, _, function = name.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {function.partition('[')[0]}(" in text, f"{name} is gone"


def test_a_patch_that_no_longer_fits_and_a_bug_that_nobody_sees_are_failures(
    tmp_path: Path,
) -> None:
    """The controls of the runner itself."""
    file, line = "clawback/signatures.py", "TOLERANCE_SECONDS: Final = 300\n"
    gone = Bug(number=0, name="gone", edit=(Edit(file, "no such text", ""),), caught_by={})
    with pytest.raises(AssertionError, match="the code moved"):
        caught(gone, tmp_path)
    test = "tests/test_signatures.py::test_the_vector_of_the_contract"
    quiet = Bug(
        number=0, name="quiet", edit=(Edit(file, line, f"\n{line}"),), caught_by={"model": (test,)}
    )
    with pytest.raises(AssertionError, match="quiet"):
        caught(quiet, tmp_path)

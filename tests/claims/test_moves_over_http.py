"""The four transition tables over HTTP: each cell in a book of its own, the books checked after it.

The usual run tries every cell in which something happens, of MEDs those of a few statuses, and some
of the cells in which nothing may; the long run tries all. The cells are those of the model's test.
"""

import pytest

from clawback.claims.moves import KINDS, TABLES, Move
from tests.claims.acting import ACTIONS
from tests.claims.cells import CELLS, statuses
from tests.claims.scene import Scene
from tests.support.registry import Registry
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)

Cell = tuple[str, str, str]


def _is_tried(kind: str, status: str, action: str) -> bool:
    """A window's end is a matter of refunds that nobody is asked about meanwhile."""
    return action != "deadline" or (kind == "user_dispute" and status != "approved")


ALL: list[Cell] = [
    (kind, status, action)
    for kind in KINDS
    for status in statuses(kind)
    for action in ACTIONS
    if _is_tried(kind, status, action)
]
LEGAL = [(kind, status, action) for kind, status, action in ALL if action in CELLS[kind][status]]
QUIET = [cell for cell in ALL if cell not in LEGAL]
USUAL = [cell for cell in LEGAL if cell[0] != "med" or cell[1] in {"approved", "released"}][::2]


def try_cell(tree: Tree, registry: Registry, cell: Cell) -> None:
    """Legal: the documented rows, entries and end. Illegal: nothing changes."""
    kind, status, action = cell
    scene = Scene(tree, registry)
    claim = scene.brought(kind, status)
    before = scene.shop.get(f"/claims/{claim}")
    told = len(list(scene.events(claim)))
    reply = scene.act(before, action)
    scene.check_books()
    after = scene.shop.get(f"/claims/{claim}")
    rows = [_row(kind, one) for one in list(scene.events(claim))[told:]]
    wanted = CELLS[kind][status].get(action)
    if wanted is None:
        assert reply is None or reply.status == 409, (cell, reply)
        assert (rows, after["status"]) == ([], status), f"{cell}: nothing changes"
        assert after["entries"] == before["entries"], cell
        return
    assert reply is None or reply.status == 200, (cell, reply)
    *numbers, end = wanted.split()
    found = [str(row.number) for row in rows if row.number != 4] or ["4"] * bool(rows)
    assert (found, after["status"]) == (numbers, end), cell
    allowed = {entry for row in rows for entry in row.entries} | {"debt_recovery"}
    posted = {one["type"] for one in after["entries"][len(before["entries"]) :]}
    assert posted <= allowed, f"{cell}: no entry but those of its rows"


def _row(kind: str, told: tuple[str, str | None, str, str]) -> Move:
    """The row that this event is of: by what it tells, and by whom it was caused."""
    event, source, target, actor = told
    cause = {"user": "key"}.get(actor.split(":")[0], actor.split(":")[0])
    found = [
        row
        for row in TABLES[kind]
        if (row.event, row.source, row.target) == (event, source, target)
        and row.number != 3  # a top-up tells what row 4 tells, and is another test
        and cause in row.by
    ]
    assert found, (kind, told)
    return found[0]


@pytest.mark.parametrize("cell", USUAL, ids="-".join)
def test_a_cell_in_which_something_happens(tree: Tree, registry: Registry, cell: Cell) -> None:
    try_cell(tree, registry, cell)


@pytest.mark.parametrize("cell", QUIET[::12], ids="-".join)
def test_a_cell_in_which_nothing_may(tree: Tree, registry: Registry, cell: Cell) -> None:
    try_cell(tree, registry, cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", [c for c in LEGAL if c not in USUAL], ids="-".join)
def test_every_other_cell_in_which_something_happens(
    tree: Tree, registry: Registry, cell: Cell
) -> None:
    try_cell(tree, registry, cell)


@pytest.mark.long
@pytest.mark.parametrize("cell", [c for c in QUIET if c not in QUIET[::12]], ids="-".join)
def test_every_other_cell_in_which_nothing_may(tree: Tree, registry: Registry, cell: Cell) -> None:
    try_cell(tree, registry, cell)


def test_a_cell_that_does_other_than_written_is_seen(tree: Tree, registry: Registry) -> None:
    """The control: a legal cell tried as one in which nothing may happen, and the reverse."""
    for kind, status, action, claimed in (
        ("chargeback", "pending", "lost", None),
        ("chargeback", "released", "won", "10 rejected"),
    ):
        cells = CELLS[kind][status]
        with pytest.MonkeyPatch.context() as patch:
            if claimed is None:
                patch.delitem(cells, action)
            else:
                patch.setitem(cells, action, claimed)
            with pytest.raises(AssertionError, match=r"nothing changes|lost|won"):
                try_cell(tree, registry, (kind, status, action))


def test_all_cells_are_there() -> None:
    assert len(ALL) == len(LEGAL) + len(QUIET) == 7 * 14 + 6 + 3 * 14 + 2 * 6 * 14
    assert len(LEGAL) == sum(len(row) for rows in CELLS.values() for row in rows.values())

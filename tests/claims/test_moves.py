"""The four transition tables, cell by cell: every kind in every status, everything done to it."""

import pytest

from clawback.claims.moves import KINDS, TABLES, Move
from clawback.lanes.state import Notice
from tests.claims import transitions
from tests.claims.acting import ACTIONS, brought
from tests.claims.cells import CELLS, statuses
from tests.model_checks import check
from tests.model_world import World


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind in KINDS for status in statuses(kind)]
)
def test_a_cell_of_the_tables(kind: str, status: str, action: str) -> None:
    """Legal: the documented rows, entries and end. Illegal: nothing changes."""
    world = World(dispute_fee_usd_e4=0)
    payment = world.pay()
    claim = brought(world, payment, kind, status)
    assert claim.status == status, "the way there is another test"
    told, written = len(world.notices), len(world.entries)
    ACTIONS[action](world, payment, claim)
    check(world)
    after = world.claim(claim.claim_id)
    notices = [
        one
        for one in world.notices[told:]
        if one.version is not None and getattr(one.subject, "claim_id", "") == claim.claim_id
    ]
    rows = [_row(kind, one) for one in notices]
    wanted = CELLS[kind][status].get(action)
    if wanted is None:
        assert (after, rows) == (claim, []), "nothing changes"
        return
    *numbers, end = wanted.split()
    found = [str(row.number) for row in rows]
    if found == ["4"] or after.approved_at != claim.approved_at:
        found = [one for one in found if one != "4"] or found
    assert (found, after.status) == (numbers, end)
    allowed = {entry for row in rows for entry in row.entries} | {"debt_recovery"}
    mine = [one for one in world.entries[written:] if one.claim_id == claim.claim_id]
    assert {entry.type for entry in mine} <= allowed, "no entry but those of its rows"


def _row(kind: str, told: Notice) -> Move:
    """The row that this event is of: by what it tells, and by whom it was caused."""
    cause = {"user": "key"}.get(told.actor.split(":")[0], told.actor.split(":")[0])
    found = [
        row
        for row in TABLES[kind]
        if (row.event, row.source, row.target) == (told.type, told.from_status, told.to_status)
        and row.number != 3  # a top-up tells what row 4 tells, and is another test
        and cause in row.by
    ]
    assert found, (kind, told)
    return found[0]


def test_each_row_of_the_contract_is_there() -> None:
    """All 17 rows, each for the kinds that the contract names."""
    kinds = {
        number: "".join(
            letter
            for letter, kind in zip("RICM", KINDS, strict=True)
            if any(row.number == number for row in TABLES[kind])
        )
        for number in range(1, 18)
    }
    assert kinds == {
        1: "R", 2: "ICM", 3: "RICM", 4: "RICM", 5: "R", 6: "CM", 7: "RCM", 8: "RCM", 9: "R",
        10: "ICM", 11: "R", 12: "ICM", 13: "R", 14: "R", 15: "RCM", 16: "R", 17: "ICM",
    }  # fmt: skip


def test_the_documents_show_the_tables() -> None:
    """docs/reference/transitions.md is drawn from them."""
    assert transitions.PAGE.read_text() == transitions.render()

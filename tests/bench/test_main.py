"""A whole run, small: everything is started, measured, audited and stopped."""

from pathlib import Path

import pytest

from clawback.bench import control, main, rounds

SMALL = main.Plan(rounds=1, seconds=0.15, payments=400, enough_seconds=60.0, claims=150)


@pytest.mark.timeout(180)
@pytest.mark.long
def test_small_run_is_sound(tmp_path: Path) -> None:
    found = main.measure(tmp_path / "a folder", SMALL, is_quick=True)
    assert found.audit_clean, found.figures.audit_broken
    assert found.figures.not_created == {}
    assert found.figures.refunds_answered == found.figures.refunds_stored > 0
    measured = {(row.kind, row.pool, row.width) for row in found.figures.rows}
    for pool in (rounds.SPREAD, rounds.HOT):
        assert {("control", pool, clients) for clients in control.CLIENTS} <= measured
        assert {("closed", pool, connections) for connections in rounds.CONNECTIONS} <= measured
        assert ("open", pool, 256) in measured
    assert found.figures.postgres["fsync"] == "on"
    assert found.figures.postgres["synchronous_commit"] == "on"
    assert found.ratios.spread > 0 < found.ratios.hot
    grown = found.figures.growth
    assert grown is not None
    assert found.figures.audited["claims"] == found.figures.refunds_stored + grown.claims
    assert grown.before.reads_us.keys() == grown.after.reads_us.keys() >= {"payment", "claim"}
    assert min(*grown.after.refunds.values(), *grown.after.reads_us.values()) > 0

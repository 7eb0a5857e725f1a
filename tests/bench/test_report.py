"""The report: ratios of best to best, medians over rounds, and what makes a run unsound."""

import json
from typing import Any, cast

import msgspec
import pytest

from clawback.bench import report
from clawback.bench.growth import Before, Growth
from clawback.bench.load import Sample
from clawback.bench.rounds import (
    CLOSED,
    CONTROL,
    HOT,
    IDLE,
    SPREAD,
    Cell,
    Cost,
    Measured,
    Rounds,
    interleaved,
)

RATES = {
    Cell(CONTROL, SPREAD, 1): (900.0, 1_000.0, 5_000.0),
    Cell(CONTROL, SPREAD, 16): (2_000.0, 2_000.0, 2_000.0),
    Cell(CONTROL, HOT, 1): (1_000.0,),
    Cell(CLOSED, SPREAD, 64): (3_000.0, 1.0, 3_000.0),
    Cell(CLOSED, SPREAD, 256): (2_900.0,),
    Cell(CLOSED, HOT, 64): (4_500.0,),
    Cell(IDLE, SPREAD, 1): (500.0,),
}


def found(**changed: Any) -> report.Report:  # noqa: ANN401 - fields of Around
    nothing = cast("Any", None)
    rounds = Rounds(nothing, nothing, ())
    for cell, rates in RATES.items():
        cost = Cost(400.0 if cell.kind == CONTROL else 100.0, 80.0, 20.0, 5_000.0)
        rounds.found[cell] = [
            Measured(Sample(rate, 1e6 / rate, 2e6 / rate, 9), cost) for rate in rates
        ]
    rounds.answered = 50
    fields: dict[str, Any] = {
        "audit_clean": True, "broken": [], "counts": {"claims": 50, "postings": 500_000},
        "audit_seconds": 4.0, "stored": 50,
        "preloaded_per_second": 1.0, "generator_alone": Sample(9.0, 1.0, 1.0, 1),
        "server": {"version": "18"}, "seconds": 1.0,
    }  # fmt: skip
    return report.make(rounds, report.Around(**(fields | changed)))


def test_ratios_are_of_the_best_medians() -> None:
    ratios = found().ratios
    assert (ratios.spread, ratios.hot, ratios.hot_to_spread) == (1.5, 4.5, 1.5)
    assert found().figures.cpu_ratios == {"spread": 2.5, "hot": 2.5}
    assert found().figures.idle_latency == 2.0


def test_the_line_for_programs_has_the_three_parts() -> None:
    line = json.loads(msgspec.json.encode(found()))
    assert list(line) == ["ratios", "audit_clean", "figures"]
    assert list(line["ratios"]) == ["spread", "hot", "hot_to_spread"]
    assert len(line["figures"]["rows"]) == len(RATES)


@pytest.mark.parametrize("changed", [{"audit_clean": False}, {"stored": 49}])
def test_unclean_books_or_lost_refunds_are_unsound(changed: dict[str, object]) -> None:
    assert found().is_sound
    assert not found(**changed).is_sound


def test_tables_say_which_targets_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(found())
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["spread", "1.50"] and line.endswith("met") for line in lines)
    assert any("audit: clean" in line for line in lines)


def test_control_and_api_are_measured_in_turn() -> None:
    kinds = [cell.kind for cell in interleaved(SPREAD)]
    assert kinds == [CONTROL, IDLE, CONTROL, CLOSED, CONTROL, CLOSED, CONTROL]
    assert {cell.width for cell in interleaved(HOT) if cell.kind == CONTROL} == {1, 4, 16, 64}


def test_what_growth_cost_is_held_against_its_targets() -> None:
    before = Before({"spread": 100.0, "hot": 100.0}, {"claim": 900.0})
    after = Before({"spread": 95.0, "hot": 80.0}, {"claim": 990.0})
    grown = Growth(
        claims=10, filled_per_second=5, before=before, after=after, refunds=0.8, reads=1.1
    )
    judged = {one.name: one for one in report.judged(found(growth=grown))}
    assert (judged["grown_refunds"].value, judged["grown_refunds"].is_met) == (0.8, False)
    assert (judged["grown_reads"].value, judged["grown_reads"].is_met) == (1.1, True)
    assert (judged["audit_seconds"].value, judged["audit_seconds"].is_met) == (8.0, True)
    assert judged.keys() - {one.name for one in report.judged(found())} == {
        "grown_refunds", "grown_reads", "audit_seconds",
    }  # fmt: skip

"""The page about a run: all figures stand on it, and its drawings are to scale."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from clawback.bench import page, report
from tests.bench.test_report import found

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page.write(found(), tmp_path / "made" / "for it")
    return tmp_path / "made" / "for it"


def bars(drawing: Path) -> list[float]:
    svg = ET.parse(drawing).getroot()  # noqa: S314 - of our own making
    return [float(bar.attrib["width"]) for bar in svg.iter(f"{SVG}rect")]


def test_every_figure_stands_on_the_page(folder: Path) -> None:
    told = (folder / page.PAGE).read_text(encoding="utf-8")
    for row in report.table(found()):
        assert f"| {' | '.join(row)} |" in told
    assert "| idle_latency | 2.00 | at most 4.0 | met |" in told
    assert "| audit of the books afterwards | clean |" in told
    for name in (page.RATES, page.RATIOS):
        assert f"]({name})" in told
        assert (folder / name).exists()


def test_what_was_missed_and_what_is_not_clean_is_said(tmp_path: Path) -> None:
    told = page.write(
        found(audit_clean=False, broken=["frozen"]), tmp_path
    ).read_text(encoding="utf-8")  # fmt: skip
    assert "NOT CLEAN: frozen" in told
    assert "| hot | 4.50 | at least 4.5 | met |" in told


def test_bars_are_as_long_as_their_values(folder: Path) -> None:
    assert bars(folder / page.RATES) == [
        round(page.WIDTH * rate / 4_500) for rate in (2_000, 3_000, 1_000, 4_500)
    ]
    ratios = (1.5, 4.5, 1.5)
    assert bars(folder / page.RATIOS) == [round(page.WIDTH * one / 4.5) for one in ratios]


def test_a_reader_who_sees_no_drawing_is_told_its_values(folder: Path) -> None:
    svg = ET.parse(folder / page.RATES).getroot()  # noqa: S314 - of our own making
    assert "one merchant, HTTP 4,500" in svg.attrib["aria-label"]
    assert not list(svg.iter(f"{SVG}script"))

"""A benchmark as one page for those who were not there: Markdown, and two drawings beside it.

The drawings are SVG without a script; they follow the reader's light or dark theme, and all that
they show stands in the page's tables too.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from clawback import VERSION, clock
from clawback.bench import report
from clawback.bench.report import Report, Row
from clawback.bench.rounds import CLOSED, CONTROL, HOT, SPREAD

PAGE, RATES, RATIOS = "report.md", "rates.svg", "ratios.svg"

LABEL, WIDTH, BAR, GAP = 190, 430, 18, 8
"""Of a drawing, in pixels: its labels, its longest bar, a bar's height, the room between."""

STYLE: Final = """<style>
text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
.title { font-weight: 600 }
.api { fill: #0b6e4f } .control { fill: #8b949e } .aim { stroke: #b42318; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .api { fill: #3fb68b } .control { fill: #6e7681 } .aim { stroke: #ff7b72 }
}
</style>"""

Bar = tuple[str, float, str, float | None]
"""Label, value, class, and where its target stands, if it has one."""


def write(found: Report, folder: Path) -> Path:
    """Write the page and its drawings into the folder, made if need be; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RATES).write_text(_drawing("Refunds a second", _rates(found)), encoding="utf-8")
    (folder / RATIOS).write_text(
        _drawing("Ratios, and the least aimed at", _ratios(found)), encoding="utf-8"
    )
    page = folder / PAGE
    page.write_text(_page(found), encoding="utf-8")
    return page


def _best(found: Report, kind: str, pool: str) -> Row:
    rows = [row for row in found.figures.rows if (row.kind, row.pool) == (kind, pool)]
    return max(rows, key=lambda row: row.per_second)


def _rates(found: Report) -> list[Bar]:
    names = {CONTROL: "control", CLOSED: "HTTP"}
    pools = {SPREAD: "100 merchants", HOT: "one merchant"}
    return [
        (f"{pools[pool]}, {names[kind]}", row.per_second, kind_class, None)
        for pool in (SPREAD, HOT)
        for kind, kind_class in ((CONTROL, "control"), (CLOSED, "api"))
        for row in [_best(found, kind, pool)]
    ]


def _ratios(found: Report) -> list[Bar]:
    return [
        (one.name, one.value, "api", one.target)
        for one in report.judged(found)
        if not one.is_low_good
    ]


def _drawing(title: str, bars: Sequence[Bar]) -> str:
    """Bars that lie under each other, with their values; a stroke where a target stands."""
    most = max(max(value, aim or 0) for _, value, _, aim in bars)
    height = 36 + len(bars) * (BAR + GAP)
    told = escape("; ".join(f"{label} {_figure(value)}" for label, value, _, _ in bars))
    box = f"0 0 {LABEL + WIDTH + 80} {height}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img"',
        f' aria-label="{escape(title)}: {told}">',
        STYLE,
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for number, (label, value, kind, aim) in enumerate(bars):
        top = 32 + number * (BAR + GAP)
        long = round(WIDTH * value / most)
        parts += [
            f'<text x="8" y="{top + 14}">{escape(label)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{long}" height="{BAR}"/>',
            f'<text x="{LABEL + long + 8}" y="{top + 14}">{_figure(value)}</text>',
        ]
        if aim is not None:
            x = LABEL + round(WIDTH * aim / most)
            parts.append(
                f'<line class="aim" x1="{x}" x2="{x}" y1="{top - 2}" y2="{top + BAR + 2}"/>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - a matter of taste


def _page(found: Report) -> str:
    figures = found.figures
    judged = [
        (one.name, f"{one.value:.2f}", one.aim, "met" if one.is_met else "missed")
        for one in report.judged(found)
    ]
    audit = "clean" if found.audit_clean else f"NOT CLEAN: {', '.join(figures.audit_broken)}"
    around = [
        ("measured", f"{clock.real_now():%Y-%m-%d}, in {figures.seconds:.0f} s"),
        ("Clawback", VERSION),
        *((name, value) for name, value in figures.machine.items()),
        *((f"PostgreSQL {name}", value) for name, value in figures.postgres.items()),
        ("refunds answered", f"{figures.refunds_answered:,}"),
        ("refunds stored", f"{figures.refunds_stored:,}"),
        ("answers that were not 201", f"{sum(figures.not_created.values()):,}"),
        ("the load generator alone", f"{figures.generator_alone_per_second:,.0f} requests/s"),
        ("its share of a refund's CPU time", f"{100 * figures.generator_share:.0f} %"),
        ("audit of the books afterwards", audit),
    ]
    return "\n".join(
        [
            "# Refunds over HTTP, beside a hand-written control",
            "",
            f"![Refunds a second]({RATES})",
            "",
            f"![Ratios]({RATIOS})",
            "",
            *_markdown(("ratio", "measured", "target", ""), judged),
            "",
            "The control is the same refund as one SQL function that does all its writes, without",
            "HTTP, JSON or keys, sent by `pgbench` to the same PostgreSQL in turn with the API.",
            "Figures are medians of the rounds of one run, and ratios compare within one run only.",
            "CPU times and WAL are for one refund.",
            "",
            *_markdown(report.COLUMNS, report.table(found)),
            "",
            *_markdown(("of the run", ""), around),
            "",
        ]
    )


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; figures stand right."""
    right = [all(row[n][:1].isdigit() for row in rows) for n in range(len(columns))]
    rule = "|".join("---:" if one else "---" for one in right)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (columns, *rows)]
    return [f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])]

"""Draws docs/reference/transitions.md from the transition tables and the precedence of facts.

`python -m tests.claims.transitions` writes it; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clawback.claims.moves import KINDS, TABLES, Move
from clawback.claims.standing import OUTCOME, PRECEDENCE

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "transitions.md"
TITLES: Final = {
    "user_dispute": "A refund (`user_dispute`)",
    "inquiry": "An inquiry",
    "chargeback": "A chargeback",
    "med": "A PIX MED",
}
HEAD: Final = """# Transitions of a claim

Drawn from `clawback/claims/moves.py`, which is what the code runs on; change that, then run
`python -m tests.claims.transitions`. Every move there is stands here, by kind. A move posts its
entries, raises the claim's version by one and tells one event. Row numbers are used in code,
tests and events alike. Row 4 changes a claim without changing its status: waiting reason, approval,
payer details, evidence, deadline, excess, review.
"""
FACTS: Final = """
## How facts are folded

What a network says of a case forms a set: order and repetition mean nothing. The later round is
stronger; within a round what stands further to the right. The claim is brought to where the
strongest word puts it, by the moves above, several in one commit if some were never told. Of two
grants in one round the larger holds. A word that a kind does not have, another currency, or
another amount than the case demands (less is allowed with `lost`) puts the claim in review and
posts nothing, until something as strong is said. A verdict on a case whose demand is not known
yet waits in the set, as does all that is said of a payment before its capture is known. What a
claim ends as never depends on the order; in which account the merchant's own money lies meanwhile
may: `pending`, `available`, or `available` that has paid debt down.

| kind | the weakest first |
|---|---|
"""
REFUNDS: Final = """
Of a refund the latest proof that its money left (`settled`) or came back (`returned`) holds; at one
moment, that it came back. A refusal (`declined`) is weaker than either, and `accepted`, `unknown`,
`unavailable` and `absent` say only that nobody knows yet.

| said | the claim becomes | resolution |
|---|---|---|
"""


def _listed(moves: tuple[Move, ...]) -> Iterator[str]:
    yield "| # | from → to | movement | entries | event | by |"
    yield "|---|---|---|---|---|---|"
    for one in moves:
        if one.number == 4:
            continue
        entries = " · ".join(f"`{name}`" for name in one.entries) or "none"
        yield (
            f"| {one.number} | {one.source or '(none)'} → {one.target} | {one.movement or ''} "
            f"| {entries} | `{one.event}` | {', '.join(one.by)} |"
        )


def _drawn(moves: tuple[Move, ...]) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    for one in moves:
        if one.number != 4:
            label = f"{one.number} {one.movement or ''}".strip()
            yield f"    {one.source or '[*]'} --> {one.target}: {label}"
    yield "```"


def render() -> str:
    """The page."""
    lines = [HEAD]
    for kind in KINDS:
        lines += [f"## {TITLES[kind]}", "", *_drawn(TABLES[kind]), ""]
        lines += [*_listed(TABLES[kind]), ""]
    page = "\n".join(lines).rstrip() + "\n" + FACTS
    for kind, words in PRECEDENCE.items():
        page += f"| {kind} | {' · '.join(f'`{word}`' for word in words)} |\n"
    page += REFUNDS
    for word, (status, resolution) in OUTCOME.items():
        page += f"| `{word}` | {status} | {resolution or ''} |\n"
    return page


if __name__ == "__main__":
    PAGE.write_text(render())

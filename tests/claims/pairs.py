"""Every pair of a refund and a network's claim on one payment: who gets what, and what is lost.

The table is data, so that the same cells can be tried on the model and over HTTP; the page
docs/reference/pairs.md is drawn from it (`python -m tests.claims.pairs`; a test compares). The
payment is of 50 USD, 861.18 MXN, the refund of 100 MXN, the case over all of it or, if an inquiry,
over what a refund of 100 MXN covers. The dispute fee is left out.
"""

from pathlib import Path
from typing import Final

import msgspec

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "pairs.md"

REFUNDS: Final = ("waiting", "frozen", "approved", "at the provider", "released")
"""waiting: for funds. frozen: whole, not decided. approved: not sent. at the provider: sent."""
CASES: Final = ("inquiry", "chargeback", "med")
TURNS: Final = ("opened", "won", "lost")


class Pair(msgspec.Struct, frozen=True):
    """What comes of a pair. Local minor units; `loss` in 1/10,000 USD.

    `refund` and `case` say status and resolution; `later` is the refund's end once the provider
    has done what it was asked.
    """

    refund: str
    case: str
    remaining: int
    charged_back: int
    loss: bool
    later: str


UNSENT: Final = ("waiting", "frozen", "approved")
WHOLE: Final = 86_118
PART: Final = 10_000
_STANDS: Final = {
    "waiting": "pending",
    "frozen": "pending",
    "approved": "approved",
    "at the provider": "approved",
    "released": "released refunded",
}


def _forced(refund: str, turn: str, whole: int) -> Pair:
    """A chargeback or MED over the whole payment."""
    is_unsent = refund in UNSENT
    end = "canceled superseded_by_dispute" if is_unsent else _STANDS[refund]
    later = end if is_unsent else "released refunded"
    case = {"opened": "pending", "won": "rejected won", "lost": "released lost"}[turn]
    is_gone = turn != "won"
    taken = (whole if is_gone else 0) + (0 if is_unsent else PART)
    return Pair(
        refund=end,
        case=case,
        remaining=max(0, whole - taken),
        charged_back=whole if turn == "lost" else 0,
        loss=turn == "lost" and not is_unsent,
        later=later,
    )


def _inquiry(refund: str, turn: str, whole: int) -> Pair | None:
    """An inquiry over the refund's amount: it freezes, counts nowhere, and pays nothing."""
    if turn == "lost":
        return None
    return Pair(
        refund=_STANDS[refund],
        case="pending" if turn == "opened" else "rejected won",
        remaining=whole - PART,
        charged_back=0,
        loss=False,
        later="released refunded",
    )


def pair(refund: str, kind: str, turn: str, whole: int) -> Pair | None:
    """A cell of the table, for a payment of so many minor units. None: there is no such turn."""
    return (_inquiry if kind == "inquiry" else _forced)(refund, turn, whole)


PAIRS: Final[dict[tuple[str, str, str], Pair | None]] = {
    (refund, kind, turn): pair(refund, kind, turn, WHOLE)
    for refund in REFUNDS
    for kind in CASES
    for turn in TURNS
}
"""None: there is no such turn."""

HEAD: Final = """# Refund and dispute on one payment

Drawn from `tests/claims/pairs.py`, whose cells are tried one by one with the books checked after
each (`python -m tests.claims.pairs` writes this page). A payment of 861.18 MXN, 50 USD; a refund
of 100 MXN that stands as the row says when the network's case comes; the case is over the whole
payment, an inquiry over 100 MXN. Nobody is paid twice while it can be helped: what has not been
sent is canceled when money is taken by force, and what has been sent goes on, the overlap being
excess above the cap, which is the merchant's loss if the case is lost. An inquiry takes nothing
and ends by a refund that covers it, by its network, or by becoming a chargeback.

"""


def render() -> str:
    """The page."""
    page = HEAD
    for kind in CASES:
        page += f"## {kind}\n\n"
        page += "| refund when the case comes | turn | refund | case | remaining | excess is loss "
        page += "| refund later |\n|---|---|---|---|---|---|---|\n"
        for refund in REFUNDS:
            for turn in TURNS:
                pair = PAIRS[refund, kind, turn]
                if pair is None:
                    page += f"| {refund} | {turn} | no such turn: an inquiry pays nothing ||||||\n"
                    continue
                page += (
                    f"| {refund} | {turn} | {pair.refund} | {pair.case} "
                    f"| {pair.remaining / 100:.2f} | {'yes' if pair.loss else 'no'} "
                    f"| {pair.later} |\n"
                )
        page += "\n"
    return page.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())

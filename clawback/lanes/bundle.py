"""Many commands decided as one: in turn, on what those before them left, then kept or dropped.

A bundle has a lane's batch to itself. Its parts are decided by the same steps as commands of their
own, with the loop given back every few of them; its own decide comes last and looks at what came
of them. Nothing is written before that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from clawback.errors import Refused
from clawback.lanes.command import Bundle
from clawback.lanes.queue import Outcome, Work
from clawback.lanes.state import BookState
from clawback.route import Kept

PAUSE: Final = 16
"""Parts that are decided before others get a turn on the loop."""

Step = Callable[[Work], Awaitable[Outcome]]


async def decide_bundle(
    work: Work, state: BookState, decide: Step, follow_up: list[Work]
) -> Outcome:
    """What comes of the bundle; a refused or dry one leaves the state as it was."""
    bundle = work.command
    assert isinstance(bundle, Bundle), bundle
    mark, followed = state.mark(), len(follow_up)
    outcomes: list[Refused | msgspec.Struct | None] = []
    for place, part in enumerate(bundle.parts):
        if place % PAUSE == 0:
            await asyncio.sleep(0)
        made: Kept[msgspec.Struct] = Kept()
        outcome = await decide(Work(work.book, part, made, None, None))
        outcomes.append(outcome if isinstance(outcome, Refused) else made.value)
    if bundle.is_dry:
        state.back(mark)
        del follow_up[followed:]
    closing = msgspec.structs.replace(bundle, outcomes=tuple(outcomes))
    outcome = await decide(Work(work.book, closing, work.render, work.key, None))
    if isinstance(outcome, Refused) and not bundle.is_dry:
        state.back(mark)
        del follow_up[followed:]
    return outcome

"""Fault mixes: of each hundred calls of an operation so many go wrong, in an order of a seed.

A mix strikes whatever no script is there for. It is a deck of a hundred cards, shuffled anew by
seed and round: the shares are exact in each round, however few calls there are, and the order of
the faults can be played again. Mixes are stored with how many cards were drawn, so a restart goes
on where it was; what fired is counted and can be read back.
"""

import random
from collections import Counter
from typing import Final, cast

import msgspec

from clawback.sandbox.protocol import CALL_FAULTS, NOTICE_FAULTS, AskMix, Mix
from clawback.sandbox.record import Record

CARDS: Final = 100
LONGEST_HOLD_SECONDS: Final = 60


class Mixes:
    """The mixes of all books, as they stand in the record."""

    def __init__(self, record: Record) -> None:
        """Load what the record holds."""
        self._record = record
        self._mixes: dict[int, Mix] = {}
        for number, row in record.many("mixes"):
            self._mixes[cast(int, number)] = msgspec.json.decode(cast(str, row), type=Mix)

    def add(self, asked: AskMix) -> Mix | None:
        """Store a mix; None if it names no fault, or shares that are none of a hundred."""
        known = NOTICE_FAULTS if asked.operation == "webhook" else CALL_FAULTS
        shares = asked.percent.values()
        if not set(asked.percent) <= set(known) or min(shares, default=0) < 1:
            return None
        if sum(shares) > CARDS or not 0 <= asked.hold_seconds <= LONGEST_HOLD_SECONDS:
            return None
        number = 1 + max(self._mixes, default=0)
        mix = Mix(
            operation=asked.operation,
            percent=asked.percent,
            seed=asked.seed,
            book=asked.book,
            hold_seconds=asked.hold_seconds,
            drawn=0,
            fired={},
        )
        self._keep(number, mix)
        return mix

    def all(self) -> list[Mix]:
        """Every mix, with what it has done so far."""
        return list(self._mixes.values())

    def clear(self) -> int:
        """Forget them; how many there were."""
        count = len(self._mixes)
        for number in self._mixes:
            self._record.write("drop_mix", number)
        self._mixes = {}
        return count

    @property
    def hold_seconds(self) -> float | None:
        """How long a time-out is held while there is a mix; None: there is none."""
        return min((one.hold_seconds for one in self._mixes.values()), default=None)

    def draw(self, operation: str, *, book: str) -> str:
        """The next card of the oldest mix that fits; "none" if there is no mix."""
        for number, mix in self._mixes.items():
            if mix.operation == operation and mix.book in {None, book}:
                return self._fire(number, mix)
        return "none"

    def _fire(self, number: int, mix: Mix) -> str:
        turn, place = divmod(mix.drawn, CARDS)
        name = deck(mix, turn)[place]
        fired = Counter(mix.fired)
        fired[name] += 1
        self._keep(number, msgspec.structs.replace(mix, drawn=mix.drawn + 1, fired=dict(fired)))
        return name

    def _keep(self, number: int, mix: Mix) -> None:
        self._mixes[number] = mix
        self._record.write("keep_mix", number, msgspec.json.encode(mix).decode())


def deck(mix: Mix, turn: int) -> list[str]:
    """The hundred cards of a round, in the order of its seed."""
    cards = [name for name, share in sorted(mix.percent.items()) for _ in range(share)]
    cards += ["none"] * (CARDS - len(cards))
    draw = random.Random(f"{mix.seed}:{mix.operation}:{turn}")  # noqa: S311 - no secret: a replay
    draw.shuffle(cards)
    return cards

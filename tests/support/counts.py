"""How often a suite repeats: a hundredth in `make test`, all of it with LONG=1; and its seed."""

import os
import random
import secrets
from collections.abc import Iterable
from typing import Any, Final

import pytest

LONG: Final = os.environ.get("LONG", "") not in {"", "0"}


def count(short: int, full: int) -> int:
    """`full` with LONG=1, else `short`."""
    return full if LONG else short


def sampled(cases: Iterable[Any], *, every: int) -> list[Any]:
    """The cases of a table for `parametrize`: the first of each `every` always, others if long."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
        if number % every
        else case
        for number, case in enumerate(cases)
    ]


def seeded() -> random.Random:
    """A generator whose seed is printed; SEED=… plays a run again."""
    seed = int(os.environ.get("SEED", "") or secrets.randbelow(2**31))
    print(f"SEED={seed}")
    return random.Random(seed)

"""How often a suite repeats: a hundredth in `make test`, all of it with LONG=1; and its seed."""

import os
import random
import secrets
from typing import Final

LONG: Final = os.environ.get("LONG", "") not in {"", "0"}


def count(short: int, full: int) -> int:
    """`full` with LONG=1, else `short`."""
    return full if LONG else short


def seeded() -> random.Random:
    """A generator whose seed is printed; SEED=… plays a run again."""
    seed = int(os.environ.get("SEED", "") or secrets.randbelow(2**31))
    print(f"SEED={seed}")
    return random.Random(seed)

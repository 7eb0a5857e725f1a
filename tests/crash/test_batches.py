"""A batch of a thousand refunds while the processes that decide it are killed: all of it, or none.

Sent again under its key it is done once; what was acknowledged is there, and the books balance.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.counts import count, seeded
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import BROKEN, Reply

ROWS = 1_000
ROUNDS = count(6, 200)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree of the test's own."""
    with Tree(tmp_path_factory.mktemp("batches") / ".clawback") as made:
        yield made


def send(shop: Shop, body: object, key: str) -> Reply | None:
    """The answer, or None if none came."""
    try:
        return shop.call("POST", "/refunds/batch", body, key)
    except BROKEN:
        return None


def kill(tree: Tree, seconds: float) -> None:
    """Kill both API processes after this time."""
    time.sleep(seconds)
    for name in ("api-1", "api-2"):
        pid = tree.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


def has_lost_its_answer(tree: Tree, turn: int, seconds: float) -> bool:
    """Kill a batch under way, then check that it is whole; whether its caller heard nothing."""
    merchant = f"MCH-CRASH-{turn}"
    shop = other_shop(tree, merchant)
    tree.told("books", "set", merchant, "threshold=0")
    payments = [shop.take_payment() for _ in range(5)]
    body = {"rows": [{"transactionId": payments[n % 5], "amount": 0.01} for n in range(ROWS)]}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, shop, body, "the-batch")
        kill(tree, seconds)
        first = sending.result()
    tree.until("it answers", lambda: _answers(shop), 60)
    there = shop.count("/claims")
    assert there in {0, ROWS}, "a part of a batch"
    assert first is None or (first.status, there) == (201, ROWS), "acknowledged and gone"
    again = send(shop, body, "the-batch")
    assert again is not None
    assert again.json["totals"]["accepted"] == ROWS
    assert shop.count("/claims") == ROWS
    return first is None


@pytest.mark.long
def test_a_batch_is_whole_or_not_there(killed: Tree) -> None:
    draw = seeded()
    lost = [has_lost_its_answer(killed, turn, draw.uniform(0.01, 0.15)) for turn in range(ROUNDS)]
    killed.audit()
    print(f"{sum(lost)} of {ROUNDS} answers were lost")
    assert any(lost), "the control: it was killed while a batch was under way"


def _answers(shop: Shop) -> bool:
    try:
        return shop.call("GET", "/ping").status == 200
    except BROKEN:
        return False

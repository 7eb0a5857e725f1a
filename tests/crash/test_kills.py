"""Kill -9 under load: no acknowledged refund is lost, changed, doubled or paid twice.

API, worker, sandbox provider, a backend of PostgreSQL, its postmaster and all of it at once are
killed at random moments, and sessions are cut while the server stays. The control runs the same
with commits that are acknowledged before they are on disk; it must lose some, or the harness could
not see a loss.
"""

import json
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.crash.harness import (
    TARGETS,
    Account,
    Finding,
    Killer,
    Load,
    claims_of,
    judge,
    look,
    read_log,
)
from tests.support.counts import count, seeded
from tests.support.shops import Paid, Shop, demo_shop, other_shop, provider_record
from tests.support.trees import Tree
from tests.support.wire import BROKEN, Reply

KILLS: Final = count(2, 50)
BETWEEN: Final = count(30, 100)
TERMINAL_SECONDS: Final = 180.0
CONTROL_TRIES: Final = 5
UNSAFE: Final = '''
"""Planted in the control's processes: what a lane commits is acknowledged before it is on disk."""
import asyncpg

_connect = asyncpg.connect


async def connect(*places, **options):
    settings = options.get("server_settings") or {}
    if settings.get("synchronous_commit") == "on":
        settings["synchronous_commit"] = "off"
    return await _connect(*places, **options)


asyncpg.connect = connect
'''

pytestmark = pytest.mark.timeout(3_600)


def test_nothing_that_was_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    draw = seeded()
    tree = Tree(tmp_path / "data", processes=2)
    try:
        shops = [demo_shop(tree), other_shop(tree, "MCH-KILLS")]
        before = set(provider_record(tree))
        load = Load(tmp_path / "load", tree, shops, callers=8, pauseSeconds=0.08, stubborn=True)
        killer = Killer(tree, draw)
        kill_under_load(killer, load, draw)
        account = load.stop()
        found = look(tree, account)
        for shop in shops:
            shop.wait_until_settled(TERMINAL_SECONDS)
        record = [one for one in provider_record(tree) if one not in before]
        wrong = judge(account, found, claims_of(tree, account), record)
        tree.audit()
    finally:
        tree.close()
    report(account, killer)
    assert wrong == []
    assert killer.kills.total() == KILLS
    assert killer.cuts >= KILLS
    assert len(killer.kills) == min(KILLS, len(set(TARGETS))), killer.kills
    assert account.doubts.total() > 0, "no request was disturbed by any kill"
    assert "500 internal_error" not in account.doubts, "a database that is away is no fault of ours"


def kill_under_load(killer: Killer, load: Load, draw: random.Random) -> None:
    """Kill part after part; most are given time to come back, some are not."""
    load.wait_for(BETWEEN)
    for target in killer.targets(KILLS):
        killer.cut()
        load.wait_for(draw.randrange(1, BETWEEN))
        killer.kill(target)
        if draw.random() < 0.75:
            load.wait_for(draw.randrange(1, BETWEEN))
        time.sleep(draw.random() / 3)
    load.wait_for(BETWEEN)


def report(account: Account, killer: Killer) -> None:
    """The counts, for whoever reads a long run."""
    print(
        f"kills: {dict(killer.kills)}; sessions cut: {killer.cuts}; refunds asked"
        f" {len(account.jobs)}, acknowledged {len(account.promised)};"
        f" disturbed: {dict(account.doubts)}"
    )


@pytest.mark.long
def test_the_same_harness_sees_the_loss_when_commits_are_not_on_disk(tmp_path: Path) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(UNSAFE)
    unsafe = {"CLAWBACK_ALLOW_UNSAFE_DATABASE": "1"}
    tree = Tree(tmp_path / "data", more=unsafe, paths=(tmp_path / "planted",))
    try:
        shop, killer = demo_shop(tree), Killer(tree, seeded())
        wrong, account = list[str](), read_log([])
        while killer.kills.total() < CONTROL_TRIES and not wrong:
            folder = tmp_path / f"load-{killer.kills.total()}"
            load = Load(folder, tree, [shop], callers=8, pauseSeconds=0, stubborn=False)
            load.wait_for(200)
            killer.kill("whole server")
            account = load.stop()
            tree.until("the API answers again", lambda: answers(shop), 60)
            found = look(tree, account)
            wrong = [text for text in judge(account, found, {}, []) if "lost: " in text]
    finally:
        tree.close()
    report(account, killer)
    print(f"acknowledged refunds that are gone: {len(wrong)}, the first: {wrong[:1]}")
    assert wrong, f"{CONTROL_TRIES} kills lost nothing: not provoked here, so not shown"


def answers(shop: Shop) -> bool:
    """Whether the API reads again."""
    try:
        return shop.call("GET", "/me").status == 200
    except BROKEN:
        return False


def an_account() -> tuple[Account, dict[str, Finding], dict[str, list[dict[str, object]]]]:
    """One refund that went well, in all accounts."""
    claim = {
        "refundId": "CLM-1", "transactionId": "TXN-MP331BTF-R308", "amount": 0.01,
        "amountUsd": 0.0006, "currency": "MXN", "createdAt": "now", "reason": "a",
        "status": "released",
    }  # fmt: skip
    body = json.dumps(claim)
    lines = [json.dumps({"intent": "a", "key": "a"}), json.dumps({"ack": "a", "body": body}),
             json.dumps({"doubt": "a", "why": "cut"})]  # fmt: skip
    replay = Reply(201, (("idempotent-replayed", "true"),), body.encode())
    found = {"a": Finding(replay, Reply(200, (), body.encode()))}
    return read_log(lines), found, {"TXN-MP331BTF-R308": [claim]}


def test_the_judge_accepts_a_good_run_and_names_each_planted_fault() -> None:
    account, found, claims = an_account()
    paid = Paid("CLM1", "TXNMP331BTFR3080001", 1, 1)
    assert judge(account, found, claims, [paid]) == []
    good, rows = found["a"], claims["TXN-MP331BTF-R308"]
    missing = {"a": good._replace(claim=Reply(404, (), b"{}"))}
    assert "lost: the claim CLM-1" in judge(account, missing, claims, [paid])[0]
    other = {"a": good._replace(replay=good.replay._replace(body=b"{}"))}
    assert "replayed 201" in judge(account, other, claims, [paid])[0]
    first = {"a": good._replace(replay=good.replay._replace(headers=()))}
    assert judge(account, first, claims, [paid]) == ["a: the replay is a first answer"]
    twice = {"TXN-MP331BTF-R308": [*rows, *rows]}
    assert "a: 2 claims" in judge(account, found, twice, [paid])
    assert "a: 0 claims" in judge(account, found, {}, [])
    assert judge(account, found, claims, [paid, paid]) == ["a: released, and paid 2 times"]
    assert judge(account, found, claims, []) == ["a: released, and paid 0 times"]
    stray = Paid("CLM2", "TXNMP331BTFR3080001", 2, 1)
    assert "for nothing" in judge(account, found, claims, [paid, stray])[0]
    held = {"TXN-MP331BTF-R308": [{**rows[0], "status": "approved"}]}
    assert "a: still approved" in judge(account, found, held, [paid])
    strange = {"TXN-MP331BTF-R308": [*rows, {**rows[0], "reason": "b", "status": "failed"}]}
    assert "b: a claim that nobody asked for" in judge(account, found, strange, [paid])

"""Kills processes of a tree under a load of refunds, and judges what is left afterwards.

The judge sees three accounts that were kept apart: what the client was promised (its own log, on
disk), what the merchant can read now (claims, replays), and what the provider has paid (its own
record). Kills are aimed at a part, checked to have ended the process, and counted.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.crash.refunder import request_of
from tests.processes import wait_gone
from tests.support.shops import Paid, Shop
from tests.support.trees import ROOT, Tree
from tests.support.wire import API, Line, Reply, bearer

TERMINAL: Final = frozenset({"released", "failed", "canceled", "rejected", "reversed"})
TARGETS: Final = ("worker", "api", "postgres", "backend", "sandbox", "api", "whole server")
PROGRESS_SECONDS: Final = 60.0


class Account(NamedTuple):
    """The client's log: its jobs, the answers it holds by key, and what else it met."""

    jobs: dict[str, dict[str, Any]]
    promised: dict[str, bytes]
    doubts: Counter[str]
    refused: dict[str, str]


class Load:
    """The client process."""

    def __init__(self, folder: Path, tree: Tree, shops: Sequence[Shop], **more: object) -> None:
        """Take payments and start asking for refunds of them. `more`: see `refunder.jobs_of`."""
        host, port = tree.address
        payments = [
            {"id": shop.take_payment(2_000), "secret": shop.key} for _ in range(6) for shop in shops
        ]
        spec = {"host": host, "port": port, "payments": payments, "name": folder.name, **more}
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps(spec))
        self.log = folder / "log.jsonl"
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.refunder", str(folder / "spec.json"),
             str(self.log)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )  # fmt: skip

    def acks(self) -> int:
        """How many answers are in the log."""
        return self.log.read_bytes().count(b'{"ack":')

    def wait_for(self, more: int) -> None:
        """Until so many more refunds were answered; it must go on, whatever was killed."""
        wanted, end = self.acks() + more, time.monotonic() + PROGRESS_SECONDS
        while self.acks() < wanted:
            assert self._process.poll() is None, "the client has ended: it lacks jobs, or died"
            assert time.monotonic() < end, f"no progress for {PROGRESS_SECONDS} s"
            time.sleep(0.02)

    def stop(self) -> Account:
        """Let it finish what it has begun; what it knows then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(120)
        assert code == 0, f"the client ended with {code}"
        return read_log(self.log.read_text().splitlines())


def read_log(lines: Sequence[str]) -> Account:
    """The client's log, line by line."""
    account = Account({}, {}, Counter(), {})
    for line in lines:
        found = json.loads(line)
        if "intent" in found:
            account.jobs[found["intent"]] = found
        elif "ack" in found:
            account.promised[found["ack"]] = found["body"].encode()
        elif "refused" in found:
            account.refused[found["refused"]] = found["body"]
        else:
            account.doubts[found["why"]] += 1
    return account


class Killer:
    """Sends -9 to parts of a tree, in an order drawn beforehand so that each has its turn."""

    def __init__(self, tree: Tree, draw: random.Random) -> None:
        self._tree = tree
        self._draw = draw
        self._deck: list[str] = []
        self.kills: Counter[str] = Counter()
        self.cuts = 0

    def targets(self, many: int) -> Iterator[str]:
        """So many targets; whole rounds of all of them, each round shuffled, the worker first."""
        for number in range(many):
            if not self._deck:
                self._deck = list(TARGETS)
                if number:
                    self._draw.shuffle(self._deck)
            yield self._deck.pop(0)

    def kill(self, target: str) -> None:
        """Kill it. Raises: AssertionError if nothing died by it."""
        end = time.monotonic() + PROGRESS_SECONDS
        while not (victims := self._victims(target)):
            assert time.monotonic() < end, f"there is no {target} to kill"
            time.sleep(0.05)
        fell = [pid for pid in victims if _ended(pid, signal.SIGKILL)]
        assert fell, f"{target} had ended by itself"
        assert wait_gone(fell, 10) == [], f"{target} survived"
        self.kills[target] += 1

    def cut(self) -> None:
        """End some sessions of the database in order, as a failover does: nothing else falls."""
        for pid in self._tree.backends():
            if self._draw.random() < 0.5 and _ended(pid, signal.SIGTERM):
                self.cuts += 1

    def _victims(self, target: str) -> list[int]:
        if target == "backend":
            backends = self._tree.backends()
            return [self._draw.choice(backends)] if backends else []
        if target == "whole server":
            return self._tree.server_processes()
        name = self._draw.choice(("api-1", "api-2")) if target == "api" else target
        pid = self._tree.pid(name)
        return [] if pid is None else [pid]


def _ended(pid: int, number: signal.Signals) -> bool:
    """Send the signal; False if the process was not there any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


class Finding(NamedTuple):
    """What can be read of one job afterwards: the same request again, and the claim by its id."""

    replay: Reply
    claim: Reply | None


def look(tree: Tree, account: Account) -> dict[str, Finding]:
    """Ask for every job again and read every promised claim, over a few connections."""
    keys = sorted(account.jobs)
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda part: _look_at(tree, account, part), [keys[n::4] for n in range(4)])
        return {key: found for part in parts for key, found in part.items()}


def _look_at(tree: Tree, account: Account, keys: Sequence[str]) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    with Line(tree.address) as line:
        for key in keys:
            job, claim = account.jobs[key], None
            if key in account.promised:
                name = json.loads(account.promised[key])["refundId"]
                path = f"{API}/claims/{name}"
                claim = line.call("GET", path, bearer(job["secret"]), None)
            line.send(request_of(job))
            found[key] = Finding(line.read(), claim)
    return found


def claims_of(tree: Tree, account: Account) -> dict[str, list[dict[str, Any]]]:
    """All claims on the load's payments."""
    secrets = {job["payment"]: job["secret"] for job in account.jobs.values()}
    return {name: Shop(tree.address, key).claims_of(name) for name, key in secrets.items()}


def judge(
    account: Account,
    found: Mapping[str, Finding],
    claims: Mapping[str, Sequence[dict[str, Any]]],
    record: Sequence[Paid],
) -> list[str]:
    """Everything that is wrong. `claims`: all claims by payment; empty if all is well."""
    wrong = [f"{key}: refused: {body}" for key, body in account.refused.items()]
    for key, body in account.promised.items():
        wrong += [f"{key}: {text}" for text in _broken_promise(body, found[key])]
    for key, one in found.items():
        if key not in account.promised and one.replay.status != 201:
            wrong.append(f"{key}: never answered, and now {one.replay}")
    by_reason = Counter(one["reason"] for rows in claims.values() for one in rows)
    wrong += [f"{key}: {by_reason[key]} claims" for key in account.jobs if by_reason[key] != 1]
    wrong += [f"{key}: a claim that nobody asked for" for key in by_reason.keys() - account.jobs]
    wrong += _wrongly_paid([one for rows in claims.values() for one in rows], record)
    return wrong


def _broken_promise(body: bytes, found: Finding) -> Iterator[str]:
    told, replay, claim = json.loads(body), found.replay, found.claim
    if (replay.status, replay.body) != (201, body):
        yield f"promised {body!r}, replayed {replay.status} {replay.body!r}"
    elif replay.header("idempotent-replayed") != "true":
        yield "the replay is a first answer"
    if claim is None or claim.status != 200:
        yield f"lost: the claim {told['refundId']} is not there: {claim}"
        return
    for name in ("refundId", "transactionId", "amount", "amountUsd", "currency", "createdAt"):
        if claim.json[name] != told[name]:
            yield f"{name} was {told[name]!r}, is {claim.json[name]!r}"


def _wrongly_paid(claims: Sequence[dict[str, Any]], record: Sequence[Paid]) -> Iterator[str]:
    """Claims against the provider's record: no two refunds of a payment have one amount."""
    paid: Counter[tuple[str, int]] = Counter()
    for one in record:
        paid[one.charge[:15], one.amount_minor] += one.effects
    for claim in claims:
        place = claim["transactionId"].replace("-", ""), round(claim["amount"] * 100)
        times = paid.pop(place, 0)
        if claim["status"] not in TERMINAL:
            yield f"{claim['reason']}: still {claim['status']}"
        if times != (claim["status"] == "released"):
            yield f"{claim['reason']}: {claim['status']}, and paid {times} times"
    yield from (
        f"paid {times} times for nothing: {place}" for place, times in paid.items() if times
    )

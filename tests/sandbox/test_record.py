"""The provider's record outlives its process, belongs to one process, and is committed first."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path

from clawback.providers import port
from tests.sandbox.peer import SECRET, Caller, Peer


async def test_kill_9_forgets_nothing_that_was_answered(own_peer: Peer) -> None:
    peer = own_peer
    caller = Caller(peer.provider())
    charge = await caller.paid("spei", amount_minor=1_000_000)
    answered: list[port.RefundRequest] = []

    async def refund_until_cut() -> None:
        while True:
            request = caller.refund_request(charge, 100)
            if not isinstance(await caller.provider.refund(request), port.Accepted):
                return
            answered.append(request)

    for _ in range(3):
        callers = [asyncio.create_task(refund_until_cut()) for _ in range(8)]
        await asyncio.sleep(0.15)
        peer.kill()
        await asyncio.gather(*callers)
        peer.start()
    assert len(answered) > 50
    for start in range(0, len(answered), 100):
        about = [caller.about(one) for one in answered[start : start + 100]]
        found = await caller.provider.lookup_refunds(about)
        assert all(isinstance(one, port.Accepted | port.Settled) for one in found)
    await caller.provider.close()
    assert peer.stop() == 0
    with sqlite3.connect(peer.folder / "record.sqlite") as record:
        query = (
            "SELECT (SELECT refunded_minor FROM charges),"
            " (SELECT sum(amount_minor * effects) FROM refunds)"
        )
        left, told = record.execute(query).fetchone()
    assert left == told >= 100 * len(answered)


async def test_scripts_and_clocks_outlive_the_process(own_peer: Peer) -> None:
    peer = own_peer
    caller = Caller(peer.provider())
    charge = await caller.paid()
    await caller.fault("refund", "none", "decline")
    await caller.provider.refund(caller.refund_request(charge))
    peer.kill()
    peer.start()
    caller = _same_book(caller, peer)
    outcome = await caller.provider.refund(caller.refund_request(charge))
    assert isinstance(outcome, port.Declined)
    assert await caller.fired() == {"none": 1, "decline": 1}
    await caller.provider.close()


def _same_book(caller: Caller, peer: Peer) -> Caller:
    again = Caller(peer.provider())
    again.book = caller.book
    return again


def test_a_second_process_on_one_record_is_refused(peer: Peer) -> None:
    command = peer.command()
    command[command.index("--port") + 1] = "0"
    second = subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert second.returncode == 2
    assert b"in use" in second.stderr


def test_without_a_secret_it_does_not_start(tmp_path: Path) -> None:
    peer = Peer(tmp_path)
    (tmp_path / "secret").write_text("\n")
    ended = subprocess.run(peer.command(), capture_output=True, timeout=10, check=False)
    assert ended.returncode == 2
    assert b"holds no secret" in ended.stderr


def test_secrets_are_not_in_its_arguments(peer: Peer) -> None:
    assert SECRET not in " ".join(peer.command())

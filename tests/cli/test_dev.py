"""`clawback dev`: the example, the file it writes, kills, stops and second starts."""

import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.cli.trees import Tree, clawback
from tests.processes import is_alive, wait_gone

pytestmark = pytest.mark.timeout(180)


def test_once_plays_the_refund_pages_example_and_ends_in_0(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = clawback("dev", "--once", "--port", "0", "--data", str(tmp_path / "a b"), cwd=tmp_path)
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for expected in (
        "amountLocal 861.18",
        "amountUsd 0.5806",
        "status pending",
        "reason requested_by_customer",
        "freeze pending USD -0.5806 49.4194",
        "freeze frozen USD 0.5806 0.5806",
        "resolve_approved frozen USD -0.5806 0",
        "resolve_approved payable USD 0.5806 0.5806",
        "release payable USD -0.5806 0",
        "release provider:sandbox MXN 10 -851.18",
        "netBalance 49.4194",
        "ok hash_chain",
        "clean: the books balance",
    ):
        assert expected.split() in lines, f"{expected}\n{done.stdout}"
    assert took < 60
    assert not (tmp_path / "a b" / "dev.json").exists()


def test_dev_json_is_complete_and_for_its_owner_alone(tree: Tree) -> None:
    dev = tree.dev
    assert tree.is_ready()
    assert stat.S_IMODE((tree.data / "dev.json").stat().st_mode) == 0o600
    ping = tree.call("GET", "/api/v1/ping")
    assert (ping["mode"], ping["merchant"]) == ("test", {"id": "MCH-NORTE", "name": "Tienda Norte"})
    assert tree.call("GET", "/api/v1/ping", key=dev["publishableKey"])["keyKind"] == "publishable"
    assert tree.call("GET", "/api/v1/ping", key=dev["liveSecretKey"])["mode"] == "live"
    assert set(dev["pids"]) >= {"postgres", "sandbox", "worker", "api-1", "api-2"}
    assert all(is_alive(pid) for pid in dev["pids"].values())


def test_keys_stand_nowhere_else_in_the_directory(tree: Tree) -> None:
    wanted = [tree.dev[name].encode() for name in ("secretKey", "liveSecretKey", "publishableKey")]
    tree.refund()
    logs = [*(tree.data / "logs").iterdir(), tree.data / "postgres.log", tree.said]
    found = [(log.name, key) for log in logs for key in wanted if key in log.read_bytes()]
    assert found == []


@pytest.mark.parametrize(
    "parts",
    [
        ("api-1", "worker", "sandbox"),
        pytest.param(("postgres",), marks=pytest.mark.long),
        pytest.param(("postgres-keeper",), marks=pytest.mark.long),
    ],
    ids="+".join,
)
def test_parts_that_are_killed_come_back_and_refunds_go_on(
    tree: Tree, parts: tuple[str, ...]
) -> None:
    killed = {part: tree.kill(part) for part in parts}
    for part, pid in killed.items():
        tree.wait_for_another(part, pid)
    tree.refund()
    assert clawback("audit", "--data", str(tree.data)).returncode == 0


def test_a_second_start_on_a_directory_in_use_is_refused(tree: Tree) -> None:
    done = clawback("dev", "--port", "0", "--data", str(tree.data))
    assert done.returncode == 1
    assert f"in use by process {tree.process.pid}" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree.is_ready()


@pytest.mark.long
def test_a_port_in_use_is_refused(tree: Tree, tmp_path: Path) -> None:
    port = tree.dev["url"].rsplit(":", 1)[1]
    done = clawback("dev", "--port", port, "--data", str(tmp_path / "other"))
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = str(taken.getsockname()[1])
        done = clawback("dev", "--port", busy, "--data", str(tmp_path / "other"))
    assert f"port {busy} cannot be used" in done.stderr


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = clawback("dev", "--port", "0", "--data", str(tmp_path / "file" / "inside"))
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_sigterm_stops_the_whole_tree_and_the_next_start_is_quick(tmp_path: Path) -> None:
    first = Tree(tmp_path / "data")
    try:
        keys = first.wait().dev
        claim = first.refund()
        assert first.stop(signal.SIGTERM) == 0
    finally:
        first.close()
    assert not (tmp_path / "data" / "dev.json").exists()
    begun = time.monotonic()
    second = Tree(tmp_path / "data", "--rate-limit", "3")
    try:
        dev = second.wait().dev
        took = time.monotonic() - begun
        for name in ("secretKey", "publishableKey", "liveSecretKey"):
            assert dev[name] == keys[name]
        answers = [second.call("GET", "/api/v1/ping") for _ in range(20)]
        codes = {answer.get("error", {}).get("code") for answer in answers}
        assert "rate_limited" in codes
        live = dev["liveSecretKey"]
        assert (
            second.call("GET", f"/api/v1/claims/{claim}", key=live)["error"]["code"] == "not_found"
        )
        assert second.stop(signal.SIGINT) == 0
    finally:
        second.close()
    assert took < 15


@pytest.mark.long
def test_a_killed_tree_leaves_no_process_and_can_be_started_again(tmp_path: Path) -> None:
    first = Tree(tmp_path / "data")
    try:
        keys = first.wait().dev
        claim = first.refund()
        processes = first.processes()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert wait_gone(processes[1:], 20) == []
    finally:
        first.close()
    (tmp_path / "data" / "dev.json").rename(tmp_path / "data" / "dev.stopped.json")
    second = Tree(tmp_path / "data")
    try:
        assert second.wait().dev["secretKey"] == keys["secretKey"]
        assert second.call("GET", f"/api/v1/claims/{claim}")["status"] == "released"
    finally:
        second.close()

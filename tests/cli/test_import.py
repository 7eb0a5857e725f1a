"""`clawback refunds import`: killed at any moment it goes on, and refunds nothing twice."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clawback import clock
from tests.support.counts import count, seeded
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def shop(served: Tree) -> Shop:
    """A merchant of the test's own, whose refunds stay pending so that they can be counted."""
    merchant = f"MCH-{time.monotonic_ns()}"
    made = other_shop(served, merchant)
    served.told("books", "set", merchant, "threshold=0")
    return made


def command(shop: Shop, file: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "clawback", "refunds", "import", str(file), "--json", *more]


def environment(served: Tree, shop: Shop) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name[:9] != "CLAWBACK_"}
    return kept | {"CLAWBACK_URL": served.dev["url"], "CLAWBACK_KEY": shop.key}


def run(served: Tree, shop: Shop, file: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(shop, file, *more),
        env=environment(served, shop),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def result(file: Path, ending: str = "result") -> list[dict[str, str]]:
    with file.with_name(f"{file.name}.{ending}.csv").open(newline="", encoding="utf-8") as read:
        return list(csv.DictReader(read))


def written(folder: Path, lines: list[str], head: str = "transactionId,amount,reference") -> Path:
    file = folder / "refunds.csv"
    file.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return file


def test_a_file_of_many_pieces(served: Tree, shop: Shop, tmp_path: Path) -> None:
    payments = [shop.take_payment() for _ in range(5)]
    lines = [f"{payments[n % 5]},0.01,r-{n}" for n in range(count(230, 25_000))]
    lines.insert(7, f"{payments[0]},90000,too-much")
    lines.insert(9, "TXN-MP331BTF-R308,1,=SUM(A1)")
    file = written(tmp_path, lines)
    summary = told(run(served, shop, file, "--piece", str(count(100, 1000))))
    assert (summary["rows"], summary["refused"]) == (len(lines), 2)
    assert summary["accepted"] == shop.count("/claims") == len(lines) - 2
    assert summary["sums"] == {"MXN": pytest.approx((len(lines) - 2) / 100)}
    rows = result(file)
    assert [row["line"] for row in rows] == [str(n) for n in range(2, len(lines) + 2)]
    assert rows[7]["error"] == "refund_exceeds_remaining"
    assert (rows[9]["error"], rows[9]["reference"]) == ("not_found", "'=SUM(A1)")
    assert rows[0]["refundId"].startswith("CLM-")
    again = run(served, shop, file, "--piece", str(count(100, 1000)))
    assert again.returncode == 1
    assert "is imported already" in again.stderr


@pytest.mark.long
def test_killed_at_any_moment_it_goes_on_and_doubles_nothing(
    served: Tree, shop: Shop, tmp_path: Path
) -> None:
    draw = seeded()
    payments = [shop.take_payment() for _ in range(10)]
    lines = [f"{payments[n % 10]},0.01,r-{n}" for n in range(400)]
    file = written(tmp_path, lines)
    kills = _import_killing(served, shop, file, draw)
    assert kills >= 3, "the control: it was killed half-way"
    assert shop.count("/claims") == 400
    rows = result(file)
    assert [row["reference"] for row in rows] == [f"r-{n}" for n in range(400)]
    assert len({row["refundId"] for row in rows}) == 400
    assert {row["outcome"] for row in rows} == {"created"}
    for payment in payments:
        assert shop.get(f"/payments/{payment}")["amountClaimed"] == 0.4


def _import_killing(served: Tree, shop: Shop, file: Path, draw: random.Random) -> int:
    """Run it again and again, killed at a random moment, until it ends by itself; how often."""
    kills = 0
    while True:
        arguments = command(shop, file, "--piece", "20", "--pause", "0.2")
        process = subprocess.Popen(
            arguments, env=environment(served, shop), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            _, said = process.communicate(timeout=0.4 + draw.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        ended = b"is imported already" in said  # killed after its last word
        assert process.returncode == 0 or (kills and ended), said
        return kills


def test_without_the_state_the_same_file_is_the_same_request(
    served: Tree, shop: Shop, tmp_path: Path
) -> None:
    """The keys come from the file: a lost state cannot double what is still under its key."""
    file = written(tmp_path, [f"{shop.take_payment()},1,a", f"{shop.take_payment()},2,b"])
    told(run(served, shop, file))
    (tmp_path / "refunds.csv.import.json").unlink()
    assert told(run(served, shop, file))["accepted"] == 2
    assert shop.count("/claims") == 2


def test_a_changed_file_another_book_and_another_cut_are_refused(
    served: Tree, shop: Shop, tmp_path: Path
) -> None:
    payment = shop.take_payment()
    file = written(tmp_path, [f"{payment},1,a"])
    told(run(served, shop, file))
    state = tmp_path / "refunds.csv.import.json"
    for amount, more, text in ((2, (), "another file"), (1, ("--piece", "7"), "another --piece")):
        written(tmp_path, [f"{payment},{amount},a"])
        refused = run(served, shop, file, *more)
        assert (refused.returncode, text in refused.stderr) == (1, True), refused.stderr
    stranger = other_shop(served, f"MCH-{time.monotonic_ns()}")
    refused = run(served, stranger, file)
    assert "another book" in refused.stderr
    state.write_text("{")
    assert "is damaged" in run(served, shop, file).stderr
    assert shop.count("/claims") == 1


def test_what_was_sent_too_long_ago_waits_for_a_person(
    served: Tree, shop: Shop, tmp_path: Path
) -> None:
    file = written(tmp_path, [f"{shop.take_payment()},1,a"])
    told(run(served, shop, file))
    state = tmp_path / "refunds.csv.import.json"
    kept = json.loads(state.read_text())
    old = clock.milliseconds(clock.real_now()) - 24 * 3_600_000
    state.write_text(
        json.dumps({name: kept[name] for name in ("sha256", "book", "size")}
                   | {"sent": {"piece": 0, "atMs": old}})
    )  # fmt: skip
    refused = run(served, shop, file)
    assert (refused.returncode, "lines 2 to 2 were sent long ago" in refused.stderr) == (1, True)


def test_a_dry_run_shows_and_moves_nothing(served: Tree, shop: Shop, tmp_path: Path) -> None:
    payment = shop.take_payment()
    file = written(tmp_path, [f"{payment},1,a", f"{payment},900,b"])
    summary = told(run(served, shop, file, "--dry-run"))
    assert (summary["accepted"], summary["refused"], summary["dryRun"]) == (1, 1, True)
    assert [row["outcome"] for row in result(file, "dry-run")] == ["would_create", "refused"]
    assert shop.count("/claims") == 0
    assert not (tmp_path / "refunds.csv.import.json").exists()
    assert told(run(served, shop, file))["accepted"] == 1


def test_marks_quotes_and_line_ends_are_read(served: Tree, shop: Shop, tmp_path: Path) -> None:
    payment = shop.take_payment()
    file = tmp_path / "refunds.csv"
    text = (
        f'transactionId,amount,reason\r\n{payment},1,"two\r\nlines, ""quoted"""\r\n{payment},2,\r\n'
    )
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert told(run(served, shop, file))["accepted"] == 2
    assert [row["line"] for row in result(file)] == ["2", "4"]
    claim = result(file)[0]["refundId"]
    assert shop.get(f"/claims/{claim}")["reason"] == 'two\r\nlines, "quoted"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("amount\n1\n", "names no transactionId"),
        ("transactionId,amount\n", "has no rows"),
        ("transactionId,amount\nTXN\n", "line 2"),
        ('transactionId,amount\nTXN,1\nTXN,"1\n', "line 3"),
        ("transactionId\n\n", "line 2"),
        (b"transactionId\n\xff\n", "line"),
        ("transactionId,sum\nTXN,1\n", "invalid_csv"),
    ],
)
def test_what_is_no_such_file(
    served: Tree, shop: Shop, tmp_path: Path, text: str | bytes, said: str
) -> None:
    file = tmp_path / "refunds.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused = run(served, shop, file)
    assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr


def test_a_rate_is_kept(served: Tree, shop: Shop, tmp_path: Path) -> None:
    payment = shop.take_payment()
    file = written(tmp_path, [f"{payment},0.01,r-{n}" for n in range(30)])
    began = time.monotonic()
    told(run(served, shop, file, "--piece", "10", "--rate", "20"))
    assert time.monotonic() - began > 0.9


def test_the_commands_that_decide(served: Tree, shop: Shop, tmp_path: Path) -> None:
    merchant = shop.get("/me")["id"]
    other = Shop(served.address, str(served.told("keys", "create", merchant)["secret"]))
    oxxo = shop.take_payment(method="sbx_oxxo")
    spei = shop.take_payment()

    def cli(who: Shop, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "clawback", *arguments, "--json"],
            env=environment(served, who), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    seen = told(cli(shop, "refunds", "check", spei, "--amount", "10"))
    assert (seen["allowed"], seen["approvalRequired"]) == (True, True)
    claim = shop.post(f"/payments/{spei}/refund", {"amount": 10})["refundId"]
    refused = cli(shop, "claims", "approve", claim)
    assert "self_approval" in refused.stderr
    assert told(cli(other, "claims", "approve", claim, "--note", "fine"))["status"] == "approved"
    claim = shop.post(f"/payments/{spei}/refund", {"amount": 1})["refundId"]
    assert told(cli(other, "claims", "reject", claim, "--reason", "no"))["status"] == "rejected"
    claim = shop.post(f"/payments/{oxxo}/refund", {"amount": 10})["refundId"]
    link = told(cli(shop, "claims", "payer-details", claim))["payerDetailsUrl"]
    assert "/payer/" in link
    details = tmp_path / "details.json"
    given = {"rail": "spei", "holderName": "A", "account": "999180000000100177"}
    details.write_text(json.dumps(given))
    done = told(cli(shop, "claims", "payer-details", claim, "--file", str(details)))
    assert done["payerDetails"]["account"] == "**************0177"
    assert "asks its payer for nothing" in cli(shop, "claims", "payer-details", claim).stderr
    details.write_text("x")
    wrong = cli(shop, "claims", "payer-details", claim, "--file", str(details))
    assert "holds no JSON" in wrong.stderr
    assert told(cli(shop, "claims", "cancel", claim))["status"] == "canceled"

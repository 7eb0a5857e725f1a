"""The commands beside a running server: what they print, as JSON and for people; their errors."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from clawback.cli.main import COMMANDS
from tests.cli.trees import ROOT, Tree, clawback
from tests.support.commands import run_here

pytestmark = pytest.mark.timeout(120)

READING = (
    ("payments", "list"),
    ("payments", "list", "--status", "completed", "--limit", "1"),
    ("refunds", "list"),
    ("claims", "list", "--kind", "user_dispute"),
    ("events", "list", "--type", "claim.*"),
    ("balance",),
    ("balance", "--live"),
)
ADMIN = (
    ("acts", "list"),
    ("claims", "reviews"),
    ("merchants", "list"),
    ("books", "show", "MCH-NORTE"),
    ("books", "show", "MCH-NORTE", "--live"),
    ("keys", "list"),
    ("keys", "list", "--merchant", "MCH-NORTE"),
    ("providers", "list"),
    ("db", "check"),
    ("db", "upgrade"),
    ("db", "upgrade", "--dry-run"),
    ("audit",),
)


def run(tree: Tree, *arguments: str) -> dict[str, Any]:
    code, out, err = run_here([*arguments, "--data", str(tree.data), "--json"], {})
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def refused(*arguments: str, cwd: Path = ROOT, **more: str) -> str:
    done = clawback(*arguments, cwd=cwd, **more)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("arguments", [*READING, *ADMIN], ids=" ".join)
def test_a_command_prints_json_on_request(tree: Tree, arguments: tuple[str, ...]) -> None:
    assert run(tree, *arguments)


@pytest.mark.parametrize("arguments", [READING[0], ADMIN[0], ADMIN[-1]], ids=" ".join)
def test_without_a_terminal_a_command_prints_plain_lines(
    tree: Tree, arguments: tuple[str, ...]
) -> None:
    done = clawback(*arguments, "--data", str(tree.data))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert not done.stdout.startswith("{")


def test_a_payment_is_made_paid_refunded_and_its_claim_followed(tree: Tree) -> None:
    payment = run(tree, "payments", "create", "50", "--order", "A-1")
    assert (payment["status"], payment["amountLocal"]) == ("pending", 861.18)
    paid = run(tree, "payments", "simulate", payment["id"], "paid")
    assert paid["status"] == "completed"
    asked = ("refunds", "create", payment["id"], "--amount", "10.00", "--idempotency-key", "A-1")
    refund = run(tree, *asked)
    assert (refund["amount"], refund["amountUsd"], refund["status"]) == (10, 0.5806, "pending")
    assert run(tree, *asked) == refund
    claim = run(tree, "claims", "show", refund["refundId"])
    assert claim["transactionId"] == payment["id"]
    assert run(tree, "payments", "show", payment["id"])["remaining"] == 851.18
    whole = clawback("refunds", "create", payment["id"], "--all", "--data", str(tree.data))
    assert whole.returncode == 1
    assert "refund_exceeds_remaining" in whole.stderr
    shown = clawback("claims", "show", refund["refundId"], "--data", str(tree.data))
    assert "timeline" in shown.stdout
    assert "freeze" in shown.stdout


def test_a_page_says_how_to_go_on(tree: Tree) -> None:
    for order in ("P-1", "P-2"):
        run(tree, "payments", "create", "1", "--order", order)
    done = clawback("payments", "list", "--limit", "1", "--data", str(tree.data))
    assert done.stderr.startswith("More: --after TXN-")
    after = done.stderr.split()[-1]
    rows = run(tree, "payments", "list", "--limit", "1", "--after", after)["data"]
    assert rows[0]["id"] != after


def test_text_from_outside_cannot_move_the_cursor(tree: Tree) -> None:
    payment = run(tree, "payments", "create", "50")["id"]
    run(tree, "payments", "simulate", payment, "paid")
    reason = "\x1b[2Jwiped\u202etxt\nline"
    claim = run(tree, "refunds", "create", payment, "--amount", "1", "--reason", reason)
    done = clawback("claims", "show", claim["refundId"], "--data", str(tree.data))
    assert "\\x1b[2Jwiped\\u202etxt\\nline" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_merchant_its_book_and_its_keys(tree: Tree, tmp_path: Path) -> None:
    run(tree, "merchants", "create", "MCH-SUR", "Tienda Sur", "--shop", "Plaza")
    assert "there is a merchant MCH-SUR already" in refused(
        "merchants", "create", "MCH-SUR", "x", "--data", str(tree.data)
    )
    named = ("MCH-SUR", "--data", str(tree.data))
    book = run(tree, "books", "set", "MCH-SUR", "reserve=12.5", "threshold=500", "settle-hours=24",
               "fee.sbx_spei=2.9+0.30", "require-idempotency-key=yes")  # fmt: skip
    assert (book["reservePercent"], book["approvalThresholdUsd"]) == (12.5, 500)
    assert book["fees"] == {"sbx_spei": {"percent": 2.9, "fixedUsd": 0.3}}
    assert run(tree, "books", "set", "MCH-SUR", "fee.sbx_spei=-", "threshold=-")["fees"] == {}
    assert "out of range" in refused("books", "set", *named, "reserve=101")
    assert "is no setting" in refused("books", "set", *named, "colour=red")
    assert "is no amount" in refused("books", "set", *named, "reserve=1e1")
    assert "no payment method" in refused("books", "set", *named, "fee.cash=1")
    assert "no scope refunds:write" in refused(
        "keys", "create", *named, "--scopes", "refunds:write"
    )
    made = run(tree, "keys", "create", "MCH-SUR", "--scopes", "payments:read", "--rate", "7")
    ping = tree.call("GET", "/api/v1/ping", key=made["secret"])
    assert ping["merchant"] == {"id": "MCH-SUR", "name": "Tienda Sur"}
    listed = clawback("keys", "list", "--data", str(tree.data))
    assert made["key"] in listed.stdout
    assert made["secret"] not in listed.stdout
    file = tmp_path / "key"
    file.write_text(made["secret"])
    at = ("--url", tree.dev["url"], "--key", f"@{file}")
    assert "scope_missing" in refused("balance", *at)
    assert clawback("payments", "list", *at).returncode == 0
    given = {"CLAWBACK_KEY": made["secret"], "CLAWBACK_URL": tree.dev["url"]}
    assert clawback("payments", "list", **given).returncode == 0
    assert run(tree, "keys", "revoke", made["key"])["revokedAt"]
    assert "there is no key" in refused("keys", "revoke", "key_none", "--data", str(tree.data))


def test_secrets_of_a_provider_go_in_from_files_and_never_come_out(
    tree: Tree, tmp_path: Path
) -> None:
    key, calls, notices = (tmp_path / name for name in ("seal.key", "calls", "notices"))
    for path in (calls, notices):
        path.write_text("canary-secret\n")
        path.chmod(0o600)
    given = ("--key-file", str(key), "--secret-file", str(calls), "--notice-secret-file",
             str(notices), "--data", str(tree.data))  # fmt: skip
    assert "make-key" in refused("providers", "create", "sandbox", "second", *given)
    assert clawback("providers", "make-key", "--key-file", str(key)).returncode == 0
    assert "exists already" in refused("providers", "make-key", "--key-file", str(key))
    assert clawback("providers", "create", "sandbox", "second", *given).returncode == 0
    before = key.read_text()
    assert run(tree, "providers", "rotate-key", "--key-file", str(key)) == {"resealed": 1}
    assert key.read_text() != before
    assert len(key.read_text().splitlines()) == 1
    assert run(tree, "providers", "list")["data"][0]["account"] == "second"
    acts = run(tree, "acts", "list", "--object", "sandbox/second")["data"]
    assert [(one["action"], one["merchant"]) for one in acts] == [("provider_created", None)]
    assert run(tree, "acts", "list", "--object", "seal")["data"][0]["action"] == (
        "sealing_key_rotated"
    )
    assert "mode" in refused("providers", "create", "sandbox", "second", *given, "--live")
    calls.chmod(0o644)
    assert "chmod 600" in refused("providers", "create", "sandbox", "third", *given)


def test_errors_say_what_to_do_next(tree: Tree, tmp_path: Path) -> None:
    url = tree.dev["url"]
    assert "make demo" in refused("balance", cwd=tmp_path)
    assert "--data" in refused("audit", cwd=tmp_path)
    assert "CLAWBACK_KEY" in refused("balance", "--url", url)
    assert "invalid_api_key" in refused("balance", "--url", url, "--key", "sk_test_wrong")
    assert "not_found" in refused("payments", "show", "../me", "--data", str(tree.data))
    assert "Use https" in refused("balance", "--url", "http://192.0.2.1", "--key", "x")
    assert "is no address" in refused("balance", "--url", "ftp://x", "--key", "x")
    assert "nothing answers" in refused("balance", "--url", "http://127.0.0.1:1", "--key", "x")
    assert "how much" in refused("refunds", "create", "TXN-1", "--data", str(tree.data))
    assert "is no amount" in refused("payments", "create", "1e3", "--data", str(tree.data))
    away = "postgresql://nobody:canary@/none?host=/nowhere"
    assert "does not answer" in refused("audit", DATABASE_URL=away)
    assert "canary" not in refused("db", "check", DATABASE_URL=away)


def test_a_typo_is_exit_code_2_with_a_hint() -> None:
    done = clawback("refund", "list")
    assert done.returncode == 2
    assert "Did you mean 'refunds'" in done.stderr
    assert clawback("payments", "list", "--nope").returncode == 2


def test_an_unknown_setting_stops_a_process_of_the_service() -> None:
    for command in ("serve", "worker"):
        text = refused(command, CLAWBACK_PORRT="1", DATABASE_URL="postgresql://x")
        assert "CLAWBACK_PORRT is not a setting" in text


def test_help_names_every_command_and_is_quick() -> None:
    begun = os.times()
    done = clawback("--help")
    spent = os.times()
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    used = spent.children_user + spent.children_system
    assert used - begun.children_user - begun.children_system < 0.4

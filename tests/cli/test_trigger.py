"""Every scenario plays to its end over the public API; the clock and the faults by command."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from clawback.cli import scenarios
from tests.support.counts import sampled
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(120)

WANTED = {
    "chargeback-won-then-lost",
    "inquiry-escalated",
    "inquiry-refunded",
    "med-on-half-empty-balance",
    "oxxo-with-payer-details",
    "partial-loss",
    "provider-timeout-after-effect",
    "refund-fails-after-three-days",
    "refund-on-day-89",
    "refund-on-day-91",
}


def key_of(shop: Shop) -> tuple[str, ...]:
    host, port = shop.address
    return ("--url", f"http://{host}:{port}", "--key", shop.key)


def test_all_scenarios_are_listed(served: Tree) -> None:
    listed = served.told("trigger", "--list")["data"]
    assert {one["name"] for one in listed} == WANTED
    assert all(one["about"] for one in listed)
    assert set(scenarios.names()) == WANTED


@pytest.mark.parametrize("name", sampled(sorted(WANTED), every=8))
def test_a_scenario_plays_to_its_end_on_a_new_book(served: Tree, name: str) -> None:
    shop = other_shop(served, f"MCH-{name.upper()}")
    done = served.run("trigger", name, "--json", *key_of(shop))
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert len(played["steps"]) == len(scenarios.read(name).steps)
    assert played["steps"][-1]["balance"] is not None
    assert shop.get("/sandbox/clock")["status"] == "ready"


def test_a_scenario_works_on_a_book_that_is_in_use(served: Tree) -> None:
    """On the demo merchant's, whatever it has: what is available is put aside first."""
    for _ in range(2):
        done = served.run("trigger", "med-on-half-empty-balance")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "8. expect" in done.stdout
        assert "kind med" in done.stdout


def test_a_scenario_that_comes_out_otherwise_says_how(served: Tree) -> None:
    done = served.run("trigger", "no-such-thing")
    assert done.returncode == 1
    assert "there is no scenario" in done.stderr
    live = served.run("trigger", "refund-on-day-89", "--live")
    assert live.returncode == 1
    assert done.stdout == ""


def test_a_scenario_is_read_strictly() -> None:
    head = 'about = "x"\n[[step]]\n'
    good = scenarios.parse("x", head + 'pay = { amount = 49.99, method = "sbx_card" }')
    assert good.steps == (("pay", scenarios.Pay(amount=Decimal("49.99"), method="sbx_card")),)
    for bad in (
        "dance = {}",
        "pay = { amount = 1 }",
        "advance = { weeks = 1 }",
        "advance = { days = 1 }\nrefund = {}",
        'fault = { operation = "x", sequence = [] }',
    ):
        with pytest.raises(ValueError, match=r"x: a step is|`\$|Object|Invalid|Expected"):
            scenarios.parse("x", head + bad)


def test_the_clock_by_command(served: Tree) -> None:
    shop = other_shop(served, "MCH-CLOCK-COMMAND")
    key = key_of(shop)

    def told(*arguments: str) -> dict[str, object]:
        done = served.run("clock", *arguments, "--json", *key)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    assert told("show")["offsetSeconds"] == 0
    assert told("advance", "2d")["offsetSeconds"] == 172_800
    assert told("advance", "90")["offsetSeconds"] == 172_890
    to = datetime.fromisoformat(str(told("show")["now"])) + timedelta(days=10)
    assert datetime.fromisoformat(str(told("set", to.isoformat())["now"])) >= to
    wrong = served.run("clock", "advance", "soon", *key)
    assert wrong.returncode == 1
    assert "is no span of time" in wrong.stderr
    back = served.run("clock", "set", "2020-01-01T00:00:00Z", *key)
    assert back.returncode == 1
    assert "invalid_field" in back.stderr


def test_faults_by_command(served: Tree) -> None:
    shop = other_shop(served, "MCH-FAULT-COMMAND")
    key = key_of(shop)
    added = served.run("faults", "add", "refund", "decline", "none", "--repeat", "--json", *key)
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["remaining"] == ["decline", "none"]
    listed = json.loads(served.run("faults", "list", "--json", *key).stdout)["data"]
    assert [(one["operation"], one["repeat"]) for one in listed] == [("refund", True)]
    assert "decline" in served.run("faults", "list", *key).stdout
    cleared = json.loads(served.run("faults", "clear", "--json", *key).stdout)
    assert cleared == {"ok": True, "cleared": 1}
    wrong = served.run("faults", "add", "refund", "lost", *key)
    assert wrong.returncode == 1
    assert "invalid_field" in wrong.stderr

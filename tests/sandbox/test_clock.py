"""The clock of a test book, over the API of a whole tree: forward, in order, once, to the end."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clawback.simulation.api import _show
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, bearer

pytestmark = pytest.mark.timeout(120)

DAY = 86_400


@pytest.fixture
def shop(tree: Tree, request: pytest.FixtureRequest) -> Shop:
    """A merchant of the test's own, with a clock of its own."""
    name = "".join(c for c in request.node.name.upper() if c.isalnum())
    return other_shop(tree, f"MCH-{name[-40:]}")


def move(shop: Shop, seconds: int) -> dict[str, Any]:
    return shop.post("/sandbox/clock", {"advanceSeconds": seconds}, 200)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def entries(shop: Shop, **query: object) -> list[dict[str, Any]]:
    """The book's entries, the oldest first."""
    rows = shop.get("/ledger/entries", limit=100, **query)["data"]
    return sorted(rows, key=lambda row: int(row["height"]))


def test_a_clock_shows_itself_and_moves_by_what_is_asked(shop: Shop) -> None:
    first = shop.get("/sandbox/clock")
    assert (first["offsetSeconds"], first["status"]) == (0, "ready")
    assert first["now"] == first["realNow"]
    moved = move(shop, 3_600)
    assert (moved["offsetSeconds"], moved["status"]) == (3_600, "ready")
    assert at(moved["now"]) - at(moved["realNow"]) == timedelta(hours=1)
    to = at(moved["now"]) + timedelta(days=2, milliseconds=250)
    there = shop.post("/sandbox/clock", {"advanceTo": to.isoformat()}, 200)
    assert timedelta(0) <= at(there["now"]) - to < timedelta(seconds=2)
    created = shop.post("/payments", {"amount": 1, "paymentMethodId": "sbx_spei", "country": "MX"})
    assert at(created["createdAt"]) >= to


def test_both_times_are_of_one_moment() -> None:
    shown = json.loads(_show(datetime(2026, 5, 12, 10, tzinfo=UTC), 3_600, is_ready=True).body)
    assert shown["now"] == "2026-05-12T10:00:00.000Z"
    assert shown["realNow"] == "2026-05-12T09:00:00.000Z"


def test_a_clock_goes_forward_only_and_not_too_far(shop: Shop) -> None:
    now = at(shop.get("/sandbox/clock")["now"])
    refused = {
        "advanceSeconds": ({"advanceSeconds": 0}, {"advanceSeconds": -1},
                           {"advanceSeconds": 366 * DAY + 1}),
        "advanceTo": ({"advanceTo": (now - timedelta(seconds=1)).isoformat()},
                      {"advanceTo": (now + timedelta(days=367)).isoformat()},
                      {"advanceSeconds": 1, "advanceTo": (now + timedelta(days=1)).isoformat()}),
    }  # fmt: skip
    for param, bodies in refused.items():
        for body in bodies:
            reply = shop.call("POST", "/sandbox/clock", body)
            found = (reply.status, reply.json["error"]["code"], reply.json["error"]["param"])
            assert found == (400, "invalid_field", param), body
    empty = shop.call("POST", "/sandbox/clock", {})
    assert (empty.status, empty.json["error"]["code"]) == (400, "missing_field")
    naive = shop.call("POST", "/sandbox/clock", {"advanceTo": "2027-01-01T00:00:00"})
    assert (naive.status, naive.json["error"]["code"]) == (400, "invalid_field")
    assert shop.get("/sandbox/clock")["offsetSeconds"] == 0, "a refusal changes nothing"
    assert move(shop, 366 * DAY)["offsetSeconds"] == 366 * DAY
    too_far = shop.call("POST", "/sandbox/clock", {"advanceSeconds": 364 * DAY + 1})
    assert too_far.status == 400
    assert move(shop, 364 * DAY)["offsetSeconds"] == 730 * DAY


def test_a_year_in_one_call_does_all_in_order_of_its_time_and_once(tree: Tree, shop: Shop) -> None:
    merchant = shop.get("/me")["id"]
    tree.told("books", "set", merchant, "reserve=10", "reserve-days=60")
    paid = []
    for _ in range(3):
        paid.append(shop.take_payment(method="sbx_spei"))
        move(shop, 3_600)
    unpaid = {
        "sbx_pix": shop.take_payment(method="sbx_pix", country="BR", action=""),
        "sbx_spei": shop.take_payment(action=""),
        "sbx_oxxo": shop.take_payment(method="sbx_oxxo", action=""),
    }
    start = at(shop.get("/sandbox/clock")["now"])
    begun = time.monotonic()
    assert move(shop, 365 * DAY)["status"] == "ready"
    assert time.monotonic() - begun < 5
    for name in paid:
        moves = [row for row in entries(shop, transactionId=name) if row["type"] != "capture"]
        assert [row["type"] for row in moves] == ["settle", "reserve_release"]
        captured = at(shop.get(f"/payments/{name}")["completedAt"])
        for row, after in zip(moves, (timedelta(hours=48), timedelta(days=60)), strict=True):
            late = at(row["createdAt"]) - captured - after
            assert timedelta(0) <= late < timedelta(seconds=3), row
    times = [at(row["createdAt"]) for row in entries(shop)]
    assert times == sorted(times)
    window = {"sbx_pix": 3_600, "sbx_spei": DAY, "sbx_oxxo": 7 * DAY}
    for method, name in unpaid.items():
        (event,) = shop.get("/events", objectId=name, type="payment.expired")["data"]
        late = at(event["createdAt"]) - start - timedelta(seconds=window[method])
        assert timedelta(seconds=-5) < late < timedelta(seconds=3), method
    events = shop.get("/events", limit=100)["data"]
    made = [at(event["createdAt"]) for event in events]
    assert made == sorted(made)
    balance = shop.get("/me/balance")["balance"]
    assert (balance["available"], balance["pending"], balance["reserve"]) == (150, 0, 0)


def test_the_providers_steps_are_steps_of_the_clock(shop: Shop) -> None:
    """A refund bounces three days after it settled; nobody of us waits for that."""
    payment = shop.take_payment()
    shop.post("/sandbox/faults", {"operation": "refund", "sequence": ["fails_after_3_days"]})
    claim = shop.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"]
    move(shop, 30 * DAY)
    timeline = {row["to"]: at(row["at"]) for row in shop.get(f"/claims/{claim}")["timeline"]}
    assert list(timeline) == ["pending", "approved", "released", "reversed"]
    bounced = timeline["reversed"] - timeline["released"]
    assert abs(bounced - timedelta(days=3)) < timedelta(seconds=3)
    balance = shop.get("/me/balance")["balance"]
    assert (balance["frozen"], balance["inTransit"]) == (0, 0)
    assert balance["available"] == 50


def test_two_callers_at_once_both_get_what_they_asked_for(shop: Shop) -> None:
    payments = [shop.take_payment() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        moved = list(pool.map(lambda _: move(shop, DAY), range(4)))
    assert {one["status"] for one in moved} == {"ready"}
    assert shop.get("/sandbox/clock")["offsetSeconds"] == 4 * DAY
    assert max(one["offsetSeconds"] for one in moved) == 4 * DAY
    for name in payments:
        types = [row["type"] for row in entries(shop, transactionId=name)]
        assert types == ["capture", "settle"]


def test_many_clocks_move_at_once_and_each_to_its_own_time(tree: Tree) -> None:
    shops = [other_shop(tree, f"MCH-AT-ONCE-{number}") for number in range(5)]
    payments = [one.take_payment() for one in shops]
    with ThreadPoolExecutor(len(shops)) as pool:
        for days in (1, 2, 3):
            told = list(pool.map(lambda one: move(one, days * DAY), shops))  # noqa: B023 - awaited
            assert {one["status"] for one in told} == {"ready"}
    for one, name in zip(shops, payments, strict=True):
        assert one.get("/sandbox/clock")["offsetSeconds"] == 6 * DAY
        assert [row["type"] for row in entries(one, transactionId=name)] == ["capture", "settle"]
    log = (tree.data / "logs" / "worker.log").read_text()
    assert "work_failed" not in log
    assert "clocks_lost" not in log


def test_a_key_moves_a_clock_once(shop: Shop) -> None:
    body = {"advanceSeconds": DAY}
    with ThreadPoolExecutor(4) as pool:
        replies = list(
            pool.map(lambda _: shop.call("POST", "/sandbox/clock", body, "K-1"), range(4))
        )
    assert {reply.status for reply in replies} == {200}
    assert shop.get("/sandbox/clock")["offsetSeconds"] == DAY
    again = shop.call("POST", "/sandbox/clock", body, "K-1")
    assert again.json == replies[0].json
    other = shop.call("POST", "/sandbox/clock", {"advanceSeconds": 1}, "K-1")
    assert (other.status, other.json["error"]["code"]) == (409, "idempotency_conflict")


def slow_refund(shop: Shop, hangs: int) -> str:
    """A refund that never settles; each of its first look-ups hangs for eight seconds."""
    payment = shop.take_payment()
    for operation, sequence in (
        ("refund", ["never_settles"]),
        ("lookup", ["timeout_before_effect"] * hangs),
    ):
        fault = {"operation": operation, "sequence": sequence, "transactionId": payment}
        shop.post("/sandbox/faults", fault)
    return str(shop.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"])


@pytest.mark.long
def test_a_clock_that_takes_long_is_polled(tree: Tree, shop: Shop) -> None:
    """The call answers after ten seconds, the clock goes on."""
    claim = slow_refund(shop, 2)
    begun = time.monotonic()
    told = move(shop, DAY)
    assert 9 < time.monotonic() - begun < 14
    assert told["status"] == "advancing"
    assert 0 < told["offsetSeconds"] < DAY
    assert shop.get("/sandbox/clock")["status"] == "advancing"
    tree.until("the clock is there", lambda: is_there(shop, DAY), 30)
    assert shop.get(f"/claims/{claim}")["status"] == "approved"


def is_there(shop: Shop, offset: int) -> bool:
    told = shop.get("/sandbox/clock")
    return (told["offsetSeconds"], told["status"]) == (offset, "ready")


@pytest.mark.long
def test_a_clock_goes_on_after_its_worker_was_killed(tree: Tree, shop: Shop) -> None:
    claim = slow_refund(shop, 1)
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move, shop, DAY)
        tree.until("it moves", lambda: shop.get("/sandbox/clock")["offsetSeconds"] > 0, 10)
        pid = tree.pid("worker")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert moving.result(30)["offsetSeconds"] <= DAY
    tree.until("the clock is there", lambda: is_there(shop, DAY), 60)
    assert shop.get(f"/claims/{claim}")["status"] == "approved"


@pytest.mark.parametrize("kind", ["chargeback", "inquiry", "med"])
def test_a_payment_that_is_to_be_disputed_is(shop: Shop, kind: str) -> None:
    body = json.dumps({"amount": 50, "paymentMethodId": "sbx_pix", "country": "BR"}).encode()
    with Line(shop.address) as line:
        headers = [*bearer(shop.key), ("Sandbox-Simulate", kind)]
        payment = line.call("POST", f"{API}/payments", headers, body).json
    assert payment["status"] == "pending"
    move(shop, 10)
    assert shop.get(f"/payments/{payment['id']}")["status"] == "completed"
    assert shop.claims_of(payment["id"]) == []
    move(shop, 30)
    (claim,) = shop.claims_of(payment["id"])
    assert (claim["kind"], claim["status"]) == (kind, "pending")
    late = at(claim["createdAt"]) - at(payment["createdAt"])
    assert timedelta(seconds=35) <= late < timedelta(seconds=38)


def test_faults_are_scripts_of_the_book(tree: Tree, shop: Shop) -> None:
    payment = shop.take_payment()
    script = {"operation": "refund", "sequence": ["decline", "none"], "repeat": True}
    first = shop.call("POST", "/sandbox/faults", {**script, "transactionId": payment}, "F-1")
    again = shop.call("POST", "/sandbox/faults", {**script, "transactionId": payment}, "F-1")
    assert first.status == again.status == 201
    assert first.json == again.json
    assert first.json | {"id": ""} == {
        "id": "", "operation": "refund", "remaining": ["decline", "none"], "repeat": True,
        "transactionId": payment,
    }  # fmt: skip
    assert len(shop.get("/sandbox/faults")["data"]) == 1
    stranger = Shop(tree.address, tree.dev["secretKey"])
    assert first.json["id"] not in [one["id"] for one in stranger.get("/sandbox/faults")["data"]]
    assert stranger.call("DELETE", "/sandbox/faults").json["ok"] is True
    for body, status, code in (
        ({"operation": "dance", "sequence": ["none"]}, 400, "invalid_field"),
        ({"operation": "refund", "sequence": []}, 400, "invalid_field"),
        ({"operation": "refund", "sequence": ["lost"]}, 400, "invalid_field"),
        ({"operation": "webhook", "sequence": ["decline"]}, 400, "invalid_field"),
        ({"operation": "refund", "sequence": ["none"] * 51}, 400, "invalid_field"),
        ({"operation": "refund"}, 400, "missing_field"),
        ({**script, "transactionId": "TXN-00000000-0000"}, 404, "not_found"),
    ):
        reply = shop.call("POST", "/sandbox/faults", body)
        assert (reply.status, reply.json["error"]["code"]) == (status, code), body
    wrong = {**script, "transactionId": "TXN-00000000-0000"}
    assert shop.call("POST", "/sandbox/faults", wrong, "F-2").status == 404
    assert shop.call("POST", "/sandbox/faults", script, "F-2").status == 201, "the key is free"
    claim = shop.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"]
    move(shop, 5)
    assert shop.get(f"/claims/{claim}")["status"] == "failed"
    assert shop.get("/sandbox/faults")["data"][0]["remaining"] == ["none", "decline"]
    assert shop.call("DELETE", "/sandbox/faults").json == {"ok": True, "cleared": 2}
    assert shop.get("/sandbox/faults")["data"] == []


def test_a_live_key_has_no_sandbox(tree: Tree) -> None:
    live = Shop(tree.address, tree.dev["liveSecretKey"])
    for method, path, body in (
        ("GET", "/sandbox/clock", None),
        ("POST", "/sandbox/clock", {"advanceSeconds": 1}),
        ("GET", "/sandbox/faults", None),
        ("POST", "/sandbox/faults", {"operation": "refund", "sequence": ["none"]}),
        ("DELETE", "/sandbox/faults", None),
    ):
        reply = live.call(method, path, body)
        assert (reply.status, reply.json["error"]["code"]) == (403, "sandbox_only")


def test_the_books_are_right_after_all_of_it(tree: Tree) -> None:
    tree.audit()

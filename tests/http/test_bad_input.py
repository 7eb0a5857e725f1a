"""Every refusal of the contract over HTTP: the right code, the right field, and nothing changed.

One table, `refusals.py`, against one running tree. Before and after each request all tables are
hashed: a refused request leaves no trace. Refusals that need a disturbance (a held lock, a full
process, a slow provider) follow in a test of their own.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import pytest

from clawback.errors import STATUS as OURS
from tests.http.asking import (
    DETAILS,
    ELSEWHERE,
    OPTIONAL,
    STATUS,
    TYPE,
    Ask,
    Row,
    get,
    post,
    rendered,
)
from tests.http.refusals import TABLE
from tests.http.scenes import Scene, make_scene
from tests.support.databases import Database
from tests.support.shops import Shop, ask_provider, demo_shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, BROKEN, Address, Line, Reply, bearer, request

IN_TIME: Final = {"request_timeout", "unavailable", "overloaded", "idempotency_in_progress",
                  "claim_in_flight"}  # fmt: skip
"""Codes of the second test."""
MOST_RUNNING: Final = 24
NO_BYTES_OF: Final = {"date", "request-id", "ratelimit-remaining", "ratelimit-reset"}

pytestmark = pytest.mark.timeout(300)


SETTINGS: Final = {
    "CLAWBACK_REQUEST_SECONDS": "1.5",
    "CLAWBACK_MAX_RUNNING": str(MOST_RUNNING),
    "CLAWBACK_LANES": "2",
}
"""One API process, so that its limits are reached where the tests aim; a held book's lane waits."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree in which nothing goes on but what a test asks for."""
    yield from _tree(tmp_path_factory)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree with work that goes on after its test: the tables are never at rest."""
    yield from _tree(tmp_path_factory)


def _tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with Tree(tmp_path_factory.mktemp("bad-input") / "data", processes=1, more=SETTINGS) as made:
        yield made


def ask(address: Address, data: bytes, source: str = "", method: str = "POST") -> Reply:
    """Send the bytes on a connection of their own, and read."""
    with Line(address, source=source, seconds=15) as line:
        with suppress(*BROKEN):  # it may answer and close before it has read everything
            line.send(data)
        return line.read(method)


def faults_of(row: Row, reply: Reply) -> Iterator[str]:
    """How an answer differs from what the row and the contract's form of errors say."""
    if (reply.status, reply.code) != (STATUS[row.code], row.code):
        yield f"{reply.status} {reply.body.decode('latin-1')[:300]}"
        return
    error = reply.json["error"]
    yield from _form_faults(error, reply)
    wanted = row.param
    if wanted is not None and wanted.endswith("…"):
        wanted = error.get("param") if str(error.get("param")).startswith(wanted[:-1]) else wanted
    if error.get("param") != wanted:
        yield f"param is {error.get('param')!r}, not {wanted!r}"
    details = error.get("details") or {}
    needed = DETAILS.get(row.code, set())
    more = OPTIONAL if row.code == "invalid_amount" else set()
    if not needed <= details.keys() <= needed | more:
        yield f"details have {sorted(details)}, not {sorted(needed)}"
    for name, value in row.says.items():
        if details.get(name) != value:
            yield f"details.{name} is {details.get(name)!r}, not {value!r}"


def _form_faults(error: Mapping[str, Any], reply: Reply) -> Iterator[str]:
    if error["type"] != TYPE.get(reply.status, "invalid_request_error"):
        yield f"type is {error['type']}"
    if error["requestId"] != reply.header("request-id"):
        yield f"requestId is {error['requestId']}, not {reply.header('request-id')}"
    if error["docUrl"] != f"/docs/errors#{error['code']}" or not error["message"].strip():
        yield f"docUrl or message: {error}"
    if not error.keys() <= {"code", "type", "message", "param", "details", "requestId", "docUrl"}:
        yield f"more than the form has: {sorted(error)}"
    for name, value in (("content-type", "application/json"), ("cache-control", "no-store"),
                        ("x-content-type-options", "nosniff"),
                        ("clawback-version", "2026-05-12")):  # fmt: skip
        if reply.header(name) != value:
            yield f"{name} is {reply.header(name)}"
    if reply.status in {429, 503} and not str(reply.header("retry-after")).isdigit():
        yield "no Retry-After"
    if reply.status == 405 and not reply.header("allow"):
        yield "no Allow"


def secrets_in(reply: Reply, scene: Scene) -> Iterator[str]:
    """A refusal repeats neither keys nor ids."""
    for name, value in scene.items():
        if value.encode() in reply.body and len(value) > 10:
            yield f"it repeats {name}"


def test_every_refusal_has_its_code_and_field_and_changes_nothing(running: Tree) -> None:
    wrong = []
    with Database(running.dev["databaseUrl"]) as database:
        scene = make_scene(running, database)
        before = database.state()
        for number, row in enumerate(TABLE):
            if row.ask.key == "slow":
                use_up(running.address, scene["slow"])
            source = f"127.0.{1 + number // 200}.{1 + number % 200}"
            try:
                reply = ask(running.address, rendered(row.ask, scene), source, row.ask.method)
                faults = [*faults_of(row, reply), *secrets_in(reply, scene)]
            except BROKEN as error:
                faults = [f"no answer: {error!r}"]
            after = database.state()
            faults += [f"{name} changed" for name in after if after[name] != before[name]]
            before = after
            wrong += [f"{row.name!r} ({row.code}): {fault}" for fault in faults]
        print(f"{len(TABLE)} requests, {len({row.code for row in TABLE})} codes")
        wrong += answers_to_names(running.address, scene)
    if wrong:
        pytest.fail("\n".join([f"{len(wrong)} faults", *wrong]), pytrace=False)


def use_up(address: Address, key: str) -> None:
    """Take what is left of a key's rate."""
    for _ in range(4):
        ask(address, request("GET", f"{API}/me", bearer(key), None), method="GET")


def answers_to_names(address: Address, scene: Scene) -> Iterator[str]:
    """Absent, malformed and foreign names are answered with the same status, headers and bytes."""
    names = {
        "TXN": [scene["absent"], scene["foreign"], scene["spei"].lower(), "TXN-1", "TXN-MP331BTF",
                scene["spei"] + "0", scene["released"], "x" * 300, "TXN-MP331BTF_R308", "0", "-",
                "TXN-MP331BTF-R3O\\", "..", "*", "%2a"[1:], scene["spei"][4:], "%00", "%ff", "%",
                scene["spei"] + "%00", scene["spei"] + "%2fx", scene["spei"].replace("-", "%2D")],
        "CLM": [scene["absent_claim"], scene["foreign_claim"], scene["released"].lower(), "CLM-1",
                scene["released"] + "0", scene["spei"], "CLM-MP331G7R_9F49", "null", "undefined"],
    }  # fmt: skip
    calls = {
        "TXN": [("GET", "/payments/{}", None), ("POST", "/payments/{}/refund", b'{"amount":10}'),
                ("POST", "/payments/{}/refund", b'{"amount":10.005}'),
                ("POST", "/payments/{}/simulate", b'{"action":"paid"}')],
        "CLM": [("GET", "/claims/{}", None), ("POST", "/claims/{}/cancel", b"{}")],
    }  # fmt: skip
    for kind, paths in calls.items():
        for method, path, body in paths:
            seen: dict[object, str] = {}
            for name in names[kind]:
                data = request(method, API + path.format(name), bearer(scene["secret"]), body)
                reply = ask(address, data, method=method)
                seen.setdefault(_comparable(reply), name)
                if reply.code != "not_found":
                    yield f"{method} {path} {name}: {reply}"
            if len(seen) != 1:
                yield f"{method} {path} is answered in {len(seen)} ways: {seen}"


def _comparable(reply: Reply) -> tuple[object, ...]:
    """An answer without what is a request's own."""
    own = str(reply.header("request-id")).encode()
    headers = tuple(one for one in reply.headers if one[0] not in NO_BYTES_OF)
    return reply.status, headers, reply.body.replace(own, b"")


def test_refusals_of_a_disturbed_service_change_nothing(disturbed: Tree) -> None:
    shop = demo_shop(disturbed)
    payment = shop.take_payment()
    with Database(disturbed.dev["databaseUrl"]) as database, ThreadPoolExecutor(40) as pool:
        other = shop_of_another_shard(disturbed, database)
        theirs = other.take_payment()
        first = pool.submit(pay_slowly, disturbed, other)
        copy = pool.submit(pay_once, other, 0.3)
        cut = pool.submit(ask, disturbed.address, half_a_request(other, theirs))
        time.sleep(1)
        waiting = hold_the_book(database, pool, shop, payment)
        check(cut.result(), "request_timeout")
        check(copy.result(), "idempotency_in_progress")
    assert copy.result().header("retry-after") == "1"
    assert first.result().status == 201
    assert {one.code for one in waiting} == {"unavailable", "overloaded"}
    for one in waiting:
        check(one, str(one.code))
    assert shop.claims_of(payment) == []
    assert other.claims_of(theirs) == []
    assert other.count("/payments", merchantOrderId="slowly") == 1
    assert shop.call("POST", f"/payments/{payment}/refund", {"amount": 1}, "held-0").status == 201


def shop_of_another_shard(tree: Tree, database: Database) -> Shop:
    """A merchant whose book is served by another lane than the demo merchant's."""
    made = {name: other_shop(tree, name) for name in ("MCH-EAST", "MCH-WEST")}
    shard = dict(database.rows("SELECT merchant_id, shard FROM books WHERE mode = 'test'"))
    found = [shop for name, shop in made.items() if shard[name] != shard["MCH-NORTE"]]
    assert found, f"new merchants are not spread over the shards: {shard}"
    return found[0]


def check(reply: Reply, code: str) -> None:
    """It is a refusal of this code, in form."""
    assert [*faults_of(Row("", get(""), code), reply)] == []


def test_a_refund_that_is_on_its_way_cannot_be_canceled(disturbed: Tree) -> None:
    shop = other_shop(disturbed, "MCH-SENT")
    payment = shop.take_payment()
    ask_provider(disturbed, operation="refund", sequence=["never_settles"])
    claim = f"/claims/{shop.post(f'/payments/{payment}/refund', {'amount': 1})['refundId']}"
    disturbed.until("it is sent", lambda: bool(shop.get(claim)["attempts"]), 20)
    refused = shop.call("POST", f"{claim}/cancel", {})
    check(refused, "claim_in_flight")
    now = shop.get(claim)
    assert refused.json["error"]["details"] == {"attemptId": now["attempts"][-1]["id"]}
    assert (now["status"], now["version"]) == ("approved", 2)


def pay_once(shop: Shop, later: float = 0.0) -> Reply:
    """The same payment under the same key, at once or a little later."""
    time.sleep(later)
    body = {"amount": 5, "paymentMethodId": "sbx_spei", "merchantOrderId": "slowly"}
    return shop.call("POST", "/payments", body, "slowly")


def pay_slowly(tree: Tree, shop: Shop) -> Reply:
    """A payment whose provider does not answer for a while."""
    ask_provider(tree, operation="charge", sequence=["timeout_before_effect"])
    return pay_once(shop)


def half_a_request(shop: Shop, payment: str) -> bytes:
    """A refund whose body never ends."""
    path = f"{API}/payments/{payment}/refund"
    return request("POST", path, bearer(shop.key), b'{"amount":10,"reason":"more"}')[:-5]


def hold_the_book(
    database: Database, pool: ThreadPoolExecutor, shop: Shop, payment: str
) -> list[Reply]:
    """Ask for more refunds than may run at once while somebody else holds the book's head."""
    database.execute("BEGIN")
    database.execute(
        "SELECT 1 FROM heads WHERE book_id = (SELECT book_id FROM payments WHERE payment_id = $1)"
        " FOR UPDATE",
        payment,
    )
    asked: list[Future[Reply]] = []
    for number in range(MOST_RUNNING + 6):
        path, key = f"/payments/{payment}/refund", f"held-{number}"
        asked.append(pool.submit(shop.call, "POST", path, {"amount": 1}, key))
    found = [one.result() for one in asked]
    database.execute("ROLLBACK")
    return found


def test_wrong_keys_are_slowed_down_and_right_ones_pass(running: Tree) -> None:
    key, source = running.dev["secretKey"], "127.0.9.9"
    wrong = request("GET", f"{API}/me", bearer(key[:-1] + "?"), None)
    codes = [ask(running.address, wrong, source, "GET").code for _ in range(12)]
    assert codes == ["invalid_api_key"] * 10 + ["rate_limited"] * 2
    last = ask(running.address, wrong, source, "GET")
    check(last, "rate_limited")
    right = request("GET", f"{API}/me", bearer(key), None)
    assert ask(running.address, right, source, "GET").status == 200
    assert ask(running.address, wrong, "127.0.9.10", "GET").code == "invalid_api_key"


def test_every_code_that_can_be_reached_is_in_the_table() -> None:
    assert {row.code for row in TABLE} | IN_TIME | {"not_found"} == STATUS.keys()
    assert STATUS.keys() & ELSEWHERE.keys() == set()
    assert STATUS.keys() | ELSEWHERE.keys() == OURS.keys()
    assert {code: OURS[code] for code in STATUS} == STATUS
    names = [(row.name, row.ask) for row in TABLE]
    assert len(set(names)) == len(names)


def test_the_oracle_catches_planted_faults() -> None:
    error = {
        "code": "not_found", "type": "invalid_request_error", "message": "No.", "requestId": "r",
        "docUrl": "/docs/errors#not_found",
    }  # fmt: skip
    usual = (("content-type", "application/json"), ("cache-control", "no-store"),
             ("x-content-type-options", "nosniff"), ("clawback-version", "2026-05-12"),
             ("request-id", "r"))  # fmt: skip
    row = Row("", Ask("GET", "/"), "not_found")

    def said(
        headers: tuple[tuple[str, str], ...] = usual, status: int = 404, **more: object
    ) -> str:
        body = json.dumps({"error": {**error, **more}}).encode()
        return "; ".join(faults_of(row, Reply(status, headers, body)))

    assert said() == ""
    assert said(status=400).startswith("400 ")
    assert "param is" in said(param="amount")
    assert "details have" in said(details={"rule": "x"})
    assert "type is" in said(type="api_error")
    assert "requestId" in said(requestId="s")
    assert "cache-control is" in said(usual[:1] + usual[2:])
    assert "more than the form" in said(stack="…")
    assert [*secrets_in(Reply(404, (), b"TXN-MP331BTF-R308"), {"x": "TXN-MP331BTF-R308"})]
    assert post("/x", "{}", key="").headers == ()

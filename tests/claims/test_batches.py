"""Batches over HTTP: equal to single refunds in order, dry runs, tokens, all or nothing, CSV."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.counts import count, seeded
from tests.support.databases import BookHash, Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply

pytestmark = pytest.mark.timeout(300)

BATCH = "/refunds/batch"
QUIET = ("payments", "claims", "entries", "postings", "events", "heads", "accounts")


def send_csv(shop: Shop, text: str | bytes, query: str = "", key: str | None = None) -> Reply:
    headers = [("Authorization", f"Bearer {shop.key}"), ("Content-Type", "text/csv; charset=utf-8")]
    if key is not None:
        headers.append(("Idempotency-Key", key))
    body = text.encode() if isinstance(text, str) else text
    with Line(shop.address) as line:
        return line.call("POST", API + BATCH + query, headers, body)


@pytest.fixture(scope="module")
def shop(tree: Tree) -> Iterator[Shop]:
    """A merchant without a worker's hurry: its refunds wait for a second principal."""
    made = other_shop(tree, "MCH-BATCH")
    tree.told("books", "set", "MCH-BATCH", "threshold=0")
    yield made
    tree.audit()


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row's outcome without what differs between runs."""
    return {
        name: row.get(name) for name in ("amount", "amountUsd", "currency", "pendingReason")
    } | {"code": row.get("error", {}).get("code")}


def draw_rows(draw: random.Random, payments: list[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for _ in range(draw.randrange(1, 40)):
        row: dict[str, object] = {"transactionId": draw.choice([*payments, "TXN-MP331BTF-R308"])}
        if draw.random() < 0.85:
            row["amount"] = draw.choice((1, 10, 100.5, 300, 861.18, 0.001, "1", -1))
        if draw.random() < 0.2:
            row["expectedRemaining"] = draw.choice((861.18, 851.18, 0))
        rows.append(row)
    return rows


def twins(tree: Tree) -> tuple[Shop, Shop]:
    """Two merchants with equal books."""
    made = []
    for name in ("ONE", "TWO"):
        merchant = f"MCH-TWIN-{name}-{time.monotonic_ns()}"
        made.append(other_shop(tree, merchant))
        tree.told("books", "set", merchant, "threshold=0")
    return made[0], made[1]


def test_a_batch_is_the_same_single_refunds_in_order(tree: Tree) -> None:
    draw = seeded()
    for _ in range(count(4, 100)):
        batched, single = twins(tree)
        methods = [("sbx_spei", "MX"), ("sbx_card", "MX"), ("sbx_pse", "CO"), ("sbx_oxxo", "MX")]
        mine = [batched.take_payment(method=name, country=where) for name, where in methods]
        theirs = [single.take_payment(method=name, country=where) for name, where in methods]
        rows = draw_rows(draw, mine)
        answer = batched.post(BATCH, {"rows": rows})
        for row, done in zip(rows, answer["rows"], strict=True):
            name = str(row["transactionId"])
            twin = theirs[mine.index(name)] if name in mine else name
            body = {key: value for key, value in row.items() if key != "transactionId"}
            met = single.call("POST", f"/payments/{twin}/refund", body)
            if met.status == 201:
                claim = single.get(f"/claims/{met.json['refundId']}")
                assert plain(done) == plain(claim), (row, done)
                shown = batched.get(f"/claims/{done['refundId']}")
                assert shown["frozenUsd"] == claim["frozenUsd"]
                assert shown["reason"] == claim["reason"]
            else:
                assert done["outcome"] == "refused"
                assert done["error"]["code"] == met.code, (row, done)
        accepted = [row for row in answer["rows"] if row["outcome"] == "created"]
        assert answer["totals"]["accepted"] == len(accepted)
        for one, other in zip(mine, theirs, strict=True):
            assert (
                batched.get(f"/payments/{one}")["remaining"]
                == (single.get(f"/payments/{other}")["remaining"])
            )
    tree.audit()


def test_the_whole_answer(shop: Shop) -> None:
    spei, pse = shop.take_payment(), shop.take_payment(method="sbx_pse", country="CO")
    body = {
        "rows": [
            {"transactionId": spei, "amount": 10, "reference": "c-17", "reason": "other"},
            {"transactionId": pse, "amount": 5},
            {"transactionId": spei, "amount": 1000},
            {"amount": 1, "reference": "none"},
        ]
    }
    answer = shop.post(BATCH, body)
    first = answer["rows"][0]
    assert (first["refundId"][:4], answer["batchId"][:4]) == ("CLM-", "bat_")
    assert first == {
        "row": 1, "transactionId": spei, "reference": "c-17", "outcome": "created",
        "refundId": first["refundId"], "amount": 10, "amountUsd": 0.5806, "currency": "MXN",
        "pendingReason": "awaiting_approval",
    }  # fmt: skip
    assert answer["totals"] == {
        "rows": 4, "accepted": 1, "refused": 3,
        "byCurrency": [{"currency": "MXN", "amount": 10, "amountUsd": 0.5806}],
    }  # fmt: skip
    assert (answer["dryRun"], answer["commitToken"], answer["commitExpiresAt"]) == (
        False, None, None,
    )  # fmt: skip
    codes = [row["error"]["code"] for row in answer["rows"][1:]]
    assert codes == ["partial_refund_not_supported", "refund_exceeds_remaining", "missing_field"]
    assert answer["rows"][2]["error"]["details"]["remaining"] == 851.18
    assert answer["rows"][3]["transactionId"] is None
    assert shop.get(f"/claims/{first['refundId']}")["reason"] == "other"


def test_a_dry_run_then_its_commit(tree: Tree, shop: Shop) -> None:
    spei = shop.take_payment()
    body = {
        "dryRun": True,
        "rows": [{"transactionId": spei, "amount": 10}, {"transactionId": spei, "amount": 900},
                 {"transactionId": spei, "amount": "x", "reference": "odd"}],
    }  # fmt: skip
    with BookHash(tree.dev["databaseUrl"], "MCH-BATCH") as book:
        before = book.quiet()
        shown = shop.post(BATCH, body, 200)
        after = book.now()
    assert [before[name] for name in QUIET] == [after[name] for name in QUIET]
    assert [row["outcome"] for row in shown["rows"]] == ["would_create", "refused", "refused"]
    assert "refundId" not in shown["rows"][0]
    assert shown["commitExpiresAt"] is not None
    done = shop.post(BATCH, {"commitToken": shown["commitToken"]})
    assert [plain(row) for row in done["rows"]] == [plain(row) for row in shown["rows"]]
    assert [row["reference"] for row in done["rows"]] == [None, None, "odd"]
    assert done["rows"][0]["outcome"] == "created"
    again = shop.call("POST", BATCH, {"commitToken": shown["commitToken"]})
    assert (again.status, again.code) == (422, "commit_token_invalid")
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 10


def test_what_has_changed_since_is_not_committed(shop: Shop) -> None:
    spei, other = shop.take_payment(), shop.take_payment()
    body = {"rows": [{"transactionId": other, "amount": 1}, {"transactionId": spei}]}
    shown = shop.post(BATCH, {**body, "dryRun": True}, 200)
    claim = shop.post(f"/payments/{spei}/refund", {"amount": 1})["refundId"]
    stale = shop.call("POST", BATCH, {"commitToken": shown["commitToken"]})
    assert (stale.status, stale.code) == (409, "preview_stale")
    assert stale.json["error"]["details"]["rows"] == [
        {"row": 2, "code": "refund_exceeds_remaining"}
    ]
    assert shop.get(f"/payments/{other}")["amountClaimed"] == 0
    shop.post(f"/claims/{claim}/cancel", {}, 200)
    assert shop.post(BATCH, {"commitToken": shown["commitToken"]})["totals"]["accepted"] == 2


def test_a_token_is_of_one_key_and_one_book_and_fifteen_minutes(
    tree: Tree, shop: Shop, rows: Database
) -> None:
    spei = shop.take_payment()
    body = {"dryRun": True, "rows": [{"transactionId": spei, "amount": 1}]}
    token = shop.post(BATCH, body, 200)["commitToken"]
    sibling = Shop(tree.address, str(tree.told("keys", "create", "MCH-BATCH")["secret"]))
    stranger = other_shop(tree, "MCH-STRANGER")
    for who, given in ((sibling, token), (stranger, token), (shop, f"{token}x"), (shop, "")):
        refused = who.call("POST", BATCH, {"commitToken": given})
        assert (refused.status, refused.code) == (422, "commit_token_invalid")
    digests = rows.rows("SELECT key FROM idempotency_keys WHERE route LIKE '%preview'")
    assert all(token not in row[0] for row in digests)
    rows.execute(
        "UPDATE idempotency_keys SET expires_at = expires_at - interval '15 minutes'"
        " WHERE route LIKE '%preview'"
    )
    assert shop.call("POST", BATCH, {"commitToken": token}).code == "commit_token_invalid"
    fresh = shop.post(BATCH, body, 200)["commitToken"]
    assert shop.call("POST", BATCH, {"commitToken": fresh}).status == 201


def _committed(shop: Shop, token: str) -> Reply:
    """The answer, once there is room: four large commands of a book wait in a process at most."""
    while True:
        answer = shop.call("POST", BATCH, {"commitToken": token})
        if answer.code != "overloaded":
            return answer


def test_a_token_is_used_once_by_many_at_once(shop: Shop) -> None:
    spei = shop.take_payment()
    body = {"dryRun": True, "rows": [{"transactionId": spei, "amount": 1}]}
    for _ in range(3):
        token = shop.post(BATCH, body, 200)["commitToken"]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: _committed(shop, one), [token] * 6))
        assert sorted(one.status for one in answers) == [201, 422, 422, 422, 422, 422]
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 3


def test_batches_and_single_refunds_at_once_stay_under_the_cap(shop: Shop) -> None:
    spei = shop.take_payment()
    part = {"transactionId": spei, "amount": 7}
    asked = [(BATCH, {"rows": [part] * 20})] * 8 + [
        (f"/payments/{spei}/refund", {"amount": 7})
    ] * 40
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda one: shop.call("POST", *one), asked))
    batched = sum(one.json["totals"]["accepted"] for one in answers if "totals" in one.json)
    single = sum("refundId" in one.json for one in answers)
    assert batched + single == 861 // 7
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 861 // 7 * 7


def test_all_or_nothing(shop: Shop) -> None:
    spei = shop.take_payment()
    good, bad = {"transactionId": spei, "amount": 1}, {"transactionId": spei, "amount": 900}
    refused = shop.call("POST", BATCH, {"rows": [good, bad, {}], "allOrNothing": True})
    assert (refused.status, refused.code) == (422, "batch_refused")
    assert refused.json["error"]["details"]["rows"] == [
        {"row": 2, "code": "refund_exceeds_remaining"}, {"row": 3, "code": "missing_field"},
    ]  # fmt: skip
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 0
    shown = shop.post(BATCH, {"rows": [good, bad], "allOrNothing": True, "dryRun": True}, 200)
    assert shown["totals"]["refused"] == 1
    refused = shop.call("POST", BATCH, {"commitToken": shown["commitToken"]})
    assert refused.code == "batch_refused"
    assert shop.post(BATCH, {"rows": [good, good], "allOrNothing": True})["totals"]["accepted"] == 2
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 2


def test_csv(shop: Shop) -> None:
    spei = shop.take_payment()
    text = (
        "transactionId,amount,reason,reference\r\n"
        f'{spei},10,"said ""no"", then yes",=1+1\r\n'
        f"{spei},x,,\r\n"
    )
    shown = send_csv(shop, text, "?dryRun=true")
    assert shown.status == 200
    assert [row["outcome"] for row in shown.json["rows"]] == ["would_create", "refused"]
    done = send_csv(shop, text)
    assert done.status == 201
    row = done.json["rows"][0]
    assert row["reference"] == "=1+1"
    assert shop.get(f"/claims/{row['refundId']}")["reason"] == 'said "no", then yes'
    refused = send_csv(shop, text, "?allOrNothing=true")
    assert refused.code == "batch_refused"
    for wrong, line in (("transactionId\n", 1), ("id\nx\n", 1), ('transactionId\n"x\n', 2)):
        refused = send_csv(shop, wrong)
        assert (refused.status, refused.code) == (400, "invalid_csv")
        assert refused.json["error"]["details"] == {"line": line}


def test_an_idempotency_key_holds_a_batch_together(shop: Shop, rows: Database) -> None:
    spei = shop.take_payment()
    body = {"rows": [{"transactionId": spei, "amount": 10}]}
    first = shop.call("POST", BATCH, body, "batch-key")
    same = shop.call(
        "POST", BATCH, {"rows": [{"amount": 1.0e1, "reason": None, **body["rows"][0]}]}, "batch-key"
    )
    assert (same.body, same.header("idempotent-replayed")) == (first.body, "true")
    other = {"rows": [{"transactionId": spei, "amount": 11}]}
    assert shop.call("POST", BATCH, other, "batch-key").code == "idempotency_conflict"
    text = f"transactionId,amount\n{spei},1\n"
    one, two = (send_csv(shop, text, "", "csv-key") for _ in range(2))
    assert one.body == two.body
    assert send_csv(shop, text + f"{spei},1\n", "", "csv-key").code == ("idempotency_conflict")
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 11
    rows.execute(
        "UPDATE idempotency_keys SET expires_at = created_at WHERE key IN ('batch-key', 'csv-key')"
    )
    late = shop.call("POST", BATCH, body, "batch-key")
    assert late.header("idempotent-replayed") == "true", "its claim is still open"
    shop.post(f"/claims/{first.json['rows'][0]['refundId']}/cancel", {}, 200)
    assert shop.call("POST", BATCH, body, "batch-key").body != first.body


def test_a_committed_token_is_replayed_to_its_own_retry(shop: Shop) -> None:
    spei = shop.take_payment()
    body = {"dryRun": True, "rows": [{"transactionId": spei, "amount": 1}]}
    dry, same = (shop.call("POST", BATCH, body, "dry-key") for _ in range(2))
    assert dry.body == same.body
    token = {"commitToken": dry.json["commitToken"]}
    done, again = (shop.call("POST", BATCH, token, "commit-key") for _ in range(2))
    assert (done.status, again.status, again.body) == (201, 201, done.body)


def test_limits_of_the_key_are_counted_row_by_row(tree: Tree, shop: Shop) -> None:
    spei = shop.take_payment()
    made = tree.told("keys", "create", "MCH-BATCH", "--limits", "1,1.5")
    limited = Shop(tree.address, str(made["secret"]))
    wanted = {"rows": [{"transactionId": spei, "amount": 10}] * 4}
    for _ in range(2):
        shown = limited.post(BATCH, {**wanted, "dryRun": True}, 200)
        assert [row["outcome"] for row in shown["rows"]] == [
            "would_create", "would_create", "refused", "refused",
        ]  # fmt: skip
    done = limited.post(BATCH, wanted)
    codes = [row.get("error", {}).get("code") for row in done["rows"]]
    assert codes == [None, None, "key_limit_exceeded", "key_limit_exceeded"]


def test_what_is_wrong_with_the_request(shop: Shop) -> None:
    spei = shop.take_payment()
    row = {"transactionId": spei, "amount": 1}
    for body, code, param in (
        ({}, "missing_field", "rows"),
        ({"rows": []}, "invalid_field", "rows"),
        ({"rows": [row] * 1001}, "invalid_field", "rows"),
        ({"rows": {}}, "invalid_field", "rows"),
        ({"rows": [1]}, "invalid_field", "rows[0]"),
        ({"rows": [row, {**row, "sum": 1}]}, "unknown_field", "rows[1].sum"),
        ({"rows": [row], "dry": True}, "unknown_field", "dry"),
        ({"rows": [row], "dryRun": "yes"}, "invalid_field", "dryRun"),
        ({"rows": [row], "commitToken": "x"}, "invalid_field", "rows"),
        ({"commitToken": "x", "dryRun": True}, "invalid_field", "dryRun"),
        ({"commitToken": 1}, "invalid_field", "commitToken"),
    ):  # fmt: skip
        refused = shop.call("POST", BATCH, body)
        assert (refused.code, refused.json["error"].get("param")) == (code, param), refused
    refused = shop.call("POST", f"{BATCH}?dryRun=true", {"rows": [row]})
    assert (refused.code, refused.json["error"]["param"]) == ("invalid_parameter", "dryRun")
    assert send_csv(shop, "transactionId\nx\n", "?dryRun=yes").code == "invalid_parameter"
    with Line(shop.address) as line:
        headers = [("Authorization", f"Bearer {shop.key}"), ("Content-Type", "text/csv")]
        elsewhere = line.call("POST", f"{API}/payments/{spei}/refund", headers, b"amount\n1\n")
    assert elsewhere.code == "unsupported_media_type"
    assert shop.get(f"/payments/{spei}")["amountClaimed"] == 0


def test_a_megabyte_is_taken_here_only(shop: Shop) -> None:
    spei = shop.take_payment()
    text = f"transactionId,reason\n{spei},{'r' * 500}\n"
    body = text + f"{spei},{'r' * 500}\n" * 900
    assert 400_000 < len(body) < 1_048_576
    assert send_csv(shop, body, "?dryRun=true").status == 200
    over = send_csv(shop, b"x" * 1_048_577)
    assert (over.status, over.json["error"]["details"]) == (413, {"limit": 1_048_576})
    elsewhere = shop.call("POST", f"/payments/{spei}/refund", {"reason": "r" * 70_000})
    assert (elsewhere.status, elsewhere.json["error"]["details"]) == (413, {"limit": 65_536})


def test_a_large_batch_lets_others_pass(shop: Shop) -> None:
    """While a thousand rows are decided and written, the process answers others in between."""
    payments = [shop.take_payment() for _ in range(10)]
    rows = [{"transactionId": payments[n % 10], "amount": 0.01} for n in range(1000)]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.post, BATCH, {"rows": rows})
        slowest = 0.0
        while not running.done():
            began = time.monotonic()
            assert shop.call("GET", "/ping").status == 200
            slowest = max(slowest, time.monotonic() - began)
        answer = running.result()
    print(f"slowest ping beside it: {slowest * 1000:.0f} ms")
    assert json.dumps(answer["totals"]["byCurrency"][0]["amount"]) == "10"
    assert answer["totals"]["accepted"] == 1000
    assert slowest < 0.5

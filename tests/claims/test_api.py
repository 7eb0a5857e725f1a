"""Refunds and claims over HTTP: the page's answer to the byte, whole claims, every filter, pages.

Expected fields, figures and orders are written out from the refund page and the contract, sections
7.1 and 8. One book of the test's own holds a claim in every state that is reached so far.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

import pytest

from tests.support.lists import (
    Listed,
    Row,
    check_filters,
    check_pages,
    check_refusals,
    check_times,
    equals,
)
from tests.support.shapes import SHAPES, check, load
from tests.support.shops import Shop, demo_shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line

PAGE: Final = re.compile(
    rb'\{"refundId":"(CLM-[0-9A-Z]{8}-[0-9A-Z]{4})","transactionId":"(TXN-[0-9A-Z]{8}-[0-9A-Z]{4})"'
    rb',"amount":10,"amountUsd":0\.5806,"currency":"MXN","status":"pending"'
    rb',"reason":"requested_by_customer"'
    rb',"createdAt":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)"\}'
)
"""The page's answer: its fields, order, units and figures; ids and time are what may differ."""

BODY: Final = '{ "amount": 10, "reason": "requested_by_customer" }'
STEPS: Final = [
    (1, None, "pending", "freeze"),
    (2, "pending", "approved", "resolve_approved"),
    (3, "approved", "released", "release"),
]
LISTS: Final = ("timeline", "attempts", "entries", "evidence")


def test_the_pages_curl_as_typed(served: Tree) -> None:
    shop = demo_shop(served)
    payment = shop.take_payment()
    url, key = served.dev["url"], shop.key
    curl = shutil.which("curl")
    if curl is None:
        body = _curl_by_hand(served, payment, key)
    else:
        done = subprocess.run(
            [curl, "--silent", "--show-error", f"{url}{API}/payments/{payment}/refund", "-H",
             f"Authorization: Bearer {key}", "-H", "Content-Type: application/json", "-d", BODY],
            capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        body = done.stdout
    found = PAGE.fullmatch(body)
    assert found is not None, body
    assert found[2].decode() == payment
    assert shop.get(f"/claims/{found[1].decode()}")["createdAt"] == found[3].decode()


def _curl_by_hand(tree: Tree, payment: str, key: str) -> bytes:
    """The bytes that curl sends for the page's command."""
    host, port = tree.address
    with Line(tree.address) as line:
        line.send(
            f"POST {API}/payments/{payment}/refund HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"User-Agent: curl/8.14.1\r\nAccept: */*\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
        )
        return line.read().body


def test_curl_by_hand_is_understood(served: Tree) -> None:
    shop = demo_shop(served)
    assert PAGE.fullmatch(_curl_by_hand(served, shop.take_payment(), shop.key))


def test_the_answer_is_the_pages_byte_for_byte(served: Tree) -> None:
    shop = demo_shop(served)
    payment = shop.take_payment()
    found = shop.call("POST", f"/payments/{payment}/refund", load(BODY.encode()))
    told = PAGE.fullmatch(found.body)
    assert told is not None, found
    assert found.status == 201
    assert found.header("location") == f"{API}/claims/{told[1].decode()}"
    assert found.header("content-type") == "application/json"
    planted = found.body.replace(b'"currency":"MXN","status"', b'"status":"x","currency"')
    assert PAGE.fullmatch(planted) is None


@pytest.mark.parametrize("body", [{}, {"reason": None}, {"amount": 861.18, "reason": ""}])
def test_nothing_asked_for_is_all_of_it(served: Tree, body: dict[str, object]) -> None:
    shop = demo_shop(served)
    found = shop.call("POST", f"/payments/{shop.take_payment()}/refund", body)
    told = load(found.body)
    check(told, "REFUND")
    assert (told["amount"], told["amountUsd"], told["reason"]) == (861.18, 50, body.get("reason"))


class Scene(NamedTuple):
    """A book, and its claims by name."""

    shop: Shop
    claims: dict[str, str]


@pytest.fixture(scope="module")
def scene(served: Tree) -> Scene:
    """Claims that have come to rest, each in another state."""
    shop = other_shop(served, "MCH-READ-CLAIMS")
    claims: dict[str, str] = {}

    def refund(name: str, payment: str, **body: object) -> None:
        found = shop.call("POST", f"/payments/{payment}/refund", body)
        assert found.status == 201, found
        check(load(found.body), "REFUND")
        claims[name] = found.json["refundId"]

    refund("funds", shop.take_payment(method="sbx_card"))
    spei = shop.take_payment()
    refund("first", spei, amount=10, reason="x" * 500)
    refund("second", spei, reason="é😀", amount=851.18)
    refund("details", shop.take_payment(method="sbx_oxxo"), amount=0.01)
    refund("canceled", shop.take_payment(method="sbx_oxxo"), amount=1)
    shop.post(f"/claims/{claims['canceled']}/cancel", {"reason": "changed"}, 200)
    refund("brl", shop.take_payment(method="sbx_pix", country="BR"), amount=269.75)
    ids = [claims[name] for name in ("first", "second", "brl")]
    _until(lambda: all(shop.get(f"/claims/{one}")["status"] == "released" for one in ids))
    payment = shop.take_payment()
    fault = {"operation": "refund", "sequence": ["decline"], "transactionId": payment}
    shop.post("/sandbox/faults", fault)
    refund("failed", payment, amount=5)
    _until(lambda: shop.get(f"/claims/{claims['failed']}")["status"] == "failed")
    served.told("books", "set", "MCH-READ-CLAIMS", "threshold=50")
    refund("approval", shop.take_payment())
    _until(lambda: shop.get(f"/claims/{claims['approval']}")["pendingReason"] is not None)
    return Scene(shop, claims)


def _until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def listed(scene: Scene) -> Listed:
    return Listed(scene.shop, "/claims", "CLAIM_ROW")


def test_a_whole_claim_is_its_row_and_its_history(scene: Scene, listed: Listed) -> None:
    rows = {row["id"]: row for row in listed.whole()}
    assert rows.keys() == set(scene.claims.values())
    for name in scene.claims.values():
        found = scene.shop.call("GET", f"/claims/{name}")
        whole = load(found.body)
        parts = {part: whole.pop(part) for part in LISTS}
        check(whole, "CLAIM_ROW")
        check({part: parts[part] for part in SHAPES["CLAIM_PARTS"]}, "CLAIM_PARTS")
        assert whole == rows[name]
        versions = [step["version"] for step in parts["timeline"]]
        assert versions == list(range(1, whole["version"] + 1))
        assert parts["timeline"][-1]["to"] == whole["status"]
        assert (whole["kind"], whole["refundId"]) == ("user_dispute", name)
        for link in parts["entries"]:
            assert link["href"] == f"{API}/ledger/entries?id={link['id']}"
            [entry] = scene.shop.get("/ledger/entries", id=link["id"])["data"]
            assert (entry["id"], entry["type"], entry["claimId"]) == (*_named(link), name)


def _named(link: dict[str, str]) -> tuple[str, str]:
    return link["id"], link["type"]


def test_states_are_the_contracts(scene: Scene) -> None:
    states = {
        "first": ("released", None, "refunded"),
        "second": ("released", None, "refunded"),
        "brl": ("released", None, "refunded"),
        "canceled": ("canceled", None, "canceled_by_merchant"),
        "failed": ("failed", None, "declined_by_provider"),
        "details": ("pending", "awaiting_payer_details", None),
        "funds": ("pending", "awaiting_funds", None),
        "approval": ("pending", "awaiting_approval", None),
    }
    assert states.keys() == scene.claims.keys()
    for name, state in states.items():
        found = scene.shop.get(f"/claims/{scene.claims[name]}")
        assert (found["status"], found["pendingReason"], found["resolution"]) == state, name
        ended = state[0] in {"released", "canceled", "failed"}
        assert (found["resolvedAt"] is not None) == ended
        assert (found["releasedAt"] is not None) == (state[0] == "released")
        released = state[0] == "released"
        assert found["amountReleased"] == (found["amount"] if released else 0)
        assert found["amountReleasedUsd"] == (found["amountUsd"] if released else 0)
        left = 0 if ended else found["amountUsd"]
        assert round(found["frozenUsd"] + found["missingUsd"], 4) == left
        assert found["inTransitUsd"] == found["excessUsd"] == found["excessAmount"] == 0
    first, second = (scene.shop.get(f"/claims/{scene.claims[n]}") for n in ("first", "second"))
    assert (first["amountUsd"], second["amountUsd"]) == (0.5806, 49.4194)
    assert (first["reason"], second["reason"]) == ("x" * 500, "é😀")
    assert first["requestedBy"] == first["timeline"][0]["actor"]
    assert first["requestedBy"].startswith("key:key_")
    approval = scene.shop.get(f"/claims/{scene.claims['approval']}")["approval"]
    assert approval == {"required": True, "by": None, "at": None}
    funds = scene.shop.get(f"/claims/{scene.claims['funds']}")
    assert funds["missingUsd"] == 1.75


def test_a_released_claim_tells_its_way(scene: Scene) -> None:
    found = scene.shop.get(f"/claims/{scene.claims['first']}")
    steps = [(s["version"], s["from"], s["to"], s["movement"]) for s in found["timeline"]]
    assert steps == STEPS
    assert [step["actor"] for step in found["timeline"]][1:] == ["worker", "provider:sandbox"]
    assert [link["type"] for link in found["entries"]] == ["freeze", "resolve_approved", "release"]
    attempt = found["attempts"][0]
    assert (attempt["number"], attempt["operation"]) == (1, "refund")
    assert attempt["outcome"] in {"accepted", "settled"}
    assert found["providerReference"] == attempt["providerReference"]
    more = {one["operation"] for one in found["attempts"][1:]}
    assert more <= {"lookup"}, "the provider was told twice"
    failed = scene.shop.get(f"/claims/{scene.claims['failed']}")
    assert [step["movement"] for step in failed["timeline"]][-1] == "fail"
    assert failed["attempts"][-1]["outcome"] == "declined"


def test_every_filter_finds_its_rows(scene: Scene, listed: Listed) -> None:
    rows = listed.whole()
    values: dict[str, tuple[str, ...]] = {
        "kind": ("user_dispute", "chargeback", "med"),
        "status": ("pending", "approved", "released", "canceled", "failed", "reversed", "rejected"),
        "pendingReason": ("awaiting_funds", "awaiting_payer_details", "awaiting_approval",
                          "processing", "provider_unknown"),
        "transactionId": (rows[0]["transactionId"], rows[-2]["transactionId"], "TXN-0"),
        "shopId": (rows[0]["shopId"], "SHP-MP2Z7QK4-0000"),
    }  # fmt: skip
    filters = equals(values)
    filters["needsReview", "true"] = lambda row: row["needsReview"]
    filters["needsReview", "false"] = lambda row: not row["needsReview"]
    for at in _around(rows):
        filters["dueBefore", at] = partial(_is_due_before, at)
    counts = {name: [0] for name, _ in filters}
    for (name, _), rule in filters.items():
        counts[name].append(sum(map(rule, rows)))
    assert all(max(found) > 0 for found in counts.values())
    assert len(set(counts["dueBefore"])) > 2, "deadlines differ"
    check_filters(listed, filters)


def _deadlines(row: Row) -> list[str]:
    names = ("evidenceDueAt", "payerDetailsDueAt", "refundDeadlineAt")
    return [row[name] for name in names if row[name] is not None]


def _is_due_before(at: str, row: Row) -> bool:
    is_open = row["status"] in {"pending", "approved"}
    return is_open and bool(_deadlines(row)) and min(_deadlines(row)) < at


def _around(rows: list[Row]) -> list[str]:
    """Every deadline, and a millisecond after it."""
    found = []
    for at in sorted({at for row in rows for at in _deadlines(row)}):
        later = datetime.fromisoformat(at) + timedelta(milliseconds=1)
        found += [at, later.isoformat(timespec="milliseconds").replace("+00:00", "Z")]
    return found


def test_pages_are_slices_newest_first(listed: Listed) -> None:
    check_pages(listed)
    rows = listed.whole()
    assert rows == sorted(rows, key=lambda row: (row["createdAt"], row["id"]), reverse=True)


def test_from_is_included_and_to_is_not(listed: Listed) -> None:
    check_times(listed)


def test_parameters_out_of_form_are_refused(listed: Listed) -> None:
    check_refusals(listed)
    for query in ("needsReview=yes", "dueBefore=2026-05-12T00:00:00", "dueBefore=tomorrow",
                  "dueBefore=9999-12-31T23:59:59-14:00", "claimId=x"):  # fmt: skip
        listed.refuses(query)

"""GET /events over HTTP: one event for each change, every filter, and a cursor that never skips.

The reader's cursor is tried while several writers make events through two API processes: what was
followed must be what is there at the end, in one order, without a gap (contract, 10.1).
"""

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import pytest

from tests.support.counts import count
from tests.support.lists import Listed, Row, check_refusals, check_times
from tests.support.shapes import check
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

WRITERS: Final = 6


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    made = other_shop(served, "MCH-READ-EVENTS")
    payment = made.take_payment()
    made.post(f"/payments/{payment}/refund", {"amount": 10})
    made.post(f"/payments/{made.take_payment()}/refund", {})
    oxxo = made.take_payment(method="sbx_oxxo")
    claim = made.post(f"/payments/{oxxo}/refund", {"amount": 1})["refundId"]
    made.post(f"/claims/{claim}/cancel", {}, 200)
    for action in ("failed", "expired", "processing"):
        made.take_payment(action=action)
    made.wait_until_settled(30)
    return made


@pytest.fixture(scope="module")
def listed(shop: Shop) -> Listed:
    return Listed(shop, "/events", "EVENT")


def whole(listed: Listed, limit: int = 100, **query: object) -> list[Row]:
    """All events along the cursor, which never ends but only stops to give more."""
    rows, told = listed.page(limit=limit, **query)
    found = list(rows)
    while rows:
        assert told["next"] == rows[-1]["id"]
        rows, more = listed.page(limit=limit, after=told["next"], **query)
        assert (more["total"], more["offset"], more["pages"]) == (None, None, None)
        newest = rows[-1]["id"] if rows else told["next"]
        assert more["next"] == newest or (
            query and not rows and more["next"][12:20] > newest[12:20]
        )
        found, told = found + rows, more
    return found


def test_each_change_is_one_event(shop: Shop, listed: Listed) -> None:
    by_object: dict[str, list[Row]] = defaultdict(list)
    for event in whole(listed):
        told = event["data"]["object"]
        is_claim = event["type"].startswith("claim.")
        check(told, "CLAIM_ROW" if is_claim else "PAYMENT")
        assert (event["mode"], event["merchantId"]) == ("test", "MCH-READ-EVENTS")
        assert event["apiVersion"] == "2026-05-12"
        assert told["version"] == event["data"]["version"]
        by_object[told["id"]].append(event)
    assert by_object.keys() == _objects(shop).keys()
    for name, current in _objects(shop).items():
        events = by_object[name]
        assert [one["data"]["version"] for one in events] == [*range(1, current["version"] + 1)]
        before = [None, *(one["data"]["object"]["status"] for one in events)]
        assert [one["data"]["previousStatus"] for one in events] == before[:-1]
        last = events[-1]["data"]["object"]
        free = {"updatedAt", "providerReference", "railReference", "expectedBy", "paymentData"}
        assert {k: v for k, v in last.items() if k not in free} == {
            k: v for k, v in current.items() if k not in free
        }


def _objects(shop: Shop) -> dict[str, Row]:
    rows = [*shop.get("/payments", limit=100)["data"], *shop.get("/claims", limit=100)["data"]]
    return {row["id"]: row for row in rows}


def test_types_are_named_for_what_happened(listed: Listed) -> None:
    found = {event["type"] for event in whole(listed)}
    assert found >= {
        "payment.created", "payment.processing", "payment.completed", "payment.failed",
        "payment.expired", "payment.updated", "payment.refunded", "claim.opened", "claim.approved",
        "claim.released", "claim.canceled",
    }  # fmt: skip
    for event in whole(listed):
        status = event["data"]["object"]["status"]
        noun, verb = event["type"].split(".")
        assert noun in {"payment", "claim"}
        assert verb in {status, "created", "opened", "updated"}, event


def test_a_body_never_changes(shop: Shop) -> None:
    first = shop.call("GET", "/events?limit=100").body
    assert shop.call("GET", "/events?limit=100").body == first


def test_every_filter_finds_its_rows(listed: Listed) -> None:
    rows = whole(listed)
    rules: dict[tuple[str, str], Callable[[Row], bool]] = {("type", "*"): bool}
    for kind in ("payment.completed", "claim.opened", "claim.reversed", "webhook.disabled"):
        rules["type", kind] = partial(_is_type, kind)
    for noun in ("payment", "claim"):
        rules["type", f"{noun}.*"] = partial(_is_of, noun)
    for name in {row["data"]["object"]["id"] for row in rows} | {"CLM-MP331G7R-9F49"}:
        rules["objectId", name] = partial(_is_about, name)
    for (name, value), rule in rules.items():
        expected = [row for row in rows if rule(row)]
        assert whole(listed, 100, **{name: value}) == expected, value
        assert whole(listed, 2, **{name: value}) == expected, value
    first = next(row for row in rows if row["type"] == "claim.opened")
    both = whole(listed, type="claim.*", objectId=first["data"]["object"]["id"])
    assert both == [
        row for row in rows if row["data"]["object"]["id"] == first["data"]["object"]["id"]
    ]


def _is_type(kind: str, row: Row) -> bool:
    return bool(row["type"] == kind)


def _is_of(noun: str, row: Row) -> bool:
    return bool(row["type"].split(".")[0] == noun)


def _is_about(name: str, row: Row) -> bool:
    return bool(row["data"]["object"]["id"] == name)


def test_pages_are_slices_oldest_first(listed: Listed) -> None:
    rows = whole(listed)
    for limit in (1, 3, len(rows) - 1, len(rows), len(rows) + 1):
        assert whole(listed, limit) == rows
    for asked, clamped in (("0", 1), ("-3", 1), ("101", 100)):
        assert listed.page(limit=asked)[1]["limit"] == clamped
    assert listed.page()[1]["limit"] == 50
    times = [row["createdAt"] for row in rows]
    assert times == sorted(times)


def test_a_cursor_at_the_end_goes_on(served: Tree) -> None:
    shop = other_shop(served, "MCH-LAST-EVENT")
    listed = Listed(shop, "/events", "EVENT")
    assert listed.page()[0] == []
    shop.take_payment(action="")
    last = whole(listed)[-1]["id"]
    rows, told = listed.page(after=last)
    assert (rows, told["next"]) == ([], last)
    payment = shop.take_payment(action="")
    rows, _ = listed.page(after=last)
    assert [row["data"]["object"]["id"] for row in rows] == [payment]


def test_a_cursor_never_skips_while_others_write(served: Tree) -> None:
    shop = other_shop(served, "MCH-BUSY-EVENTS")
    listed = Listed(shop, "/events", "EVENT")
    done = threading.Event()
    with ThreadPoolExecutor(WRITERS + 2) as pool:
        readers = [pool.submit(_follow, listed, done, limit) for limit in (1, 7)]
        each = count(4, 400)
        asked = [pool.submit(_write, shop, each) for _ in range(WRITERS)]
        payments = {name for one in asked for name in one.result()}
        shop.wait_until_settled(60)
        done.set()
        followed = [one.result() for one in readers]
    rows = whole(listed)
    assert followed == [rows, rows]
    assert {name for row in rows if (name := row["data"]["object"]["id"])[:3] == "TXN"} == payments
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["type"] for row in rows} >= {"payment.created", "claim.opened", "claim.released"}


def _write(shop: Shop, times: int) -> list[str]:
    made = []
    for _ in range(times):
        payment = shop.take_payment()
        shop.post(f"/payments/{payment}/refund", {"amount": 1})
        made.append(payment)
    return made


def _follow(listed: Listed, done: threading.Event, limit: int) -> list[Row]:
    """Read along the cursor until nothing comes any more after all is done."""
    found: list[Row] = []
    after: dict[str, object] = {}
    for _ in itertools.count():
        was_done = done.is_set()
        rows, told = listed.page(limit=limit, **after)
        found += rows
        if told["next"] is not None:
            after = {"after": told["next"]}
        if not rows and was_done:
            break
        if not rows:
            done.wait(0.02)
    return found


def test_from_is_included_and_to_is_not(listed: Listed) -> None:
    check_times(listed)


def test_parameters_out_of_form_are_refused(listed: Listed) -> None:
    check_refusals(listed, "offset")
    for query in ("offset=0", "type=", "objectId=", "object_id=x", "type=claim.*&type=payment.*"):
        listed.refuses(query)


def test_a_cursor_of_another_book_is_none(served: Tree, listed: Listed) -> None:
    foreign = other_shop(served, "MCH-OTHER-EVENTS")
    foreign.take_payment(action="")
    name = whole(Listed(foreign, "/events", "EVENT"))[0]["id"]
    listed.refuses(f"after={name}")
    listed.refuses(f"after={name.upper()}")

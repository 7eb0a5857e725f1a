"""Payments as they are read over HTTP: whole objects, every filter, pages (contract, 5 and 6).

One book of the test's own with a payment of each kind; what a filter must find is decided here,
by looking at each row of the whole list.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pytest

from tests.support.databases import Database
from tests.support.lists import (
    Listed,
    check_filters,
    check_pages,
    check_refusals,
    check_times,
    equals,
)
from tests.support.shapes import check, load, misfits
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import Reply

MERCHANT: Final = "MCH-READ-PAYMENTS"
SECOND_SHOP: Final = "SHP-MP2Z7QK4-5T1C"
GIVEN: Final[Mapping[str, Any]] = {
    "merchantOrderId": "A-1001 é😀", "userName": "Ana", "userEmail": "ana@example.com",
    "userPhone": "+52 55", "documentType": "CURP", "documentId": "X1",
    "returnUrl": "https://shop.example/back?a=1", "metadata": {"a": "1", "k" * 40: "v" * 500},
}  # fmt: skip


class Scene(NamedTuple):
    """The book, its payments by name, and what they were answered with when they were made."""

    shop: Shop
    second: Shop
    made: dict[str, Reply]


def pay(shop: Shop, method: str = "sbx_spei", country: str = "MX", **more: object) -> Reply:
    body = {"amount": 50, "paymentMethodId": method, "country": country, **more}
    found = shop.call("POST", "/payments", body)
    assert found.status == 201, found
    return found


@pytest.fixture(scope="module")
def scene(served: Tree) -> Scene:
    shop = other_shop(served, MERCHANT)
    second = _second_shop(served)
    made = {
        "given": pay(shop, **GIVEN),
        "card": pay(shop, "sbx_card", "BR", amount=0.57, merchantOrderId="A-2"),
        "clp": pay(shop, "sbx_card", "CL", merchantOrderId="A-2"),
        "usd": pay(second, "sbx_card", "US", amount=99999.99),
        **{name: pay(shop) for name in ("pending", "processing", "failed", "paid", "part")},
        "expired": pay(shop, "sbx_oxxo"),
        "refunded": pay(second, "sbx_pix", "BR"),
        "pse": pay(shop, "sbx_pse", "COL", amount=0.01),
    }
    actions = {"paid": "paid", "part": "paid", "refunded": "paid", "expired": "expired",
               "failed": "failed", "processing": "processing"}  # fmt: skip
    for name, action in actions.items():
        path = f"/payments/{made[name].json['id']}"
        check(shop.post(f"{path}/simulate", {"action": action}, 200), "SIMULATED")
    shop.post(f"/payments/{made['part'].json['id']}/refund", {"amount": 10})
    shop.post(f"/payments/{made['refunded'].json['id']}/refund", {})
    shop.wait_until_settled(30)
    return Scene(shop, second, made)


def _second_shop(tree: Tree) -> Shop:
    """A key of the same book that names another shop; there is no command that opens one yet."""
    key = tree.told("keys", "create", MERCHANT, "--rate", "10000")
    with Database(tree.dev["databaseUrl"]) as database:
        database.execute(
            "INSERT INTO shops (shop_id, merchant_id, name, created_at) VALUES ($1, $2, 'Sur',"
            " now())",
            SECOND_SHOP,
            MERCHANT,
        )
        database.execute(
            "UPDATE api_keys SET shop_id = $1 WHERE key_id = $2", SECOND_SHOP, key["key"]
        )
    return Shop(tree.address, str(key["secret"]))


@pytest.fixture(scope="module")
def listed(scene: Scene) -> Listed:
    return Listed(scene.shop, "/payments", "PAYMENT")


def test_a_payment_is_one_object_on_post_get_and_in_lists(scene: Scene, listed: Listed) -> None:
    rows = {row["id"]: row for row in listed.whole()}
    assert len(rows) == len(scene.made)
    for name, reply in scene.made.items():
        created = load(reply.body)
        check(created, "PAYMENT")
        path = f"/payments/{created['id']}"
        assert reply.header("location") == f"/api/v1{path}"
        found = scene.shop.call("GET", path)
        check(load(found.body), "PAYMENT")
        assert load(found.body) == rows[created["id"]]
        fixed = {"id", "amount", "amountLocal", "fxRate", "fxRateAt", "createdAt", "shopId",
                 "country", "paymentMethodId", "fees", "metadata", *GIVEN}  # fmt: skip
        for field in fixed:
            assert created[field] == rows[created["id"]][field], (name, field)


def test_figures_are_the_contracts(scene: Scene) -> None:
    figures: dict[str, dict[str, Any]] = {
        "paid": {"amountLocal": 861.18, "currencyLocal": "MXN", "fxRate": 17.2236,
                 "remaining": 861.18, "status": "completed", "version": 2, "paymentMethod": "spei"},
        "part": {"amountClaimed": 10, "remaining": 851.18, "amountRefunded": 10,
                 "status": "completed"},
        "pending": {"remaining": 0, "status": "pending", "version": 1, "completedAt": None},
        "processing": {"status": "processing", "remaining": 0},
        "failed": {"status": "failed", "remaining": 0},
        "expired": {"status": "expired", "remaining": 0},
        "refunded": {"status": "refunded", "remaining": 0, "amountClaimed": 269.75,
                     "amountRefunded": 269.75, "shopId": SECOND_SHOP},
        "card": {"amount": 0.57, "amountLocal": 3.08, "status": "completed",
                 "fees": {"platform": 0.3165, "provider": 0, "network": 0, "total": 0.3165}},
        "clp": {"amountLocal": 47108, "currencyLocal": "CLP", "fxRate": 942.15},
        "usd": {"amountLocal": 99999.99, "fxRate": 1, "shopId": SECOND_SHOP},
        "pse": {"country": "CO", "amount": 0.01, "amountLocal": 40.12},
        "given": dict(GIVEN),
    }  # fmt: skip
    assert figures.keys() == scene.made.keys()
    for name, figure in figures.items():
        found = scene.shop.get(f"/payments/{scene.made[name].json['id']}")
        assert {field: found[field] for field in figure} == figure, name
        assert found["amountChargedBack"] == 0
        assert (found["disputed"], found["openDisputeId"]) == (False, None)
        assert found["mode"] == "test"
        assert found["currency"] == "USD"


def test_how_to_pay_has_the_methods_fields(scene: Scene) -> None:
    fields = {
        "paid": ["method", "clabe", "bankName", "beneficiary", "reference"],
        "expired": ["method", "voucherCode", "voucherUrl", "reference"],
        "refunded": ["method", "qrCode", "qrCodeUrl"],
        "pse": ["method", "redirectUrl"],
        "clp": ["method", "brand"],
    }
    for name, expected in fields.items():
        found = scene.made[name].json
        assert list(found["paymentData"]) == expected
        assert found["paymentData"]["method"] == found["paymentMethod"]


def test_every_filter_finds_its_rows(scene: Scene, listed: Listed) -> None:
    values = {
        "status": ("pending", "processing", "completed", "failed", "expired", "refunded",
                   "chargeback"),
        "paymentMethodId": ("sbx_spei", "sbx_card", "sbx_none"),
        "paymentMethod": ("spei", "pix", "none"),
        "country": ("MX", "BR", "CO", "PE"),
        "currencyLocal": ("MXN", "BRL", "USD", "XXX"),
        "merchantOrderId": ("A-2", "A-1001 é😀", "a-2", "%", "A-_"),
        "shopId": (SECOND_SHOP, scene.made["paid"].json["shopId"], "SHP-MP2Z7QK4-0000"),
    }  # fmt: skip
    filters = equals(values)
    filters["disputed", "true"] = lambda row: row["disputed"]
    filters["disputed", "false"] = lambda row: not row["disputed"]
    found = {name for (name, _), rule in filters.items() if any(map(rule, listed.whole()))}
    assert found == {*values, "disputed"}, "a filter that finds nothing shows nothing"
    check_filters(listed, filters)


def test_pages_are_slices_newest_first(listed: Listed) -> None:
    check_pages(listed)
    check_pages(listed, status="completed")
    rows = listed.whole()
    assert rows == sorted(rows, key=lambda row: (row["createdAt"], row["id"]), reverse=True)


def test_rows_of_one_instant_are_paged_by_id(served: Tree) -> None:
    shop = other_shop(served, "MCH-ONE-INSTANT")
    for _ in range(5):
        pay(shop)
    with Database(served.dev["databaseUrl"]) as database:
        database.execute(
            "UPDATE payments SET created_at = '2026-05-12T20:00Z' WHERE book_id = (SELECT book_id"
            " FROM books WHERE merchant_id = 'MCH-ONE-INSTANT' AND mode = 'test')"
        )
    listed = Listed(shop, "/payments", "PAYMENT")
    check_pages(listed)
    ids = [row["id"] for row in listed.whole()]
    assert ids == sorted(ids, reverse=True)


def test_from_is_included_and_to_is_not(listed: Listed) -> None:
    check_times(listed)


def test_parameters_out_of_form_are_refused(listed: Listed) -> None:
    check_refusals(listed)
    for query in ("disputed=1", "disputed=True", "disputed=", "status=", "payment_method=spei",
                  "status=pending&status=failed", "STATUS=pending"):  # fmt: skip
        listed.refuses(query)


def test_the_methods_are_listed_as_the_contract_says(scene: Scene) -> None:
    channels = {"sbx_spei": "ONLINE", "sbx_oxxo": "CASH", "sbx_pix": "ONLINE",
                "sbx_pse": "ONLINE", "sbx_card": "CREDIT_CARD"}  # fmt: skip
    whole = _methods(scene.shop, "")
    assert {one["paymentMethodId"]: one["channel"] for one in whole["methods"]} == channels
    assert whole["filters"] == {"country": None, "channel": None, "method": None}
    for query, expected in {
        "?country=MX": {"sbx_spei", "sbx_oxxo", "sbx_card"},
        "?country=BRA&channel=ONLINE": {"sbx_pix"},
        "?method=pse": {"sbx_pse"},
        "?channel=CREDIT_CARD": {"sbx_card"},
        "?country=US&method=spei": set(),
    }.items():
        found = _methods(scene.shop, query)
        assert {one["paymentMethodId"] for one in found["methods"]} == expected
        assert found["count"] == found["routableCount"] == len(expected)
        assert found["totalAvailable"] == 5
    spei = next(one for one in whole["methods"] if one["paymentMethodId"] == "sbx_spei")
    assert spei == {
        "paymentMethodId": "sbx_spei", "method": "spei", "name": "SPEI", "countries": ["MX"],
        "channel": "ONLINE", "currencies": ["MXN"], "minUsd": 0.01, "maxUsd": 100000,
        "fee": {"percent": 0, "fixedUsd": 0}, "iconUrl": "/static/rails/spei.svg",
        "routable": True, "requiredFields": [],
        "refund": {"supported": True, "partial": True, "multiple": True, "maxRefunds": None,
                   "windowDays": 180, "payerFields": []},
    }  # fmt: skip
    for wrong in ("country=XX", "channel=online", "channel=", "id=1", "country=MX&country=MX"):
        refused = scene.shop.call("GET", f"/payment-methods?{wrong}")
        assert (refused.status, refused.code) == (400, "invalid_parameter"), wrong


def _methods(shop: Shop, query: str) -> dict[str, Any]:
    found = shop.call("GET", f"/payment-methods{query}")
    assert found.status == 200, found
    told: dict[str, Any] = load(found.body)
    check(told, "METHODS")
    return told


def test_the_table_of_fields_catches_planted_faults(scene: Scene) -> None:
    body = scene.made["paid"].body
    assert not [*misfits(load(body), "PAYMENT")]
    for old, new in ((b'"version":1', b'"version":1.5'), (b'"version":1', b'"versions":1'),
                     (b'"amountLocal":861.18', b'"amountLocal":861.180'),
                     (b'"amountLocal":861.18', b'"amountLocal":"861.18"'),
                     (b'"amountLocal":861.18', b'"amountLocal":8.6118e2'),
                     (b'"disputed":false', b'"disputed":0'), (b'"mode":"test"', b'"mode":null'),
                     (b'"currency":"USD","amountLocal":861.18', b'"amountLocal":1,"currency":"U"'),
                     (b'"settlement":{"type"', b'"settlement":{"kind"')):  # fmt: skip
        assert old in body, old
        assert [*misfits(load(body.replace(old, new)), "PAYMENT")], new

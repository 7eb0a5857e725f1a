"""GET /ping and GET /me: what a key is told about itself, its merchant and its book."""

from typing import Any

from tests.support.databases import Database
from tests.support.shapes import check, load
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

MERCHANT = "MCH-READ-ME"


def told(shop: Shop, path: str, shape: str) -> dict[str, Any]:
    found = shop.call("GET", path)
    assert found.status == 200, found
    body: dict[str, Any] = load(found.body)
    check(body, shape)
    return body


def test_a_key_is_told_what_it_opens(served: Tree) -> None:
    shop = other_shop(served, MERCHANT)
    settings = ("threshold=100.5", "reserve=2.5", "reserve-days=30", "credit-line=10",
                "require-idempotency-key=yes", "idempotency-hours=48")  # fmt: skip
    served.told("books", "set", MERCHANT, *settings)
    limited = served.told("keys", "create", MERCHANT, "--limits", "500.25,-", "--scopes",
                          "payments:read,claims:write")  # fmt: skip
    with Database(served.dev["databaseUrl"]) as database:
        database.execute(
            "UPDATE api_keys SET expires_at = '2036-05-12T20:27:53.561Z' WHERE key_id = $1",
            limited["key"],
        )
    me = told(Shop(served.address, str(limited["secret"])), "/me", "ME")
    assert (me["id"], me["name"], me["mode"]) == (MERCHANT, f"Shop of {MERCHANT}", "test")
    assert me["shops"] == [me["shop"]]
    assert me["key"] == {
        "id": limited["key"],
        "scopes": ["payments:read", "claims:write"],
        "limits": {"maxClaimUsd": 500.25, "maxDayUsd": None},
        "expiresAt": "2036-05-12T20:27:53.561Z",
    }
    assert me["settings"] == {
        "approvalThresholdUsd": 100.5, "requireIdempotencyKey": True, "idempotencyHours": 48,
        "reservePercent": 2.5, "reserveDays": 30, "creditLineUsd": 10,
    }  # fmt: skip
    free = told(shop, "/me", "ME")["key"]
    assert (free["scopes"], free["limits"], free["expiresAt"]) == (["*"], None, None)
    live = served.told("keys", "create", MERCHANT, "--live", "--publishable")
    pinged = told(Shop(served.address, str(live["secret"])), "/ping", "PING")
    pinged.pop("timestamp")
    assert pinged == {
        "ok": True, "mode": "live", "keyKind": "publishable", "keyId": live["key"],
        "apiVersion": "2026-05-12", "merchant": {"id": MERCHANT, "name": f"Shop of {MERCHANT}"},
    }  # fmt: skip

"""Keys over HTTP: dead soon after revocation and at expiry, limits to the cent, rates as told.

Contract, section 2 (limits, revocation), 3 (`key_limit_exceeded`) and 13 (rates and headers).
"""

import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply, bearer, request

MERCHANT: Final = "MCH-KEYS"
DEAD_SECONDS: Final = 2.0
LIFE_SECONDS: Final = 1.0
DAY_SECONDS: Final = 86_400
SURE_SECONDS: Final = 0.7
"""A key that was refused for so long by all processes is dead."""


@pytest.fixture(scope="module", autouse=True)
def shop(served: Tree) -> Shop:
    return other_shop(served, MERCHANT)


@pytest.fixture(scope="module")
def database(served: Tree) -> Iterator[Database]:
    with Database(served.dev["databaseUrl"]) as made:
        yield made


def new_key(tree: Tree, *options: str, merchant: str = MERCHANT) -> tuple[Shop, str]:
    made = tree.told("keys", "create", merchant, *options)
    return Shop(tree.address, str(made["secret"])), str(made["key"])


def until_dead(tree: Tree, shop: Shop, since: float) -> float:
    """Seconds until no process takes the key any more; it is asked without a break before."""
    last = since
    address = 0
    while time.monotonic() < max(last, since) + SURE_SECONDS:
        address += 1
        with Line(tree.address, source=f"127.9.{address // 200}.{address % 200 + 1}") as line:
            found = line.call("GET", f"{API}/me", bearer(shop.key), None)
        assert found.status in {200, 401}, found
        if found.status == 200:
            last = time.monotonic()
        else:
            assert found.code == "invalid_api_key"
        time.sleep(0.005)
    return last - since


def test_a_revoked_key_is_dead_within_two_seconds(served: Tree, database: Database) -> None:
    shop, name = new_key(served, "--rate", "10000")
    for _ in range(40):
        assert shop.call("GET", "/me").status == 200
    since = time.monotonic()
    database.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1", name)
    assert until_dead(served, shop, since) <= DEAD_SECONDS


def test_a_key_revoked_while_the_body_is_read_makes_no_refund(
    served: Tree, database: Database, shop: Shop
) -> None:
    revoked, name = new_key(served)
    payment = shop.take_payment()
    path = f"{API}/payments/{payment}/refund"
    whole = request("POST", path, bearer(revoked.key), b'{"amount":10}')
    with Line(served.address) as line:
        line.send(whole[:-5])
        database.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1", name)
        time.sleep(DEAD_SECONDS)
        line.send(whole[-5:])
        found = line.read()
    assert (found.status, found.code) == (401, "invalid_api_key")
    assert shop.claims_of(payment) == []
    with Line(served.address) as line:  # the control: under a key that lives it is a refund
        line.send(whole.replace(revoked.key.encode(), shop.key.encode()))
        assert line.read().status == 201


def test_a_key_dies_at_its_expiry(served: Tree, database: Database) -> None:
    shop, name = new_key(served, "--rate", "10000")
    assert shop.call("GET", "/me").status == 200
    database.execute(
        "UPDATE api_keys SET expires_at = now() + make_interval(secs => $2) WHERE key_id = $1",
        name,
        DEAD_SECONDS + LIFE_SECONDS,
    )
    since = time.monotonic() + DEAD_SECONDS + LIFE_SECONDS
    time.sleep(DEAD_SECONDS)
    assert shop.get("/me")["key"]["expiresAt"] is not None
    assert until_dead(served, shop, since) <= 0.1


def test_the_command_revokes_and_a_longer_life_is_believed_again(
    served: Tree, database: Database
) -> None:
    shop, name = new_key(served)
    other, longer = new_key(served)
    statement = "UPDATE api_keys SET expires_at = now() + make_interval(secs => $2)"
    database.execute(f"{statement} WHERE key_id = $1", longer, -1.0)
    assert shop.call("GET", "/me").status == 200
    assert other.call("GET", "/me").code == "invalid_api_key"
    served.told("keys", "revoke", name)
    database.execute(f"{statement} WHERE key_id = $1", longer, 3600.0)
    time.sleep(DEAD_SECONDS)
    assert shop.call("GET", "/me").code == "invalid_api_key"
    assert other.call("GET", "/me").status == 200


def refuse(shop: Shop, payment: str, amount: float | None) -> dict[str, Any]:
    """The details with which a refund is refused by a limit."""
    body = {} if amount is None else {"amount": amount}
    found = shop.call("POST", f"/payments/{payment}/refund", body)
    assert (found.status, found.code) == (403, "key_limit_exceeded"), found
    details: dict[str, Any] = found.json["error"]["details"]
    return details


def test_a_limit_for_each_claim(served: Tree, shop: Shop) -> None:
    limited, _ = new_key(served, "--limits", "0.5806,-")
    payment = shop.take_payment()
    assert refuse(limited, payment, 10.01) == {
        "limit": "maxClaimUsd", "limitUsd": 0.5806, "usedUsd": 0, "amountUsd": 0.5812,
    }  # fmt: skip
    assert refuse(limited, payment, None)["amountUsd"] == 50
    for _ in range(2):
        found = limited.post(f"/payments/{payment}/refund", {"amount": 10})
        assert found["amountUsd"] in {0.5806, 0.5805}
    beyond = limited.call("POST", f"/payments/{payment}/refund", {"amount": 861.18})
    assert beyond.code == "refund_exceeds_remaining", "a state error comes before a limit"
    shop.post(f"/payments/{payment}/refund", {"amount": 841.18})


def test_a_limit_for_each_day_of_the_books_clock(served: Tree, database: Database) -> None:
    merchant = "MCH-KEYS-DAY"
    shop = other_shop(served, merchant)
    limited, _ = new_key(served, "--limits", "-,2", merchant=merchant)
    second, _ = new_key(served, "--limits", "-,2", merchant=merchant)
    usd = shop.take_payment(method="sbx_card", country="US")
    path = f"/payments/{usd}/refund"
    limited.post(path, {"amount": 1.5})
    assert refuse(limited, usd, 0.51) == {
        "limit": "maxDayUsd", "limitUsd": 2, "usedUsd": 1.5, "amountUsd": 0.51,
    }  # fmt: skip
    shop.post(path, {"amount": 5})
    second.post(path, {"amount": 2})
    limited.post(path, {"amount": 0.5})
    assert refuse(limited, usd, 0.01)["usedUsd"] == 2
    database.execute(
        "UPDATE heads SET clock_offset_seconds = $1 WHERE book_id = (SELECT book_id FROM books"
        " WHERE merchant_id = $2 AND mode = 'test')",
        DAY_SECONDS,
        merchant,
    )
    assert limited.post(path, {"amount": 2})["amountUsd"] == 2
    assert refuse(limited, usd, 0.01)["usedUsd"] == 2


def test_a_canceled_refund_stays_in_the_days_sum(served: Tree, shop: Shop) -> None:
    limited, _ = new_key(served, "--limits", "-,1")
    oxxo = shop.take_payment(method="sbx_oxxo")
    claim = limited.post(f"/payments/{oxxo}/refund", {"amount": 17.2236 // 0.01 / 100})
    shop.post(f"/claims/{claim['refundId']}/cancel", {}, 200)
    assert refuse(limited, oxxo, 1)["usedUsd"] == claim["amountUsd"]


def test_many_at_once_stay_within_the_day(served: Tree, shop: Shop) -> None:
    limited, _ = new_key(served, "--limits", "-,1")
    payments = [shop.take_payment(method="sbx_card", country="US") for _ in range(4)]
    found: list[Reply] = []

    def ask(payment: str) -> None:
        found.extend(
            limited.call("POST", f"/payments/{payment}/refund", {"amount": 0.15}) for _ in range(4)
        )

    threads = [threading.Thread(target=ask, args=(payment,)) for payment in payments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(reply.status == 201 for reply in found) == 6
    assert {reply.code for reply in found} == {None, "key_limit_exceeded"}


def test_rates_are_told_and_held(served: Tree) -> None:
    limited, _ = new_key(served, "--rate", "5")
    found = [limited.call("GET", "/ping") for _ in range(40)]
    assert {reply.status for reply in found} == {200, 429}
    passed = [reply for reply in found if reply.status == 200]
    assert 10 <= len(passed) <= 16, "the burst, and what grew while we asked"
    for reply in found:
        assert reply.header("ratelimit-limit") == "10"
        assert 0 <= int(reply.header("ratelimit-remaining") or "-1") <= 10
        assert 0 <= int(reply.header("ratelimit-reset") or "-1") <= 3
    for reply in found:
        waits = reply.header("retry-after")
        assert (reply.status == 429) == (waits is not None)
        assert reply.code == ("rate_limited" if waits else None)
    time.sleep(max(int(reply.header("retry-after") or "0") for reply in found))
    assert limited.call("GET", "/ping").status == 200


def test_refusals_of_a_key_tell_its_rate_and_other_keys_have_their_own(served: Tree) -> None:
    reader, _ = new_key(served, "--scopes", "payments:read")
    refused = reader.call("GET", "/claims")
    assert refused.code == "scope_missing"
    assert refused.header("ratelimit-limit") == "200"
    publishable, _ = new_key(served, "--publishable")
    assert publishable.call("GET", "/ping").header("ratelimit-limit") == "40"
    live, _ = new_key(served, "--live")
    assert live.call("GET", "/ping").header("ratelimit-limit") == "1000"
    absent = Shop(served.address, "").call("GET", "/ping")
    assert absent.status == 401
    assert absent.header("ratelimit-limit") is None


def test_what_a_key_gives_in_to_counts_too(served: Tree) -> None:
    """Accepting a dispute is a claim of the key's: its own limit, and the day's."""
    merchant = "MCH-KEYS-ACCEPT"
    shop = other_shop(served, merchant)
    served.told("books", "set", merchant, "dispute-fee=0")
    limited, _ = new_key(served, "--limits", "6,10", merchant=merchant)
    usd = shop.take_payment(method="sbx_card", country="US")

    def disputed(amount: float) -> str:
        payment = shop.take_payment(method="sbx_card", country="US")
        action = {"action": "chargeback", "amount": amount}
        told = shop.post(f"/payments/{payment}/simulate", action, 200)
        return str(told["claimId"])

    large, first, second, third = disputed(6.01), disputed(5), disputed(4), disputed(1)
    refused = limited.call("POST", f"/claims/{large}/accept", {})
    assert refused.json["error"]["details"] == {
        "limit": "maxClaimUsd", "limitUsd": 6, "usedUsd": 0, "amountUsd": 6.01,
    }  # fmt: skip
    limited.post(f"/claims/{first}/accept", {}, 200)
    limited.post(f"/payments/{usd}/refund", {"amount": 1})
    limited.post(f"/claims/{second}/accept", {}, 200)
    refused = limited.call("POST", f"/claims/{third}/accept", {})
    assert refused.json["error"]["details"] == {
        "limit": "maxDayUsd", "limitUsd": 10, "usedUsd": 10, "amountUsd": 1,
    }  # fmt: skip
    assert refuse(limited, usd, 0.01)["usedUsd"] == 10
    shop.post(f"/claims/{third}/accept", {}, 200)

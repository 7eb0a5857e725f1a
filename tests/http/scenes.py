"""The objects and keys that the table of refusals speaks of, made over the API and the commands.

Two things have no call yet and are written into the database: a book's clock moved past a refund
window, and a key that has expired.
"""

import base64
import hmac
import time
from hashlib import sha256
from typing import Final

from clawback import clock
from tests.support.databases import Database
from tests.support.shops import Shop, demo_shop, other_shop
from tests.support.trees import Tree

MERCHANT: Final = "MCH-NORTE"
DAYS_200: Final = 200 * 86_400
QUIET_SECONDS: Final = 3.0
"""The sandbox provider says nothing for 2 s before it settles a refund."""

Scene = dict[str, str]


def make_scene(tree: Tree, database: Database) -> Scene:
    """Everything by name; returns once nothing moves by itself any more."""
    shop = demo_shop(tree)
    scene = _keys(tree, database) | _payments(shop) | _notices(tree)
    foreign, strict = other_shop(tree, "MCH-FOREIGN"), other_shop(tree, "MCH-STRICT")
    scene |= {"foreign": foreign.take_payment(), "strict": strict.key}
    scene |= {"strict_payment": strict.take_payment()}
    _refunded(Shop(tree.address, scene["limited"]), shop.take_payment(), 8)
    scene["foreign_claim"] = _refunded(foreign, scene["foreign"], 5)
    tree.told("books", "set", "MCH-STRICT", "require-idempotency-key=yes")
    scene |= _late(tree, database)
    hooked = other_shop(tree, "MCH-HOOKED")
    hooks = [hooked.post("/webhooks", {"events": ["*"]})["id"] for _ in range(20)]
    scene |= {"hooked": hooked.key, "hook_elsewhere": str(hooks[0])}
    _wait_until_quiet(database)
    return scene


def _payments(shop: Shop) -> Scene:
    """Payments in every state, and claims on them."""
    scene = {name: shop.take_payment(action=name) for name in ("processing", "failed", "expired")}
    scene |= {name: shop.take_payment() for name in ("spei", "part", "spent")}
    scene["pending"] = shop.take_payment(action="")
    scene["clp"] = shop.take_payment(method="sbx_card", country="CL")
    scene["card20"] = shop.take_payment(method="sbx_card")
    scene |= {
        name: shop.take_payment(method="sbx_pse", country="CO") for name in ("pse", "pse_done")
    }
    first = shop.call("POST", f"/payments/{scene['part']}/refund", {"amount": 10}, "part-key")
    scene["released"] = str(first.json["refundId"])
    _refunded(shop, scene["spent"])
    for _ in range(20):
        _refunded(shop, scene["card20"], 1)
    _refunded(shop, scene["pse_done"])
    oxxo = shop.take_payment(method="sbx_oxxo")
    scene["canceled"] = _refunded(shop, oxxo, 1)
    canceled = shop.call("POST", f"/claims/{scene['canceled']}/cancel", {})
    assert canceled.status == 200, canceled
    scene["waiting"] = _refunded(shop, oxxo, 2)
    scene |= {
        "absent": "TXN-MP331BTF-R308",
        "malformed": "x%2f",
        "absent_claim": "CLM-MP331G7R-9F49",
    }
    return scene


def _refunded(shop: Shop, payment: str, amount: float | None = None) -> str:
    """A refund of a part or of all; the claim's id."""
    body = {} if amount is None else {"amount": amount}
    return str(shop.post(f"/payments/{payment}/refund", body)["refundId"])


def _late(tree: Tree, database: Database) -> Scene:
    """A payment whose refund window is over by its book's clock."""
    shop = other_shop(tree, "MCH-PATIENT")
    payment = shop.take_payment()
    database.execute(
        "UPDATE heads SET clock_offset_seconds = $1 WHERE book_id = (SELECT book_id FROM books"
        " WHERE merchant_id = 'MCH-PATIENT' AND mode = 'test')",
        DAYS_200,
    )
    return {"late": payment, "patient": shop.key}


def _keys(tree: Tree, database: Database) -> Scene:
    """Keys of all kinds."""
    dev = tree.dev
    made = {
        "reader": tree.told("keys", "create", MERCHANT, "--scopes", "payments:read"),
        "limited": tree.told("keys", "create", MERCHANT, "--limits", "1,0.9"),
        "slow": tree.told("keys", "create", MERCHANT, "--rate", "1"),
        "revoked": tree.told("keys", "create", MERCHANT),
        "expired_key": tree.told("keys", "create", MERCHANT),
        "unknown": tree.told("keys", "create", MERCHANT),
    }
    tree.told("keys", "revoke", str(made["revoked"]["key"]))
    database.execute(
        "UPDATE api_keys SET expires_at = created_at WHERE key_id = $1", made["expired_key"]["key"]
    )
    database.execute("DELETE FROM api_keys WHERE key_id = $1", made["unknown"]["key"])
    return {name: str(key["secret"]) for name, key in made.items()} | {
        "secret": dev["secretKey"],
        "publishable": dev["publishableKey"],
        "live": dev["liveSecretKey"],
    }


def _notices(tree: Tree) -> Scene:
    """Signatures that are right but for what they are about, made by hand."""
    secret = (tree.data / "sandbox" / "notice-secret").read_text().strip()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    seconds = int(clock.real_now().timestamp())
    now, old = str(seconds), str(seconds - 301)

    def sign(stamp: str) -> str:
        made = hmac.digest(key, f"msg.{stamp}.{{}}".encode(), sha256)
        return f"v1,{base64.b64encode(made).decode()}"

    return {"now": now, "old": old, "signed": sign(now), "signed_old": sign(old)}


def _wait_until_quiet(database: Database) -> None:
    """Until all that was to happen by itself has happened."""
    end, since, state = time.monotonic() + 60, time.monotonic(), database.state()
    while time.monotonic() - since < QUIET_SECONDS:
        assert time.monotonic() < end, "it never gets quiet"
        time.sleep(0.1)
        now = database.state()
        if now != state:
            since, state = time.monotonic(), now

"""The trail of acts: whatever a person or key does is in it, and nobody can take it out.

Every route that writes and every command on the database is listed here, as an act with its name
in the trail or as something else with the reason; a new one that is not listed fails.
"""

import importlib
import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from clawback.tables import ROUTES
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

ROUTE_ACTS: Final = {
    "POST /claims/{id}/cancel": "canceled",
    "POST /claims/{id}/approve": "approved",
    "POST /claims/{id}/reject": "rejected",
    "POST /claims/{id}/payer-details": "payer_details_given",
    "POST /claims/{id}/evidence": "evidence_added",
    "DELETE /claims/{id}/evidence/{evidenceId}": "evidence_removed",
    "POST /claims/{id}/submit": "evidence_submitted",
    "POST /claims/{id}/accept": "accepted",
    "POST /webhooks": "endpoint_created",
    "PATCH /webhooks/{id}": "endpoint_changed",
    "POST /webhooks/{id}/rotate-secret": "endpoint_secret_rotated",
    "DELETE /webhooks/{id}": "endpoint_removed",
}
OWN_EVENTS: Final = "its payment's and claim's events tell who asked"
ROUTE_OTHERS: Final = {
    "POST /payments": OWN_EVENTS,
    "POST /payments/{id}/refund": OWN_EVENTS,
    "POST /refunds/batch": OWN_EVENTS,
    "POST /webhooks/{id}/replay": "sends again what was sent already",
    "POST /webhooks/{id}/deliveries/{deliveryId}/replay": "sends again what was sent already",
    "POST /payments/{id}/simulate": "plays a provider, in test books only",
    "POST /sandbox/clock": "test books only",
    "POST /sandbox/faults": "test books only",
    "DELETE /sandbox/faults": "test books only",
    "POST /providers/{provider}/webhooks": "a provider's word, kept as a fact",
}
COMMAND_ACTS: Final = {
    "merchants create": "merchant_created",
    "keys create": "key_created",
    "keys assign": "key_assigned",
    "keys revoke": "key_revoked",
    "books set": "book_set",
    "providers create": "provider_created",
    "providers rotate-key": "sealing_key_rotated",
    "claims resolve": "review_paid_proposed",
    "users create": "role_granted",
    "users grant": "role_granted",
    "users link": "link_made_set_up",
    "users disable": "person_shut_out",
    "payouts record": "payout_recorded",
    "books refresh-calendars": "calendar_refreshed",
}
COMMAND_OTHERS: Final = {
    "merchants list", "keys list", "books show", "providers list", "claims reviews", "acts list",
    "providers make-key", "users list", "books export", "books trial-balance", "payouts list",
}  # fmt: skip
"""What only looks, or writes a file of its own."""

GROUPS: Final = ("merchants", "keys", "books", "providers", "payouts", "acts", "users")
DETAILS: Final = {"rail": "spei", "holderName": "Payer", "account": "999180000000100177"}


def test_every_route_that_writes_is_listed() -> None:
    writing = {f"{one.method} {one.path}" for one in ROUTES if one.method != "GET"}
    assert writing == ROUTE_ACTS.keys() | ROUTE_OTHERS.keys()
    assert not ROUTE_ACTS.keys() & ROUTE_OTHERS.keys()


def test_every_command_on_the_database_is_listed() -> None:
    found = set()
    for group in GROUPS:
        app = importlib.import_module(f"clawback.cli.{group}").app
        found |= {f"{group} {one.name}" for one in app.registered_commands}
    assert found <= COMMAND_ACTS.keys() | COMMAND_OTHERS, "list it here, and note it in the trail"
    assert {"claims resolve", "claims reviews"} == (COMMAND_ACTS.keys() | COMMAND_OTHERS) - found


class Doer:
    """A merchant that does one of everything."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.shop = other_shop(tree, "MCH-TRAIL")
        tree.told("books", "set", "MCH-TRAIL", "threshold=0")
        made = tree.told("keys", "create", "MCH-TRAIL", "--rate", "10000")
        tree.told("keys", "assign", str(made["key"]), "--owner", "ana")
        self.ana = Shop(tree.address, str(made["secret"]))
        self.evidence: dict[str, str] = {}

    def refund(self, method: str = "sbx_spei") -> str:
        payment = self.shop.take_payment(method=method)
        return str(self.shop.post(f"/payments/{payment}/refund", {"amount": 10})["refundId"])

    def disputed(self) -> str:
        payment = self.shop.take_payment()
        told = self.shop.post(f"/payments/{payment}/simulate", {"action": "chargeback"}, 200)
        claim = str(told["claimId"])
        text = {"type": "other", "text": "x"}
        self.evidence[claim] = str(self.shop.post(f"/claims/{claim}/evidence", text)["id"])
        return claim

    def endpoint(self) -> str:
        return str(self.shop.post("/webhooks", {"events": ["claim.*"]})["id"])

    def does(self, route: str) -> str:
        """Do it; the name of the object that it was done to."""
        method, _, path = route.partition(" ")
        made: dict[str, Callable[[], str]] = {
            "/claims/{id}/cancel": self.refund,
            "/claims/{id}/approve": self.refund,
            "/claims/{id}/reject": self.refund,
            "/claims/{id}/payer-details": lambda: self.refund("sbx_oxxo"),
            "/webhooks": lambda: "",
            "/webhooks/{id}": self.endpoint,
            "/webhooks/{id}/rotate-secret": self.endpoint,
        }
        name = made.get(path, self.disputed)()
        bodies: dict[str, dict[str, Any]] = {
            "/claims/{id}/reject": {"reason": "no"},
            "/claims/{id}/payer-details": DETAILS,
            "/claims/{id}/evidence": {"type": "other", "text": "y"},
            "/webhooks": {"events": ["*"]},
            "/webhooks/{id}": {"active": False},
        }
        target = path.replace("{id}", name).replace("{evidenceId}", self.evidence.get(name, ""))
        found = self.ana.call(method, target, bodies.get(path, {}) if method != "DELETE" else None)
        assert found.status in {200, 201}, found
        return name or str(found.json["id"])


@pytest.fixture(scope="module")
def doer(served: Tree) -> Doer:
    return Doer(served)


def acts_on(tree: Tree, name: str) -> list[tuple[str, str, str | None]]:
    with Database(str(tree.dev["databaseUrl"])) as rows:
        found = rows.rows(
            "SELECT action, actor, principal FROM acts WHERE object_id = $1 ORDER BY at", name
        )
    return [tuple(row) for row in found]


@pytest.mark.parametrize("route", ROUTE_ACTS)
def test_an_act_over_http_is_in_the_trail(doer: Doer, served: Tree, route: str) -> None:
    """Once, with the key that did it and the person behind it."""
    name = doer.does(route)
    found = [act for act in acts_on(served, name) if act[2] is not None]
    assert [(action, principal) for action, _, principal in found] == [
        (ROUTE_ACTS[route], "user:ana")
    ]
    assert found[0][1].startswith("key:")


def test_a_refused_act_is_not_in_the_trail(doer: Doer, served: Tree) -> None:
    claim = doer.refund()
    own = doer.shop.call("POST", f"/claims/{claim}/approve", {})
    assert own.code == "self_approval"
    assert acts_on(served, claim) == []


def test_a_plain_refund_has_no_row_in_it(doer: Doer, served: Tree) -> None:
    """Its events are its trail: the hot way writes nothing more."""
    shop = other_shop(served, "MCH-PLAIN")
    with Database(str(served.dev["databaseUrl"])) as rows:
        count = (
            "SELECT count(*) FROM acts AS a JOIN books AS b USING (book_id) WHERE merchant_id = $1"
        )
        before = rows.rows(count, "MCH-PLAIN")[0][0]
        claim = shop.post(f"/payments/{shop.take_payment()}/refund", {"amount": 1})["refundId"]
        served.until(
            "it is released", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30
        )
        assert rows.rows(count, "MCH-PLAIN")[0][0] == before
        assert doer is not None


def test_what_operators_do_is_in_the_trail(served: Tree) -> None:
    """Under the name that they gave; what concerns no book as well."""
    served.told("merchants", "create", "MCH-ACTED", "Acted")
    key = str(served.told("keys", "create", "MCH-ACTED", "--scopes", "claims:read")["key"])
    served.told("keys", "assign", key, "--owner", "ben")
    served.told("keys", "revoke", key)
    served.told("books", "set", "MCH-ACTED", "threshold=20", "fee.sbx_spei=1+0")
    listed = served.told("acts", "list", "--merchant", "MCH-ACTED")["data"]
    assert [one["action"] for one in listed] == [
        "book_set", "key_revoked", "key_assigned", "key_created", "merchant_created",
    ]  # fmt: skip
    assert {one["actor"][:5] for one in listed} == {"user:"}
    assert all("@" in one["via"] for one in listed)
    assert "canary" not in json.dumps(listed)
    by = served.told("acts", "list", "--object", key)["data"]
    assert [one["note"] for one in by] == [None, "owner ben", "secret claims:read"]


def test_what_operators_do_to_people_is_in_the_trail(served: Tree) -> None:
    """Also what concerns no book: a new way in, and none any more."""
    served.told("merchants", "create", "MCH-PEOPLED", "Peopled")
    made = served.told("users", "create", "ada@test.example", "--name", "Ada", "--merchant",
                       "MCH-PEOPLED", "--role", "operator")  # fmt: skip
    served.told("users", "link", "ada@test.example")
    served.told("users", "disable", "ada@test.example")
    listed = served.told("acts", "list", "--object", str(made["person"]))["data"]
    assert sorted(one["action"] for one in listed) == [
        "link_made_set_up", "link_made_set_up", "person_shut_out", "role_granted",
    ]  # fmt: skip
    assert all("@" in one["via"] for one in listed)
    assert str(made["link"]).rpartition("/")[2] not in json.dumps(listed)

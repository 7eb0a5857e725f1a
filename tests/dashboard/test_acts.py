"""What people do beside claims is noted too; and a claim's page shows what providers said."""

from decimal import Decimal

import pytest

from tests.dashboard.conftest import MERCHANT
from tests.dashboard.visitor import Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(120)

ACTS = "SELECT action, actor, note, via FROM acts WHERE object_id = $1 ORDER BY at, act_id"


@pytest.fixture(scope="module")
def own(served: Tree) -> Shop:
    """A merchant whose clock may move."""
    return other_shop(served, f"{MERCHANT}-ACTS")


@pytest.fixture(scope="module")
def house(served: Tree, own: Shop) -> Staff:
    """Its people."""
    return Staff(served, f"{MERCHANT}-ACTS")


def test_coming_in_and_going_out_is_noted(house: Staff, rows: Database) -> None:
    person = house.hire("comes-and-goes@test.example", test="developer")
    made = Visitor(house.tree)
    assert made.post("/dashboard/enter/nothing").error == "link_used"
    assert "signed_in" not in {act["action"] for act in rows.rows(ACTS, person.person_id)}
    made = house.visitor(person)
    assert made.post("/dashboard/sign-out", {"formToken": "0"}).error == "forbidden"
    assert "signed_out" not in {act["action"] for act in rows.rows(ACTS, person.person_id)}
    assert made.post("/dashboard/sign-out").status == 303
    found = rows.rows(ACTS, person.person_id)
    acts = [tuple(act) for act in found if act["action"].startswith("signed_")]
    who = f"user:{person.login}"
    assert acts == [("signed_in", who, None, "dashboard"), ("signed_out", who, None, "dashboard")]


def test_the_sandboxs_clock_and_faults_are_noted(house: Staff, rows: Database) -> None:
    person = house.hire("plays@test.example", test="developer")
    visitor, base = house.visitor(person), house.book()
    book = house.places["test"].book_id
    assert visitor.post(f"{base}/sandbox/clock", {"seconds": "7"}).status == 422
    assert visitor.post(f"{base}/sandbox/faults", {"operation": "refund"}).status == 422
    assert rows.rows(ACTS, book) == [], "the control: what was refused was not done"
    assert visitor.post(f"{base}/sandbox/clock", {"seconds": "3600"}).status == 200
    form = {"operation": "refund", "sequence": "decline, unavailable"}
    assert visitor.post(f"{base}/sandbox/faults", form).status == 303
    assert visitor.post(f"{base}/sandbox/faults/clear").status == 303
    who = f"user:{person.login}"
    assert [tuple(act) for act in rows.rows(ACTS, book)] == [
        ("clock_moved", who, "3600 s", "dashboard"),
        ("fault_set", who, "refund: decline unavailable", "dashboard"),
        ("faults_cleared", who, None, "dashboard"),
    ]


def test_a_claim_shows_what_providers_named_and_said(
    staff: Staff, owner: Visitor, shop: Shop, served: Tree
) -> None:
    payment = shop.take_payment()
    fault = {"operation": "refund", "sequence": ["decline"], "transactionId": payment}
    shop.post("/sandbox/faults", fault)
    failed = shop.post(f"/payments/{payment}/refund", {"amount": 7.77})["refundId"]
    served.until("it fails", lambda: shop.get(f"/claims/{failed}")["status"] == "failed", 30)
    paid = shop.post(f"/payments/{payment}/refund", {"amount": 6.66})["refundId"]
    served.until("it is paid", lambda: shop.get(f"/claims/{paid}")["status"] == "released", 30)
    page = owner.get(f"{staff.book()}/claims/{paid}")
    tried = shop.get(f"/claims/{paid}")["attempts"][0]
    tries, _, facts = page.text.partition("What providers told us")
    assert tried["providerReference"] in tries.partition("Tries at the provider")[2]
    assert "6.66 <abbr>MXN" not in tries.partition("Tries at the provider")[2], "the control"
    assert Decimal("6.66") in {Decimal(one) for one in page._replace(text=facts).amounts}
    page = owner.get(f"{staff.book()}/claims/{failed}")
    tries, _, facts = page.text.partition("What providers told us")
    said = facts.partition('<td class="wrap">')[2].partition("</td>")[0]
    assert said
    assert f"<small>{said}</small>" in tries.partition("Tries at the provider")[2]

"""The flow of a payment's money: both sides agree, and agree with the API to the last digit."""

import csv
import io
import os
import re
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawback.dashboard import flow
from clawback.ledger import entries as recipes
from tests.dashboard.visitor import Staff, Visitor, decoded
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, bearer, request

MERCHANT: Final = f"MCH-FLOW-{os.getpid()}"
_LOCAL: Final = recipes.Local("MXN", 86_118, "sandbox")
_USD: Final = recipes.Local("USD", 500_000, "sandbox")


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A merchant that pays fees, has a reserve held back and pays for disputes."""
    made = other_shop(served, MERCHANT)
    served.told("books", "set", MERCHANT, "reserve=10", "dispute-fee=15", "credit-line=500",
                "fee.sbx_spei=2.9+0.30")  # fmt: skip
    return made


@pytest.fixture(scope="module")
def staff(served: Tree, shop: Shop) -> Staff:
    """Its people."""
    return Staff(served, MERCHANT)


@pytest.fixture(scope="module")
def visitor(staff: Staff) -> Visitor:
    """Somebody who looks."""
    return staff.visitor(staff.hire(f"flow-{os.getpid()}@test.example", test="read-only"))


def raw(shop: Shop, path: str) -> Any:  # noqa: ANN401 - whatever it answers
    """An answer of the API with its numbers as written."""
    with Line(shop.address) as line:
        line.send(request("GET", API + path, bearer(shop.key), None))
        return decoded(line.read("GET").body.decode())


def sides(visitor: Visitor, path: str) -> dict[tuple[str, str], str]:
    """The file of a payment's flow, which the table on its page says too."""
    found = list(csv.DictReader(io.StringIO(visitor.get(f"{path}/flow.csv").text)))
    page = visitor.get(path).text
    start = page.index('id="flow-table"')
    shown = re.findall(r'<data[^>]*value="([^"]*)"', page[start : page.index("</details>", start)])
    assert shown == [one["usd"] for one in found]
    drawn = re.findall(r'<text class="usd"[^>]*>([^<]+)<', page)
    assert [Decimal(one.replace(",", "")) for one in drawn] == [Decimal(one) for one in shown]
    return {(one["side"], one["place"]): one["usd"] for one in found}


def check(visitor: Visitor, staff: Staff, shop: Shop, name: str) -> dict[tuple[str, str], str]:
    """The flow, after it was compared with what the API says of payment, claims and entries."""
    found = sides(visitor, f"{staff.book()}/payments/{name}")
    totals = [sum(Decimal(usd) for (side, _), usd in found.items() if side == one)
              for one in ("from", "to")]  # fmt: skip
    assert totals[0] == totals[1] > 0
    assert found["from", "captured"] == raw(shop, f"/payments/{name}")["amount"]
    claims = raw(shop, f"/claims?transactionId={name}&limit=100")["data"]
    for place, field in (("frozen", "frozenUsd"), ("payable", "inTransitUsd")):
        held = sum(Decimal(one[field]) for one in claims)
        assert Decimal(found.get(("to", place), 0)) == held, place
    for place, is_refund in (("returned", True), ("lost", False)):
        gone = sum(Decimal(one["amountReleasedUsd"]) for one in claims
                   if (one["kind"] == "user_dispute") == is_refund)  # fmt: skip
        assert Decimal(found.get(("to", place), 0)) == gone, place
    sums: dict[str, Decimal] = {}
    for entry in raw(shop, f"/ledger/entries?transactionId={name}&limit=100")["data"]:
        for leg in entry["postings"]:
            if leg["currency"] == "USD":
                sums[leg["account"]] = sums.get(leg["account"], Decimal(0)) + Decimal(leg["amount"])
    for account in ("fees", "pending", "reserve", "available", "debt", "loss"):
        has = Decimal(found.get(("to", account), 0)) - Decimal(found.get(("from", account), 0))
        assert has == sums.get(account, 0), account
    return found


@pytest.mark.timeout(300)
def test_a_payment_through_its_life(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    name = shop.take_payment(usd=77)
    assert check(visitor, staff, shop, name) == {
        ("from", "captured"): "77", ("to", "fees"): "2.533", ("to", "reserve"): "7.7",
        ("to", "pending"): "66.767"}  # fmt: skip
    fees = raw(shop, f"/payments/{name}")["fees"]["total"]
    assert fees == "2.533"
    shop.post(f"/payments/{name}/refund", {"amount": 333.33})
    shop.wait_until_settled(60)
    found = check(visitor, staff, shop, name)
    assert ("to", "returned") in found
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
    found = check(visitor, staff, shop, name)
    assert {("to", "frozen"), ("to", "returned")} <= set(found)
    assert ("to", "lost") not in found
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback_lost"}, 200)
    found = check(visitor, staff, shop, name)
    assert ("to", "lost") in found
    assert ("to", "frozen") not in found
    assert any(side == "from" and place != "captured" for side, place in found), "fees came on top"


@pytest.mark.timeout(300)
def test_a_network_takes_more_than_is_left(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    name = shop.take_payment(usd=30)
    shop.post(f"/payments/{name}/refund", {})
    shop.wait_until_settled(60)
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
    check(visitor, staff, shop, name)
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback_lost"}, 200)
    found = check(visitor, staff, shop, name)
    assert (found["to", "returned"], found["to", "lost"]) == ("30", "30")
    assert ("from", "loss") in found


def test_what_has_not_moved_is_not_drawn(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    name = shop.take_payment(action="failed")
    path = f"{staff.book()}/payments/{name}"
    assert 'id="flow"' not in visitor.get(path).text
    assert visitor.get(f"{path}/flow.csv").text == "side,place,usd\r\n"
    assert visitor.get(f"{staff.book()}/payments/TXN-00000000-0000/flow.csv").error == "not_found"


def booked(recipe: recipes.Recipe, claim: str | None = None) -> dict[str, Any]:
    """A recipe as the API shows its entry."""
    legs = [{"account": leg.account, "currency": leg.currency,
             "amount": Decimal(leg.amount).scaleb(-4 if leg.currency == "USD" else -2)}
            for leg in recipe.legs]  # fmt: skip
    return {"type": recipe.type, "claimId": claim, "postings": legs}


@st.composite
def lives(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Entries of a payment and of claims on it, in no order that makes sense."""
    local = draw(st.sampled_from((_LOCAL, _USD)))
    amount = st.integers(1, 10**9)
    gross = draw(amount)
    made = [booked(recipes.capture(gross, draw(amount), draw(amount), local))]
    for claim in ("CLM-1", "CLM-2"):
        part = draw(amount)
        made += draw(st.lists(st.sampled_from((
            booked(recipes.settle(part)), booked(recipes.reserve_release(part)),
            booked(recipes.freeze((("available", part), ("debt", draw(amount)))), claim),
            booked(recipes.resolve_approved(part), claim),
            booked(recipes.release(part, local), claim),
            booked(recipes.reverse(part, local, (("loss", 1), ("available", part - 1))), claim),
            booked(recipes.dispute_fee(part, draw(amount)), claim),
            booked(recipes.excess(part, draw(amount)), claim),
        )), max_size=6))  # fmt: skip
    return made


@given(lives())
def test_both_sides_come_to_the_same(entries: list[dict[str, Any]]) -> None:
    found = flow.flow_of(entries, {"CLM-1": "user_dispute", "CLM-2": "chargeback"})
    assert found.total == sum(one.usd for one in found.places) > 0
    assert all(one.usd > 0 for one in (*found.sources, *found.places))
    picture = flow.draw(found)
    assert len(picture.shapes) == len(found.sources) + len(found.places)
    for side in (True, False):
        shapes = [one for one in picture.shapes if one.is_source == side]
        words = [Decimal(one.name_at) for one in shapes]
        assert all(below - above >= 34 for above, below in pairwise(words))
        tops = [(Decimal(one.top), Decimal(one.top) + Decimal(one.tall)) for one in shapes]
        most = Decimal(picture.height) + Decimal("0.1")  # what is drawn is rounded
        assert all(0 <= top < bottom <= most for top, bottom in tops)


def test_entries_that_do_not_balance_are_a_bug() -> None:
    entry = booked(recipes.capture(500_000, 10_000, 0, _LOCAL))
    flow.flow_of([entry], {})
    entry["postings"][-1]["amount"] += Decimal("0.0001")
    with pytest.raises(AssertionError):
        flow.flow_of([entry], {})

"""Why money is frozen, claim by claim, and the proof as a file that needs nothing of us."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.dashboard.conftest import MERCHANT
from tests.dashboard.visitor import Shown, Staff, Visitor
from tests.support.commands import run_here
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(120)

ROW = re.compile(
    r'<tr data-row><td><a href="[^"]*">(CLM-[^<]+)</a></td>'
    r'<td class="num"><data class="money" value="([0-9.]+)">.*?>(TXN-[^<]+)</a>'
)
BALANCE = (
    "UPDATE accounts SET balance = balance + $2"
    " WHERE book_id = $1 AND currency = 'USD' AND name = 'frozen'"
)


def frozen(staff: Staff, visitor: Visitor) -> Shown:
    """The page of the account."""
    page = visitor.get(f"{staff.book()}/books/accounts/USD/frozen")
    assert page.status == 200
    return page


def test_what_is_frozen_is_explained_by_claims(
    staff: Staff, owner: Visitor, shop: Shop, rows: Database, served: Tree
) -> None:
    cash, card = shop.take_payment(method="sbx_oxxo"), shop.take_payment(method="sbx_card")
    shop.post(f"/payments/{cash}/refund", {"amount": 100})
    shop.post(f"/payments/{card}/simulate", {"action": "chargeback"}, 200)
    served.until(
        "both hold money",
        lambda: all(one["frozenUsd"] for name in (cash, card) for one in shop.claims_of(name)),
        30,
    )
    page = frozen(staff, owner)
    found = {(claim, payment): amount for claim, amount, payment in ROW.findall(page.text)}
    open_ones = {(one["id"], one["transactionId"]): one["frozenUsd"]
                 for one in shop.rows("/claims", status="pending") if one["frozenUsd"]}  # fmt: skip
    assert {cash, card} <= {payment for _, payment in found}
    assert set(found) == set(open_ones)
    held = shop.get("/me/balance")["balance"]["frozen"]
    assert sum(map(Decimal, found.values())) == Decimal(str(held))
    assert page.says("all of it explained")
    assert not page.says("NOT explained")
    assert "/books/accounts/USD/frozen" in owner.get(staff.book() + "/").text
    book = staff.places["test"].book_id
    with served.books(spoiled=True):
        rows.execute(BALANCE, book, 1)
        try:
            page = frozen(staff, owner)
        finally:
            rows.execute(BALANCE, book, -1)
    assert page.says("NOT explained"), "the control: a 1/10,000 USD that no claim holds is seen"
    assert not page.says("all of it explained")


def test_other_accounts_say_nothing_of_it(staff: Staff, owner: Visitor) -> None:
    page = owner.get(f"{staff.book()}/books/accounts/USD/available")
    assert (page.status, page.says("Why is this frozen?")) == (200, False)


def test_the_proof_is_kept_and_checked_offline(
    staff: Staff, owner: Visitor, shop: Shop, tmp_path: Path
) -> None:
    claim = str(shop.post(f"/payments/{shop.take_payment()}/refund", {"amount": 1})["refundId"])
    page = owner.get(f"{staff.book()}/books/proof")
    link = re.search(r'href="([^"]+/books/proof\.json)" download', page.text)
    assert link is not None
    path = tmp_path / "proof.json"
    text = ""
    for query, name in (("", "proof"), (f"?claimId={claim}", f"proof-{claim}")):
        file = owner.get(link[1] + query)
        text = file.text
        assert file.header("content-type") == "application/json"
        assert file.header("content-disposition") == f'attachment; filename="{name}.json"'
        path.write_text(text)
        assert run_here(["verify", str(path)], {})[0] == 0
    path.write_text(text.replace(claim, claim[:-1] + ("0" if claim[-1] != "0" else "1")))
    assert run_here(["verify", str(path)], {})[0] == 1, "the control"
    assert f"/books/proof.json?claimId={claim}" in owner.get(f"{staff.book()}/claims/{claim}").text


def test_no_proof_of_what_is_not_in_the_book(
    staff: Staff, owner: Visitor, shop: Shop, served: Tree
) -> None:
    other = other_shop(served, f"{MERCHANT}-PROOFS")
    claim = other.post(f"/payments/{other.take_payment()}/refund", {"amount": 1})["refundId"]
    for name in (claim, "CLM-00000000-0000", "x"):
        page = owner.get(f"{staff.book()}/books/proof.json?claimId={name}")
        assert (page.status, page.error) == (404, "not_found")

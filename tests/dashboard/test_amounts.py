"""Every amount that a page or a file shows is the API's own, to the last digit, row by row.

Numbers are compared as they are written, so that neither a lost nor an added digit passes.
"""

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from clawback.clock import real_now
from tests.dashboard.visitor import Shown, Staff, Visitor, decoded
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

MERCHANT: Final = "MCH-AMOUNTS"
ODD: Final = (
    (77, "sbx_pix", "BR", 33.33),
    (13, "sbx_spei", "MX", 0.01),
    (1999, "sbx_pix", "BR", 777.01),
)
"""Payments in USD and what is asked back of them, so that no amount is a round one."""

Rows = list[list[str]]


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A merchant whose amounts are odd: refunds, one that waits, a chargeback."""
    made = other_shop(served, MERCHANT)
    for usd, method, country, amount in ODD:
        payment = made.take_payment(usd=usd, method=method, country=country)
        made.post(f"/payments/{payment}/refund", {"amount": amount})
    made.wait_until_settled(60)
    charged = made.take_payment(usd=29, method="sbx_card")
    made.post(f"/payments/{charged}/simulate", {"action": "chargeback", "amount": 17.39}, 200)
    served.told("books", "set", MERCHANT, "threshold=0.0001", "reserve=7.1234",
                "credit-line=1234.5678", "dispute-fee=15.5", "fee.sbx_spei=2.9+0.3001")  # fmt: skip
    waiting = made.take_payment(usd=101)
    made.post(f"/payments/{waiting}/refund", {"amount": 55.55})
    return made


@pytest.fixture(scope="module")
def staff(served: Tree, shop: Shop) -> Staff:
    """Its people."""
    return Staff(served, MERCHANT)


@pytest.fixture(scope="module")
def owner(staff: Staff) -> Visitor:
    """Its owner's browser."""
    return staff.visitor(staff.hire("owner@amounts.example", test="owner"))


def raw(shop: Shop, path: str) -> Any:  # noqa: ANN401 - whatever it answers
    """An answer of the API with its numbers as written."""
    found = shop.call("GET", path)
    assert found.status == 200, (path, found)
    return decoded(found.body.decode())


def rows_of(page: Shown) -> Rows:
    """The amounts of each row of the page's tables that has any."""
    rows = re.findall(r"<tr.*?</tr>", page.text, re.DOTALL)
    found = [re.findall(r'<data[^>]*value="([^"]*)"', row) for row in rows]
    return [one for one in found if one]


def picked(rows: list[dict[str, Any]], *names: str) -> Rows:
    """These fields of each row."""
    return [[row[name] for name in names] for row in rows]


def legs(entries: list[dict[str, Any]]) -> Rows:
    """Amount and balance after of each posting."""
    return [[leg["amount"], leg["balanceAfter"]] for one in entries for leg in one["postings"]]


def table(page: Shown) -> list[dict[str, str]]:
    """A file as rows by their titles."""
    assert page.status == 200, page
    return parsed(page.text)


def parsed(text: str) -> list[dict[str, str]]:
    """CSV as rows by their titles."""
    return list(csv.DictReader(io.StringIO(text)))


def test_lists(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    payments, claims = raw(shop, "/payments")["data"], raw(shop, "/claims")["data"]
    shown = rows_of(owner.get(f"{base}/payments"))
    assert shown == picked(payments, "amountLocal", "amount", "remaining")
    assert len(shown) >= len(ODD) + 2
    shown = rows_of(owner.get(f"{base}/claims"))
    assert shown == picked(claims, "amount", "amountUsd")
    assert ["33.33", "7.7"] not in shown, "the control: what is compared has four digits"
    for one in payments:
        mine = raw(shop, f"/claims?transactionId={one['id']}")["data"]
        entries = raw(shop, f"/ledger/entries?transactionId={one['id']}&limit=100")["data"]
        page = rows_of(owner.get(f"{base}/payments/{one['id']}"))
        page = [row for row in page if len(row) > 1]  # not those of the flow, which has its tests
        assert page == picked(mine, "amount", "amountUsd") + legs(entries[::-1])


def test_what_waits(staff: Staff, shop: Shop, owner: Visitor) -> None:
    claims = raw(shop, "/claims?status=pending")["data"]
    for path in ("/work", "/"):
        shown = rows_of(owner.get(staff.book() + path))
        assert sorted(shown) == sorted(picked(claims, "amount", "amountUsd"))
        assert len(shown) >= 2, path


def test_days(staff: Staff, shop: Shop, owner: Visitor) -> None:
    """A day's volume is what its captured payments are worth; nothing was captured before today."""
    page = owner.get(f"{staff.book()}/days")
    payments = raw(shop, "/payments")["data"]
    volume = str(sum(Decimal(one["amount"]) for one in payments))
    days = [one[2] for one in rows_of(page) if len(one) == 7]
    assert sum(map(Decimal, days)) == Decimal(volume)
    assert [one for one in days if one != "0"] == [volume]
    files = table(owner.get(f"{staff.book()}/days.csv"))
    assert [one["volume"] for one in files][::-1] == days
    assert sum(int(one["captured"]) for one in files) == len(payments)


def test_books(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    entries = raw(shop, "/ledger/entries?limit=50")["data"]
    assert rows_of(owner.get(f"{base}/books/entries")) == legs(entries)
    assert rows_of(owner.get(f"{base}/books/entries/{entries[0]['id']}")) == legs(entries[:1])
    accounts = raw(shop, "/ledger/accounts")["data"]
    shown = [one[0] for one in rows_of(owner.get(f"{base}/books")) if len(one) == 1]
    assert sorted(shown) == sorted(one["balance"].lstrip("-") for one in accounts)
    for account in sorted({one["account"] for one in accounts}):
        told = raw(shop, f"/ledger/entries?account={account}&limit=50")["data"]
        currency = next(one["currency"] for one in accounts if one["account"] == account)
        rows = rows_of(owner.get(f"{base}/books/accounts/{currency}/{account}"))
        explained = len(rows) - len(legs(told)) if account == "frozen" else 0
        assert rows[explained:] == legs(told), account
    proof = raw(shop, "/ledger/proof")
    page = owner.get(f"{base}/books/proof")
    assert rows_of(page) == [[one["sum"]] for one in proof["currencies"]]
    assert {one["sum"] for one in proof["currencies"]} == {"0"}


def test_files(staff: Staff, shop: Shop, owner: Visitor) -> None:
    """A number is a number in a file too: no locale, no apostrophe, each digit."""
    base = staff.book()
    payments, claims = raw(shop, "/payments")["data"], raw(shop, "/claims")["data"]
    names: tuple[str, ...] = (
        "id",
        "amount",
        "amountLocal",
        "remaining",
        "amountRefunded",
        "amountChargedBack",
    )
    assert picked(table(owner.get(f"{base}/payments.csv")), *names) == picked(payments, *names)
    names = ("id", "amount", "amountUsd", "amountReleased", "amountReleasedUsd", "frozenUsd",
             "missingUsd", "inTransitUsd")  # fmt: skip
    assert picked(table(owner.get(f"{base}/claims.csv")), *names) == picked(claims, *names)
    names = ("currency", "account", "balance", "seq")
    accounts = raw(shop, "/ledger/accounts")["data"]
    assert picked(table(owner.get(f"{base}/books/accounts.csv")), *names) == picked(
        accounts, *names
    )
    query = "account=frozen&currency=USD&from={}&to={}"
    today = real_now().date()
    day, after = str(today - timedelta(days=1)), str(today + timedelta(days=1))
    told = shop.call(
        "GET", "/ledger/statement?" + query.format(f"{day}T00:00:00Z", f"{after}T00:00:00Z")
    )
    sent = table(owner.get(f"{base}/books/statement.csv?{query.format(day, after)}"))
    names = ("entryId", "amount", "balanceAfter", "seq")
    assert picked(sent, *names) == picked(parsed(told.body.decode()), *names)
    assert len(sent) > 2, "what is between the opening and the closing line"


def test_a_batch(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    payments = [shop.take_payment(usd=usd, method="sbx_pix", country="BR") for usd in (31, 47)]
    lines = "".join(
        f"{one},{amount}\n" for one, amount in zip(payments, ("7.77", "0.03"), strict=True)
    )
    file = f"transactionId,amount\n{lines}TXN-00000000-0000,1\n"
    told = shop.call("POST", "/refunds/batch", {"dryRun": True, "rows": [
        {"transactionId": one, "amount": amount}
        for one, amount in ((payments[0], 7.77), (payments[1], 0.03))
    ]})  # fmt: skip
    assert told.status == 200, told
    said = decoded(told.body.decode())
    page = owner.post(f"{base}/batches/preview", {"csv": file})
    wanted = picked(said["rows"], "amount", "amountUsd")
    assert rows_of(page) == wanted
    (total,) = said["totals"]["byCurrency"]
    assert {total["amount"], total["amountUsd"]} <= set(page.amounts)
    token = re.search(r'name="commitToken" value="([^"]+)"', page.text)
    assert token is not None
    done = owner.post(f"{base}/batches/commit", {"commitToken": token[1]})
    assert rows_of(done) == wanted
    made = [shop.claims_of(one)[0]["id"] for one in payments]
    claims = [raw(shop, f"/claims/{one}") for one in made]
    assert picked(claims, "amount", "amountUsd") == wanted


def test_limits(served: Tree, staff: Staff, owner: Visitor) -> None:
    """What was typed, on the command line or in the form, is what is shown."""
    page = owner.get(f"{staff.book()}/settings")
    for amount in ("0.0001", "1234.5678", "15.5", "0.3001"):
        assert amount in page.amounts, amount
    assert page.says("7.1234 %")
    assert page.says("2.9 %")
    form = owner.get(f"{staff.book()}/settings/book")
    for name, value in (("threshold", "0.0001"), ("reserve", "7.1234"), ("dispute-fee", "15.5"),
                        ("credit-line", "1234.5678"), ("fee.sbx_spei", "2.9+0.3001")):  # fmt: skip
        assert re.search(rf'name="{re.escape(name)}"[^>]*value="{re.escape(value)}"', form.text), (
            name
        )
    made = owner.post(f"{staff.book()}/keys", {"kind": "secret", "scope.claims:write": "on",
                                               "maxClaimUsd": "99.5001",
                                               "maxDayUsd": "12345678.9"})  # fmt: skip
    assert ["99.5001", "12345678.9"] in rows_of(made)

"""Balance, accounts and entries over HTTP: whole objects, the sums they promise, filters, pages.

The balance's equations are the contract's (9.1); accounts are added up again from the postings of
all entries, and the chain is followed from the first entry to the last.
"""

from collections import defaultdict
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, Final

import pytest

from tests.support.lists import (
    Listed,
    Row,
    check_filters,
    check_pages,
    check_refusals,
    check_times,
    equals,
)
from tests.support.shapes import check, load
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

BUCKETS: Final = ("available", "pending", "frozen", "inTransit", "reserve")
USD_ACCOUNTS: Final = {"pending", "available", "reserve", "frozen", "payable", "fees", "loss",
                       "debt", "paid_out", "fx"}  # fmt: skip


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A book with fees, a reserve, refunds that were released, canceled and wait for funds."""
    made = other_shop(served, "MCH-READ-BALANCE")
    served.told("books", "set", "MCH-READ-BALANCE", "reserve=10")
    spei, card = made.take_payment(), made.take_payment(method="sbx_card", country="BR")
    made.post(f"/payments/{spei}/refund", {"amount": 10})
    made.post(f"/payments/{card}/refund", {"amount": 26.97})
    made.wait_until_settled(30)
    oxxo = made.take_payment(method="sbx_oxxo")
    canceled = made.post(f"/payments/{oxxo}/refund", {"amount": 1})["refundId"]
    made.post(f"/claims/{canceled}/cancel", {}, 200)
    made.post(f"/payments/{oxxo}/refund", {"amount": 2})
    made.post(f"/payments/{made.take_payment(method='sbx_card', country='US')}/refund", {})
    return made


@pytest.fixture(scope="module")
def listed(shop: Shop) -> Listed:
    return Listed(shop, "/ledger/entries", "ENTRY")


def told(shop: Shop, path: str) -> dict[str, Any]:
    found = shop.call("GET", path)
    assert found.status == 200, found
    body: dict[str, Any] = load(found.body)
    return body


def exact(value: object) -> Decimal:
    return Decimal(str(value))


def test_the_balance_adds_up(shop: Shop) -> None:
    found = told(shop, "/me/balance")
    check(found, "BALANCE")
    fees = {name: exact(value) for name, value in found["feeSummary"].items()}
    held = {name: exact(value) for name, value in found["balance"].items()}
    net = sum(held[name] for name in BUCKETS) - held["debt"]
    assert fees["netBalance"] == net
    assert net == (
        fees["grossVolume"] - fees["totalFees"] - fees["returned"] + fees["loss"] - held["paidOut"]
    )
    assert fees["totalFees"] == fees["platformFees"] + fees["flatFees"] + fees["disputeFees"]
    volume = [str(fees[name]) for name in ("grossVolume", "platformFees", "flatFees")]
    assert volume == ["200", "2.9", "0.6"]
    claims = [row for row in shop.get("/claims")["data"] if row["status"] == "pending"]
    assert found["claims"]["open"] == len(claims) == 2
    assert exact(found["claims"]["awaitingFundsUsd"]) == sum(exact(c["missingUsd"]) for c in claims)
    assert held["frozen"] == sum(exact(c["frozenUsd"]) for c in claims)
    assert (found["merchantId"], found["mode"], found["currency"]) == (
        "MCH-READ-BALANCE",
        "test",
        "USD",
    )


def test_an_empty_book_has_a_balance_of_zeros(served: Tree) -> None:
    empty = other_shop(served, "MCH-EMPTY")
    found = told(empty, "/me/balance")
    check(found, "BALANCE")
    figures = [*found["balance"].values(), *found["claims"].values(), *found["feeSummary"].values()]
    assert set(figures) == {0}
    assert told(empty, "/ledger/accounts") == {"data": []}
    nothing = {"total": 0, "limit": 50, "offset": 0, "pages": 0, "next": None}
    for path in ("/ledger/entries", "/payments", "/claims"):
        assert told(empty, path) == {"data": [], "pagination": nothing}


def test_accounts_are_the_sums_of_their_postings(shop: Shop, listed: Listed) -> None:
    accounts = told(shop, "/ledger/accounts")["data"]
    check(accounts, "[ACCOUNT]")
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    seqs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in reversed(listed.whole()):
        legs: dict[str, Decimal] = defaultdict(Decimal)
        for leg in entry["postings"]:
            name = leg["account"], leg["currency"]
            sums[name] += exact(leg["amount"])
            legs[leg["currency"]] += exact(leg["amount"])
            seqs[name].append(leg["seq"])
            assert exact(leg["balanceAfter"]) == sums[name]
        assert set(legs.values()) == {0}
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    assert {(a["account"], a["currency"]): (exact(a["balance"]), a["seq"]) for a in accounts} == {
        name: (total, len(seqs[name])) for name, total in sums.items()
    }
    for account in accounts:
        debit = account["account"].startswith("provider:") or account["account"] in {"debt", "loss"}
        if account["account"] != "fx":
            assert account["normalSide"] == ("debit" if debit else "credit"), account
        if account["currency"] == "USD":
            assert account["account"] in {*USD_ACCOUNTS, "provider:sandbox"}


def test_accounts_of_a_currency(shop: Shop) -> None:
    whole = told(shop, "/ledger/accounts")["data"]
    for currency in ("USD", "MXN", "BRL", "CLP", "nothing"):
        found = told(shop, f"/ledger/accounts?currency={currency}")["data"]
        assert found == [row for row in whole if row["currency"] == currency]
    for query in ("limit=1", "offset=0", "currency=", "currency=USD&currency=MXN", "account=fx"):
        refused = shop.call("GET", f"/ledger/accounts?{query}")
        assert refused.code == "invalid_parameter", query


def test_entries_are_a_chain(listed: Listed) -> None:
    rows = listed.whole()[::-1]
    assert [row["height"] for row in rows] == list(range(1, len(rows) + 1))
    for before, row in pairwise(rows):
        assert row["previousHash"] == before["hash"]
    assert len({row["hash"] for row in rows}) == len(rows)


def test_every_filter_finds_its_rows(shop: Shop, listed: Listed) -> None:
    rows = listed.whole()
    first = rows[-1]["id"]
    assert first.startswith("ent_0001")
    one = {
        "id": (first, rows[0]["id"], "ent_", "ent_1", first.upper(), first.replace("_0", "_00"),
               first.replace("_0", "_"), "ent_" + "z" * 60),
        "claimId": (*{row["claimId"] for row in rows if row["claimId"]}, "CLM-MP331G7R-9F49"),
        "transactionId": (*{row["transactionId"] for row in rows}, "TXN-MP331BTF-R308"),
        "type": ("capture", "freeze", "release", "resolve_approved", "cancel", "settle", "none"),
    }  # fmt: skip
    filters = equals(one)
    for account in ("pending", "frozen", "reserve", "fx", "provider:sandbox", "loss"):
        filters["account", account] = partial(_has_leg, account)
    check_filters(listed, filters)


def _has_leg(account: str, row: Row) -> bool:
    return any(leg["account"] == account for leg in row["postings"])


def test_pages_are_slices_newest_first(listed: Listed) -> None:
    check_pages(listed)
    check_pages(listed, type="freeze")
    rows = listed.whole()
    assert rows == sorted(rows, key=lambda row: (row["createdAt"], row["height"]), reverse=True)


def test_from_is_included_and_to_is_not(listed: Listed) -> None:
    check_times(listed)


def test_parameters_out_of_form_are_refused(listed: Listed) -> None:
    check_refusals(listed)
    first = listed.whole()[-1]["id"]
    for after in (first.upper(), first.replace("_0", "_00"), first.replace("_0", "_z"), "ent_0000"):
        listed.refuses(f"after={after}")

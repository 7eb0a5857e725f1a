"""Payouts recorded on the command line: once for each reference, seen everywhere, past nobody."""

import asyncio
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from clawback.balances.model import PayoutOutcome, RecordPayout
from clawback.ids import ClaimId
from clawback.lanes.lanes import Lanes
from clawback.payments.model import SettleDue
from clawback.route import BookRef, Kept
from tests.support import books
from tests.support.books import open_book, open_lanes, proved, refund
from tests.support.shops import Shop, other_shop
from tests.support.statements import ask
from tests.support.trees import Tree

MERCHANT = "MCH-PAYOUT"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A book of 100 USD, of which 50 have settled."""
    made = other_shop(served, MERCHANT)
    made.take_payment()
    made.post("/sandbox/clock", {"advanceSeconds": 172_810}, 200)
    served.until("it settles", lambda: held(made, "available") == 50, 60)
    made.take_payment()
    return made


def held(shop: Shop, bucket: str) -> Decimal:
    found = shop.call("GET", "/me/balance")
    balance: Decimal = json.loads(found.body, parse_float=Decimal)["balance"][bucket]
    return balance


ASKED = ("payouts", "record", MERCHANT, "12.3456", "--reference", "SPEI-1", "--note", "May")


@pytest.fixture(scope="module")
def done(served: Tree, shop: Shop) -> list["subprocess.CompletedProcess[str]"]:
    """One payout, recorded by three processes at once."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda _: served.run(*ASKED, "--json"), range(3)))


def test_a_payout_is_recorded_once_and_seen_everywhere(
    served: Tree, shop: Shop, done: list["subprocess.CompletedProcess[str]"]
) -> None:
    assert {one.returncode for one in done} == {0}, done[0].stderr
    assert len({one.stdout for one in done}) == 1
    assert sum("recorded before" in one.stderr for one in done) == 2
    payout = json.loads(done[0].stdout)
    assert (payout["reference"], payout["amountUsd"], payout["note"]) == ("SPEI-1", 12.3456, "May")
    assert (held(shop, "available"), held(shop, "paidOut")) == (
        Decimal("37.6544"),
        Decimal("12.3456"),
    )
    (entry,) = shop.get("/ledger/entries", type="payout")["data"]
    assert entry["id"] == payout["entry"]
    legs = {leg["account"]: leg["amount"] for leg in entry["postings"]}
    assert legs == {"available": -12.3456, "paid_out": 12.3456}
    now = shop.get("/sandbox/clock")["now"]
    for account, amount in (("available", "-12.3456"), ("paid_out", "12.3456")):
        found = ask(shop, account, "USD", f"{now[:10]}T00:00:00Z", now)
        assert [line["amount"] for line in found.lines if line["type"] == "payout"] == [amount]
    told = shop.get("/me/balance")
    fees = told["feeSummary"]
    assert fees["netBalance"] == pytest.approx(100 - 12.3456)
    assert served.told("payouts", "list", MERCHANT)["data"] == [payout]
    assert served.told("payouts", "list", MERCHANT, "--live")["data"] == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("12.34", "--reference", "SPEI-1"), "another amount, 12.3456 USD"),
        (("37.6545",), "37.6544 USD are available"),
        (("0",), "is no amount to pay"),
        (("1.00001",), "is no amount"),
        (("1", "--reference", "with blank"), "visible ASCII"),
        (("1", "--reference", "x" * 65), "visible ASCII"),
        (("1", "--note", "x" * 501), "a note has"),
    ],
)
def test_what_cannot_be_recorded_changes_nothing(
    served: Tree, shop: Shop, done: object, arguments: tuple[str, ...], word: str
) -> None:
    before = held(shop, "available")
    done = served.run("payouts", "record", MERCHANT, *arguments)
    assert done.returncode in {1, 2}
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert held(shop, "available") == before


def test_a_merchant_that_is_not_there(served: Tree) -> None:
    assert "there is no merchant" in served.run("payouts", "record", "MCH-NOBODY", "1").stderr
    assert "there is no merchant" in served.run("payouts", "list", "MCH-NOBODY").stderr


# Below HTTP: in one batch, in a rolled back one, and beside refunds.


async def record(lanes: Lanes, book: BookRef, amount_e4: int, name: str) -> PayoutOutcome:
    made: Kept[PayoutOutcome] = Kept()
    command = RecordPayout(reference=name, amount_usd_e4=amount_e4, note=None, actor="user:ana")
    await lanes.submit(book, command, made)
    assert made.value is not None
    return made.value


async def test_payouts_and_refunds_in_one_batch_share_what_is_available(database: str) -> None:
    book = await open_book(database, settle_hours=0)
    async with open_lanes(database) as lanes:
        paid = await books.take_payment(lanes, book)
        await lanes.submit(book, SettleDue(payment_id=paid), None)
        results = await asyncio.gather(
            *(record(lanes, book, 100_000, f"bank-{number % 8}") for number in range(16)),
            lanes.submit(book, refund(paid, "86.12", ClaimId("CLM-MP331G7R-PAY1")), None),
        )
    outcomes = [one for one in results if isinstance(one, PayoutOutcome)]
    new = [one for one in outcomes if one.is_new]
    assert {one.held_by for one in outcomes} <= {None, "available", "claims_waiting"}
    assert 4 <= len(new) <= 5
    assert len({one.payout for one in outcomes if one.payout}) == len(new)
    report = await proved(database)
    freezes = 1 if len(new) == 4 else 0  # the fifth left nothing to freeze
    assert report.counts["entries"] == 2 + len(new) + freezes

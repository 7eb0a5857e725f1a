"""The figures of a book against what the API's own rows come to, added up here by other means."""

import csv
import io
import os
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest

from clawback.clock import real_now
from clawback.dashboard import figures
from tests.dashboard.visitor import Shown, Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

MERCHANT: Final = f"MCH-FIGURES-{os.getpid()}"
HOURS: Final = (1, 2, 4, 10, 30)
"""How long the refunds took, of those that count."""
_OLDER: Final = "UPDATE claims SET created_at = created_at - $2::interval WHERE claim_id = $1"
_LONGER: Final = (
    "UPDATE claims SET created_at = resolved_at - make_interval(hours => $2) WHERE claim_id = $1"
)
_LONG_AGO: Final = """
UPDATE claims SET created_at = created_at - interval '40 days',
    resolved_at = resolved_at - interval '31 days'
WHERE claim_id = $1
"""


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A merchant of its own: its totals are counted."""
    return other_shop(served, MERCHANT)


@pytest.fixture(scope="module")
def staff(served: Tree, shop: Shop) -> Staff:
    """Its people."""
    return Staff(served, MERCHANT)


@pytest.fixture(scope="module")
def visitor(staff: Staff, shop: Shop, served: Tree, rows: Database) -> Visitor:
    """Somebody who looks, after all that is to be seen has happened."""
    for name in [shop.take_payment(usd=20 + number) for number in range(len(HOURS) + 1)]:
        shop.post(f"/payments/{name}/refund", {"amount": 17.25})
    shop.wait_until_settled(60)
    refunds = sorted(row["id"] for row in shop.rows("/claims"))
    for claim, hours in zip(refunds, HOURS, strict=False):
        rows.execute(_LONGER, claim, hours)
    rows.execute(_LONG_AGO, refunds[-1])
    ages = ("0 days", "20 hours", "25 hours", "4 days", "29 days", "31 days", "200 days")
    for number, age in enumerate(ages):
        name = shop.take_payment(usd=100 + number)
        told = shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
        rows.execute(_OLDER, told["claimId"], _interval(age))
    name = shop.take_payment(usd=60)
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback_lost"}, 200)
    shop.take_payment(action="failed")
    return staff.visitor(staff.hire(f"figures-{os.getpid()}@test.example", test="read-only"))


def _interval(text: str) -> object:
    number, unit = text.split()
    return {"days": timedelta(days=int(number)),
            "hours": timedelta(hours=int(number))}[unit]  # fmt: skip


def file(visitor: Visitor, path: str) -> list[dict[str, str]]:
    """A file's rows."""
    got = visitor.get(path)
    assert got.header("content-type").startswith("text/csv")
    return list(csv.DictReader(io.StringIO(got.text)))


def table(page: Shown, section: str) -> list[list[str]]:
    """The numbers of each row of a section's table, as a machine reads them."""
    start = page.text.index(f'id="{section}"')
    body = page.text[page.text.index("<tbody>", start) : page.text.index("</tbody>", start)]
    rows = body.split("<tr>")[1:]
    return [re.findall(r'<data[^>]*value="([^"]*)"', row) for row in rows]


def at(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def percent(many: int, of: int) -> str:
    """A share, in hundredths of a percent."""
    return f"{round(Decimal(100 * many) / of, 2) if of else Decimal(0):.2f}"


def test_days_are_what_the_payments_come_to(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    page = visitor.get(f"{staff.book()}/days")
    days = file(visitor, f"{staff.book()}/days.csv")
    assert len(days) == figures.DAYS
    names = ("payments", "captured", "volume", "refunded", "refundedPercent", "disputed",
             "disputedPercent")  # fmt: skip
    assert table(page, "days-table") == [[day[name] for name in names] for day in days[::-1]]
    found = list(shop.rows("/payments"))
    for day in days:
        made = [one for one in found if one["createdAt"].startswith(day["day"])]
        paid = [one for one in made if one["completedAt"]]
        refunded = sum(one["amountRefunded"] > 0 for one in paid)
        disputed = sum(one["amountChargedBack"] > 0 or one["disputed"] for one in paid)
        assert (int(day["payments"]), int(day["captured"])) == (len(made), len(paid))
        assert Decimal(day["volume"]) == sum(Decimal(str(one["amount"])) for one in paid)
        assert (int(day["refunded"]), int(day["disputed"])) == (refunded, disputed)
        assert day["refundedPercent"] == percent(refunded, len(paid))
        assert day["disputedPercent"] == percent(disputed, len(paid))
    volume = sum(Decimal(day["volume"]) for day in days)
    captured = sum(int(day["captured"]) for day in days)
    rates = [percent(sum(int(day[name]) for day in days), captured)
             for name in ("refunded", "disputed")]  # fmt: skip
    assert [Decimal(one) for one in page.amounts[:3]] == [volume, *map(Decimal, rates)]
    assert captured == len(HOURS) + 1 + 7 + 1


def test_open_claims_stand_by_their_age(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    ages = file(visitor, f"{staff.book()}/ages.csv")
    page = visitor.get(f"{staff.book()}/days")
    assert table(page, "ages") == [[age["claims"], age["usd"]] for age in ages]
    now = at(shop.get("/me/balance")["asOf"])
    many, usd = [0] * len(figures.AGES), [Decimal(0)] * len(figures.AGES)
    for claim in shop.rows("/claims"):
        if claim["status"] in {"pending", "approved"}:
            days = (now - at(claim["createdAt"])).total_seconds() / 86_400
            place = sum(days >= edge for edge in (1, 3, 7, 30, 90))
            many[place] += 1
            usd[place] += Decimal(str(claim["amountUsd"]))
    assert [int(age["claims"]) for age in ages] == many == [2, 1, 1, 1, 1, 1]
    assert [Decimal(age["usd"]) for age in ages] == usd
    assert [age["age"] for age in ages] == list(figures.AGES)


def within(hours: list[float], part: float) -> str:
    """The number below which a part of them lies, between two of them if need be."""
    hours = sorted(hours)
    place = part * (len(hours) - 1)
    low = int(place)
    high = min(low + 1, len(hours) - 1)
    return f"{hours[low] + (place - low) * (hours[high] - hours[low]):.2f}"


def test_times_are_those_of_what_was_resolved(visitor: Visitor, staff: Staff, shop: Shop) -> None:
    times = file(visitor, f"{staff.book()}/times.csv")
    page = visitor.get(f"{staff.book()}/days")
    columns: tuple[str, ...] = ("claims", "medianHours", "ninetiethHours")
    assert table(page, "times") == [[one[name] for name in columns if one[name]] for one in times]
    now, hours = at(shop.get("/me/balance")["asOf"]), dict[str, list[float]]()
    for claim in shop.rows("/claims"):
        ended = claim["resolvedAt"] and at(claim["resolvedAt"])
        if ended and (now - ended).days < 30:
            took = (ended - at(claim["createdAt"])).total_seconds() / 3600
            hours.setdefault(claim["kind"], []).append(took)
    assert len(hours["user_dispute"]) == len(HOURS), "one was resolved too long ago"
    for one in times:
        found = hours.get(one["kind"], [])
        assert int(one["claims"]) == len(found)
        told = [one["medianHours"], one["ninetiethHours"]]
        assert told == ([within(found, 0.5), within(found, 0.9)] if found else ["", ""])
    assert [one["medianHours"] for one in times][:2] == ["4.00", ""]


def test_each_language_writes_them_in_its_manner(staff: Staff, visitor: Visitor) -> None:
    reader = staff.visitor(staff.hire(f"numbers-{os.getpid()}@test.example", test="read-only"))
    day = real_now().day
    shown: dict[str, Shown] = {}
    for language in ("en", "es", "pt"):
        reader.post("/dashboard/manners", {"language": language, "theme": "auto", "next": "/"})
        shown[language] = reader.get(f"{staff.book()}/days")
    tags = [re.findall(r'data-locale="([^"]+)"', page.text) for page in shown.values()]
    assert tags == [["en"], ["es-MX"], ["pt-BR"]]
    labels = {page.text[page.text.index("data-series") :].split("]")[0] for page in shown.values()}
    assert len(labels) == 3, "days are named in each language"
    assert all(f"{day} " in one for one in labels)
    assert len({tuple(page.amounts) for page in shown.values()}) == 1, "the same numbers"


def test_the_first_page_does_not_wait_for_them(staff: Staff, visitor: Visitor) -> None:
    home = visitor.get(f"{staff.book()}/")
    assert f'hx-get="{staff.book()}/days" hx-select="#days"' in home.text
    assert not home.says("Refund rate")
    assert visitor.get(f"{staff.book()}/days").says("Refund rate")


@pytest.mark.parametrize(
    ("many", "of", "said"),
    [(0, 0, "0.00"), (1, 3, "33.33"), (2, 3, "66.67"), (1, 8, "12.50"), (5, 5, "100.00")],
)
def test_rates(many: int, of: int, said: str) -> None:
    assert str(figures.Day("", captured=of, refunded=many).refund_rate) == said

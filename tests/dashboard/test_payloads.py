"""Two hundred stored scripts in every field that a page shows: all are text, none is markup."""

import re
from typing import Final
from urllib.parse import quote

import pytest

from clawback.dashboard.rendering import Pages
from clawback.dashboard.statics import load
from tests.dashboard.payloads import (
    NOT_MARKUP,
    PAYLOADS,
    Planted,
    batch,
    crowd,
    inert,
    lacking,
    plant,
    raw,
)
from tests.dashboard.visitor import Shown, Staff, Visitor
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

MERCHANT: Final = "MCH-HOSTILE"
PLACES: Final = (
    '<p title="{{ text }}">{{ text }}</p>'
    "<dd title='{{ text }}'>{{ text }}</dd><textarea>{{ text }}</textarea>"
)


@pytest.fixture(scope="module")
def desk(served: Tree) -> Shop:
    """A merchant whose every text is hostile."""
    return other_shop(served, MERCHANT)


@pytest.fixture(scope="module")
def planted(desk: Shop) -> Planted:
    """What it holds."""
    return plant(desk)


@pytest.fixture(scope="module")
def house(served: Tree, desk: Shop) -> Staff:
    """Its people, who are called by them too."""
    staff = Staff(served, MERCHANT)
    crowd(staff)
    return staff


@pytest.fixture(scope="module")
def boss(house: Staff) -> Visitor:
    """Its owner."""
    return house.visitor(house.hire("boss@hostile.example", test="owner"))


def test_no_page_makes_markup_of_them(house: Staff, boss: Visitor, planted: Planted) -> None:
    base, seen, wrong = house.book(), "", []
    for path in planted.paths:
        page = boss.get(base + path)
        assert page.status == 200, (path, page.status)
        inert(page)
        wrong += [(path, text) for text in raw(page.text)]
        seen += page.text
    assert wrong == []
    assert lacking(boss.get(f"{base}/settings").text) == [], "people are called by all of them"
    assert not set(lacking(seen)) & set(PAYLOADS), "the control: payments and claims show them all"


def test_a_batch_shows_them_as_text(house: Staff, boss: Visitor, planted: Planted) -> None:
    page = boss.post(f"{house.book()}/batches/preview", {"csv": batch()})
    assert page.status == 200, page.error
    inert(page)
    assert (raw(page.text), lacking(page.text)) == ([], [])


def test_what_is_typed_comes_back_as_text(house: Staff, boss: Visitor, planted: Planted) -> None:
    base = house.book()
    for number, text in enumerate((*PAYLOADS[::20], *NOT_MARKUP)):
        asked = quote(text)
        path = (f"/payments?q={asked}", f"/events?type={asked}&objectId={asked}",
                f"/claims?kind={asked}&transactionId={asked}",
                f"{planted.payments[0]}/refund/confirm?amount=1&reason={asked}&note={asked}",
                )[number % 4]  # fmt: skip
        page = boss.get(base + path)
        assert page.status in {200, 422}, (path, page.status)
        inert(page)
        form = {"threshold": text, "settle-calendar": text, "fee.sbx_spei": text}
        again = boss.post(f"{base}/settings/book", {**form, "lookedAt": text})
        inert(again)
        assert not raw(page.text + again.text)


def test_csv_runs_no_formula(house: Staff, boss: Visitor, planted: Planted) -> None:
    file = boss.get(f"{house.book()}/payments.csv")
    assert file.status == 200
    assert file.header("content-disposition").startswith("attachment")
    assert "'=cmd|" in file.text
    assert not re.search(r'(^|,)"?[=+@]', file.text, re.MULTILINE)


def test_a_template_that_does_not_escape_is_caught() -> None:
    """The control: the same places in the pages' own environment, with and without its escaping."""
    environment = Pages(load())._environment
    guarded = environment.from_string(PLACES)
    bare = environment.overlay(autoescape=False).from_string(PLACES)
    for text in PAYLOADS:
        page = guarded.render(text=text)
        inert(Shown(200, (), page))
        assert (raw(page), text in lacking(page)) == ([], False)
        page = bare.render(text=text)
        assert text in raw(page)
        with pytest.raises(AssertionError):
            inert(Shown(200, (), page))

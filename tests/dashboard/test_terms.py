"""A book's terms: read strictly, changed by owners only, noted, and never over somebody else's.

The same module serves the command line, so a table of what is typed holds for both.
"""

import html
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawback.cli.books import NAMES
from clawback.dashboard import terms
from clawback.providers.methods import load_methods
from tests.dashboard.visitor import Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

MERCHANT: Final = "MCH-TERMS"
METHOD: Final = "sbx_spei"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("threshold", "20", 200_000), ("threshold", "0", 0), ("threshold", "-", None),
     ("threshold", "", None), ("credit-line", "0.0001", 1), ("reserve", "12.5", 125_000),
     ("reserve", "100", 1_000_000), ("reserve-days", " 730 ", 730), ("settle-hours", "0", 0),
     ("settle-calendar", "MX", "MX"), ("settle-days", "-", None), ("idempotency-hours", "24", 24),
     ("require-idempotency-key", "yes", True), ("require-idempotency-key", "no", False)],
)  # fmt: skip
def test_what_is_typed_is_what_is_kept(name: str, text: str, value: object) -> None:
    assert terms.read(name, text) == value
    assert type(terms.read(name, text)) is type(value)
    assert terms.read(name, terms.shown(name, value)) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("threshold", "1e3", "no amount"), ("threshold", "-1", "no amount"),
     ("threshold", "1,5", "no amount"), ("threshold", "0.00001", "no amount"),
     ("threshold", "\u0661", "no amount"), ("threshold", "NaN", "no amount"),
     ("threshold", "1" + "0" * 12, "out of range"), ("reserve", "100.0001", "out of range"),
     ("reserve", "", "cannot be none"), ("dispute-fee", "10000.01", "out of range"),
     ("reserve-days", "0", "out of range"), ("reserve-days", "731", "out of range"),
     ("reserve-days", "1.5", "no whole number"), ("settle-hours", "17521", "out of range"),
     ("settle-days", "61", "out of range"), ("idempotency-hours", "23", "out of range"),
     ("settle-calendar", "mx", "no calendar"), ("settle-calendar", "<b>", "no calendar"),
     ("require-idempotency-key", "maybe", "yes or no"), ("colour", "red", "no setting")],
)  # fmt: skip
def test_what_is_not_taken(name: str, text: str, said: str) -> None:
    found = terms.read(name, text)
    assert isinstance(found, terms.Fault)
    assert said in found.text


@pytest.mark.parametrize(
    ("text", "fee"),
    [("2.9+0.30", (29_000, 3_000)), ("0", (0, 0)), ("100+10000", (1_000_000, 100_000_000)),
     ("-", None), ("", None), ("100.1+0", "out of range"), ("1+10000.1", "out of range"),
     ("+1", "no amount"), ("1+", "no amount"), ("1+1+1", "no amount")],
)  # fmt: skip
def test_fees(text: str, fee: tuple[int, int] | str | None) -> None:
    found = terms.read_fee(METHOD, text)
    if isinstance(fee, str):
        assert isinstance(found, terms.Fault)
        assert fee in found.text
    else:
        assert found == fee
    assert isinstance(terms.read_fee("cash", "1"), terms.Fault)


@given(st.integers(0, 10**15))
def test_no_digit_is_lost(value_e4: int) -> None:
    text = terms.shown("threshold", value_e4)
    assert terms.read("threshold", text) == value_e4
    assert "E" not in text


def test_the_command_line_names_the_same() -> None:
    assert {*(term.name for term in terms.TERMS), "fee.METHOD"} == set(NAMES)


def test_the_ranges_are_the_columns(rows: Database) -> None:
    """What the form takes at most and at least, the table takes, and no more."""
    checks = rows.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'books'::regclass AND contype = 'c'"
    )
    told = " ".join(row[0] for row in checks)
    scale = {"usd": 10_000, "percent": 10_000}
    for term in terms.TERMS:
        if term.most and term.name != "threshold":
            most = term.most * scale.get(term.unit, 1)
            assert re.search(rf"{term.column} <= '?{most}\b", told), term.name
            assert re.search(rf"{term.column} >= {term.least}\b", told), term.name


@pytest.fixture(scope="module")
def desk(served: Tree) -> Shop:
    """A merchant of these tests' own, for its settings are changed."""
    return other_shop(served, MERCHANT)


@pytest.fixture(scope="module")
def house(served: Tree, desk: Shop) -> Staff:
    """Its people."""
    return Staff(served, desk.get("/me")["id"])


@pytest.fixture(scope="module")
def boss(house: Staff) -> Visitor:
    """Its owner."""
    return house.visitor(house.hire("boss@terms.example", test="owner"))


def filled(visitor: Visitor, base: str) -> dict[str, str]:
    """The form as it stands, field by field."""
    page = visitor.get(f"{base}/settings/book").text
    found = dict(re.findall(r'<input name="([^"]+)"[^>]* value="([^"]*)"', page))
    found["lookedAt"] = re.findall(r'name="lookedAt" value="([^"]+)"', page)[0]
    for name, inside in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', page):
        chosen = re.findall(r'value="([^"]*)" selected', inside)
        found[name] = chosen[0] if chosen else ""
    return {name: html.unescape(text) for name, text in found.items() if name != "language"}


def test_an_owner_changes_them(house: Staff, boss: Visitor, desk: Shop, rows: Database) -> None:
    base = house.book()
    form = filled(boss, base)
    assert {term.name for term in terms.TERMS} <= set(form)
    assert {f"fee.{one.id}" for one in load_methods().all} <= set(form)
    acts = "SELECT action, actor, via, note FROM acts WHERE book_id = $1 ORDER BY act_id"
    book = house.places["test"].book_id
    before = len(rows.rows(acts, book))
    assert boss.post(f"{base}/settings/book", form).status == 303
    assert len(rows.rows(acts, book)) == before, "what stays as it was is no change"
    form |= {"threshold": "20", "reserve": "12.5", "reserve-days": "30", "credit-line": "99.5",
             f"fee.{METHOD}": "2.9+0.30", "require-idempotency-key": "yes"}  # fmt: skip
    assert boss.post(f"{base}/settings/book", form).status == 303
    told = desk.get("/me")["settings"]
    assert (told["approvalThresholdUsd"], told["reservePercent"], told["reserveDays"]) == (
        20, 12.5, 30,
    )  # fmt: skip
    assert (told["creditLineUsd"], told["requireIdempotencyKey"]) == (99.5, True)
    (note,) = rows.rows(acts, book)[before:]
    assert tuple(note)[:3] == ("book_set", "user:boss@terms.example", "dashboard")
    assert set(str(note[3]).split()) == {
        "threshold=20", "credit-line=99.5", "reserve=12.5", "reserve-days=30",
        "require-idempotency-key=yes", f"fee.{METHOD}=2.9+0.3",
    }  # fmt: skip
    shown = boss.get(f"{base}/settings")
    assert {"20", "99.5", "0.3"} <= set(shown.amounts)
    assert shown.says("12.5 %")
    form = {**filled(boss, base), "threshold": "", "require-idempotency-key": "no",
            "settle-calendar": "MX", "settle-days": "2", f"fee.{METHOD}": ""}  # fmt: skip
    assert boss.post(f"{base}/settings/book", form).status == 303
    told = house.tree.told("books", "show", MERCHANT)
    assert (told["settleCalendar"], told["settleDays"], told["fees"]) == ("MX", 2, {})
    form = {**filled(boss, base), "settle-calendar": "", "settle-days": ""}
    assert boss.post(f"{base}/settings/book", form).status == 303
    assert house.tree.told("books", "show", MERCHANT)["settleCalendarVersion"] is None


def test_what_is_wrong_stands_beside_its_field(house: Staff, boss: Visitor, desk: Shop) -> None:
    base, before = house.book(), desk.get("/me")["settings"]
    wrong = {"reserve": "101", "threshold": "lots", "settle-calendar": "XX", "fee.cash": "1",
             "require-idempotency-key": "", f"fee.{METHOD}": "1+x"}  # fmt: skip
    page = boss.post(f"{base}/settings/book", {**filled(boss, base), "reserve-days": "9", **wrong})
    assert page.status == 422
    for name in wrong.keys() - {"fee.cash"}:
        assert f'id="wrong-{name}"' in page.text, name
        assert re.search(rf'name="{name}"[^>]*aria-describedby="wrong-{name}"', page.text), name
    assert page.says("This is out of range: 0 to 100.")
    assert 'value="lots"' in page.text, "what was typed is still there"
    assert 'value="9"' in page.text
    assert desk.get("/me")["settings"] == before, "nothing was changed, the good field neither"
    for country, days, name in (("MX", "", "settle-days"), ("", "3", "settle-calendar")):
        typed = {"settle-calendar": country, "settle-days": days}
        page = boss.post(f"{base}/settings/book", {**filled(boss, base), **typed})
        assert (page.status, f'id="wrong-{name}"' in page.text) == (422, True), name


def test_nobody_overwrites_what_another_has_changed(
    house: Staff, boss: Visitor, desk: Shop
) -> None:
    base = house.book()
    form = {**filled(boss, base), "credit-line": "5"}
    house.tree.told("books", "set", MERCHANT, "dispute-fee=7")
    page = boss.post(f"{base}/settings/book", form)
    assert (page.status, page.says("Somebody else has changed these settings")) == (422, True)
    told = house.tree.told("books", "show", MERCHANT)
    assert (told["disputeFeeUsd"], told["creditLineUsd"]) == (7, desk.get("/me")["settings"][
        "creditLineUsd"])  # fmt: skip
    assert told["creditLineUsd"] != 5
    assert boss.post(f"{base}/settings/book", {"credit-line": "5"}).status == 422, "no stamp"
    assert boss.post(
        f"{base}/settings/book", {**filled(boss, base), "credit-line": "5"}
    ).status == (303), "the control"

"""Keys that end, and keys that take another's place while that one still works for a while."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from clawback.clock import real_now
from clawback.dashboard.keys import end_of
from tests.dashboard.visitor import Person, Shown, Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(120)

SECRET: Final = re.compile(r"sk_(?:test|live)_\w{36}")
FORM: Final = {"kind": "secret", "scope.payments:read": "on", "scope.claims:read": "on",
               "maxClaimUsd": "12.5"}  # fmt: skip
ROW: Final = "SELECT * FROM api_keys WHERE key_id = $1"


def made(page: Shown) -> tuple[str, str]:
    """The key that a page shows, and its id."""
    key, name = SECRET.search(page.text), re.search(r"<code>(key_[0-9a-f]{12})</code>", page.text)
    assert page.status == 200, page
    assert key is not None
    assert name is not None
    return key[0], name[1]


def day(days: int) -> str:
    """The day so many days from now."""
    return f"{real_now() + timedelta(days=days):%Y-%m-%d}"


def test_a_key_ends_with_its_last_day(staff: Staff, owner: Visitor, rows: Database) -> None:
    path = f"{staff.book()}/keys"
    _, name = made(owner.post(path, {**FORM, "lastDay": day(1)}))
    ends_at = rows.rows(ROW, name)[0]["expires_at"]
    assert ends_at == datetime.fromisoformat(f"{day(2)}T00:00:00+00:00")
    _, endless = made(owner.post(path, FORM))
    assert rows.rows(ROW, endless)[0]["expires_at"] is None, "the control"
    before = rows.rows("SELECT count(*) FROM api_keys")[0][0]
    for text in (day(-1), "0001-01-01", "soon", "2026-13-01"):
        wrong = owner.post(path, {**FORM, "lastDay": text})
        assert (wrong.status, SECRET.search(wrong.text)) == (422, None), text
    assert rows.rows("SELECT count(*) FROM api_keys")[0][0] == before


def test_the_last_day_is_whole() -> None:
    noon = datetime(2026, 5, 12, 12, tzinfo=UTC)
    assert end_of("2026-05-12", noon) == datetime(2026, 5, 13, tzinfo=UTC)
    assert end_of("", noon) is None
    with pytest.raises(ValueError, match="2026-05-11"):
        end_of("2026-05-11", noon)


def test_a_key_is_replaced_with_overlap(
    served: Tree, staff: Staff, owner: Visitor, rows: Database
) -> None:
    path = f"{staff.book()}/keys"
    old_key, old = made(owner.post(path, FORM))
    page = owner.post(f"{path}/rotate", {"key": old, "overlap": "24 h", "lastDay": day(30)})
    new_key = SECRET.search(page.text)
    assert new_key is not None
    for key in (old_key, new_key[0]):
        assert Shop(served.address, key).get("/payments", limit=1)["data"] is not None
    told = rows.rows(ROW, old)[0]
    left = told["expires_at"] - real_now()
    assert timedelta(hours=23, minutes=58) < left <= timedelta(hours=24)
    assert page.says(f"The old key {old} works until")
    noted = "SELECT action, actor, note FROM acts WHERE object_id = $1 ORDER BY at, act_id"
    (rotated,) = (act for act in rows.rows(noted, old) if act["action"] == "key_rotated")
    new = str(rotated["note"]).removeprefix("by ")
    assert [act["action"] for act in rows.rows(noted, new)] == ["key_created"]
    twin = rows.rows(ROW, new)[0]
    same = ("book_id", "shop_id", "kind", "scopes", "max_claim_usd_e4", "max_day_usd_e4",
            "rate_per_second", "burst", "owner")  # fmt: skip
    assert [twin[name] for name in same] == [told[name] for name in same]
    assert twin["expires_at"] == datetime.fromisoformat(f"{day(31)}T00:00:00+00:00")
    again = owner.post(f"{path}/rotate", {"key": old, "overlap": "7 d"})
    assert again.status == 200
    assert rows.rows(ROW, old)[0]["expires_at"] == told["expires_at"], "its end does not move on"


def test_without_overlap_the_old_key_is_dead_and_the_new_one_lives(
    served: Tree, staff: Staff, owner: Visitor
) -> None:
    path = f"{staff.book()}/keys"
    old_key, old = made(owner.post(path, FORM))
    assert Shop(served.address, old_key).call("GET", "/ping").status == 200
    page = owner.post(f"{path}/rotate", {"key": old, "overlap": "0 h"})
    new_key = SECRET.search(page.text)
    assert new_key is not None
    dead = Shop(served.address, old_key)
    served.until("it is dead", lambda: dead.call("GET", "/ping").code == "invalid_api_key", 10)
    assert Shop(served.address, new_key[0]).call("GET", "/ping").status == 200, "the control"
    assert owner.get(path).says("Expired")
    for name in (old, "key_0", ""):
        assert owner.post(f"{path}/rotate", {"key": name, "overlap": "1 h"}).status == 404
    _, alive = made(owner.post(path, FORM))
    for overlap in ("", "9 y"):
        assert owner.post(f"{path}/rotate", {"key": alive, "overlap": overlap}).status == 404
    wrong = {"key": alive, "overlap": "1 h", "lastDay": "x"}
    assert owner.post(f"{path}/rotate", wrong).status == 422


def test_replacing_hands_on_no_more_than_the_role_may(staff: Staff, rows: Database) -> None:
    people = [Person("", ""), Person("", "")]
    for place, role in enumerate(("owner", "developer")):
        people[place] = staff.hire(f"rotating-{role}@test.example", live=role)
    boss, developer = (staff.visitor(one) for one in people)
    path = f"{staff.book('live')}/keys"
    for visitor in (boss, developer):
        visitor.get(path)
    _, strong = made(boss.post(path, {**FORM, "scope.claims:write": "on"}))
    _, weak = made(boss.post(path, FORM))
    before = rows.rows("SELECT count(*) FROM api_keys")[0][0]
    refused = developer.post(f"{path}/rotate", {"key": strong, "overlap": "1 h"})
    assert (refused.status, SECRET.search(refused.text)) == (403, None)
    assert rows.rows("SELECT count(*) FROM api_keys")[0][0] == before
    assert rows.rows(ROW, strong)[0]["expires_at"] is None
    done = developer.post(f"{path}/rotate", {"key": weak, "overlap": "1 h"})
    assert (done.status, rows.rows(ROW, weak)[0]["expires_at"] is None) == (200, False), "control"

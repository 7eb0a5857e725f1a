"""Who may do what: every page and act, each role, over HTTP; and what no role can get round.

The table is written out here, not taken from the product. Every page that the dashboard serves
stands in it, so a page that nobody thought of fails.
"""

import json
import re
from typing import Final

import pytest

from clawback.dashboard.app import PAGES
from clawback.dashboard.roles import CALLS, PAYER, ROLES, may_call
from clawback.tables import ROUTES
from tests.dashboard.conftest import MERCHANT
from tests.dashboard.visitor import Person, Shown, Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop
from tests.support.trees import Tree
from tests.support.wire import Line, bearer

pytestmark = pytest.mark.timeout(300)

EVERYBODY: Final = frozenset(ROLES)
TABLE: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("GET /", "GET /days", "GET /days.csv", "GET /ages.csv", "GET /times.csv", "GET /payments",
         "GET /payments.csv", "GET /payments/{id}/flow.csv",
         "GET /payments/{id}", "GET /claims", "GET /claims.csv", "GET /work", "GET /claims/{id}",
         "GET /claims/{id}/evidence/{evidence}/file", "GET /books", "GET /books/accounts.csv",
         "GET /books/statement.csv", "GET /books/proof", "GET /books/entries",
         "GET /books/entries/{id}", "GET /books/accounts/{currency}/{account}", "GET /events",
         "GET /events.csv", "GET /books/entries.csv",
         "GET /books/proof.json",
         "GET /settings", "GET /live"),
        EVERYBODY,
    ),
    **dict.fromkeys(
        ("GET /payments/{id}/refund", "GET /payments/{id}/refund/confirm",
         "POST /payments/{id}/refund", "GET /batches", "POST /batches/preview",
         "POST /batches/commit", "POST /claims/{id}/cancel", "POST /claims/{id}/approve",
         "POST /claims/{id}/reject", "POST /claims/{id}/share",
         "POST /claims/{id}/payer-details", "POST /claims/{id}/review"),
        frozenset({"owner", "operator"}),
    ),
    **dict.fromkeys(
        ("POST /claims/{id}/evidence", "POST /claims/{id}/files",
         "POST /claims/{id}/evidence/{evidence}/remove", "POST /claims/{id}/submit",
         "POST /claims/{id}/accept"),
        frozenset({"owner", "disputes"}),
    ),
    **dict.fromkeys(
        ("GET /webhooks", "POST /webhooks", "GET /webhooks/{id}", "POST /webhooks/{id}",
         "POST /webhooks/{id}/remove", "POST /webhooks/{id}/rotate", "POST /webhooks/{id}/replay",
         "POST /webhooks/{id}/deliveries/{delivery}/resend", "GET /keys", "POST /keys",
         "POST /keys/{id}/revoke", "POST /keys/rotate",
         "GET /sandbox", "POST /sandbox/payments",
         "POST /sandbox/simulate", "POST /sandbox/clock", "POST /sandbox/faults",
         "POST /sandbox/faults/clear"),
        frozenset({"owner", "developer"}),
    ),
    **dict.fromkeys(
        ("POST /team", "POST /team/{person}", "GET /settings/book", "POST /settings/book"),
        frozenset({"owner"}),
    ),
}  # fmt: skip
STREAM: Final = "GET /live"
FILES: Final = {"POST /claims/{id}/files"}


def filled(path: str) -> str:
    """An address of that form, of things that are not there."""
    kinds = {"id": "TXN-00000000-0000" if path.startswith("/payments") else "CLM-00000000-0000"}
    names = {"evidence": "evi_0", "currency": "USD", "account": "fx", "delivery": "dlv_0",
             "person": "usr_0", **kinds}  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], path)


def ask(visitor: Visitor, base: str, page: str) -> Shown:
    """Ask for a page, or send its form, empty but for the token."""
    method, _, path = page.partition(" ")
    if method == "GET":
        return visitor.get(base + filled(path))
    if page in FILES:
        boundary = "xyz"
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                 for name, value in (("formToken", visitor.token), ("type", "other"))]  # fmt: skip
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"'
                     f"\r\n\r\nx\r\n--{boundary}--\r\n")  # fmt: skip
        headers = {"Origin": visitor.origin, "Sec-Fetch-Site": "same-origin",
                   "Content-Type": f"multipart/form-data; boundary={boundary}"}  # fmt: skip
        return visitor.send("POST", base + filled(path), "".join(parts).encode(), headers)
    return visitor.post(base + filled(path))


def test_the_table_is_whole() -> None:
    assert {f"{page.method} {page.path}" for page in PAGES} == set(TABLE)
    named = {f"{page.method} {page.path}": page.permit for page in PAGES}
    for page, roles in TABLE.items():
        assert {role for role in ROLES if named[page] in ROLES[role]} == roles, page


def test_every_call_of_the_api_has_its_permission() -> None:
    writes = {f"{one.method} {one.path}" for one in ROUTES if one.method != "GET"}
    writes -= {one for one in writes if one.startswith("POST /providers/")}
    assert set(CALLS) <= writes
    for call in writes:
        method, _, path = call.partition(" ")
        assert may_call("owner", method, path) == (call in CALLS), call
        assert not may_call("read-only", method, path), call
        assert not may_call("nobody", method, path), call


@pytest.mark.parametrize("role", ROLES)
def test_every_cell(
    staff: Staff,
    browsers: dict[str, Visitor],
    hired: dict[str, Person],
    rows: Database,
    shop: Shop,
    role: str,
) -> None:
    visitor, base, wrong = browsers[role], staff.book(), []
    before = _acts(rows)
    for page, roles in TABLE.items():
        if page == STREAM:
            continue
        found = ask(visitor, base, page)
        if (found.error == "forbidden") != (role not in roles) or found.status >= 500:
            wrong.append((page, found.status, found.error))
        if role not in roles:
            assert found.status == 403, page
    assert wrong == []
    if role == "read-only":
        assert _moves(rows, hired[role]) == 0
        payment = shop.take_payment()
        told = browsers["owner"].post(f"{base}/payments/{payment}/refund", {"amount": "1"})
        assert (told.status, _moves(rows, hired["owner"]) > 0) == (303, True), "the control"
        assert {one[0] for one in _acts(rows)} - {one[0] for one in before} <= {
            "payments_exported", "claims_exported", "entries_exported", "events_exported",
        }  # fmt: skip


_BOOKS: Final = "book_id IN (SELECT book_id FROM books WHERE merchant_id = $1)"


def _moves(rows: Database, person: Person) -> int:
    """Changes of payments and claims that a person made."""
    query = "SELECT count(*) AS n FROM events WHERE actor = 'user:' || $1"
    return int(rows.rows(query, person.login)[0]["n"])


def _acts(rows: Database) -> list[tuple[str, int]]:
    query = f"SELECT action, count(*) FROM acts WHERE {_BOOKS} GROUP BY 1"  # noqa: S608 - our names
    return [tuple(row) for row in rows.rows(query, MERCHANT)]


def test_others_books_and_the_other_mode_do_not_exist(
    served: Tree, staff: Staff, browsers: dict[str, Visitor]
) -> None:
    other = Staff(served, "MCH-NORTE")
    seen = set()
    for base in (other.book(), other.book("live"), staff.book("live"), "/dashboard/bk_00000000"):
        for path in ("/", "/payments", "/settings", "/keys"):
            found = browsers["owner"].get(base + path)
            assert (found.status, found.error) == (404, "not_found"), (base, path)
            seen.add(re.sub(r'nonce="[^"]+"', "", found.text))
        assert browsers["owner"].post(f"{base}/keys").status == 404
    assert len(seen) == 1


def test_a_live_book_has_no_sandbox(served: Tree, staff: Staff) -> None:
    person = staff.hire("live-owner@test.example", live="owner")
    visitor = staff.visitor(person)
    base = staff.book("live")
    page = visitor.get(base + "/")
    assert page.status == 200
    assert page.says("Real money.")
    assert not page.says("/sandbox")
    for path in ("/sandbox", "/sandbox/clock", "/sandbox/simulate"):
        assert visitor.get(base + path).status == 404
        assert visitor.post(base + path, {"seconds": "3600"}).status == 404


def test_a_key_carries_no_more_than_its_makers_role(
    served: Tree, staff: Staff, rows: Database
) -> None:
    developer = staff.hire("live-developer@test.example", live="developer")
    visitor, base = staff.visitor(developer), staff.book("live")
    form = visitor.get(base + "/keys")
    assert not form.says("scope.claims:write")
    refused = visitor.post(base + "/keys", {"kind": "secret", "scope.claims:write": "on"})
    assert refused.status == 403
    assert not re.search(r"sk_live_\w{36}", refused.text)
    made = visitor.post(base + "/keys", {"kind": "secret", "scope.payments:read": "on"})
    key = re.search(r"sk_live_\w{36}", made.text)
    assert key is not None
    shop = Shop(served.address, key[0])
    assert shop.get("/payments")["data"] == []
    assert shop.call("POST", "/payments/TXN-00000000-0000/refund", {}).code == "scope_missing"
    assert key[0] not in visitor.get(base + "/keys").text, "it is shown once"
    name = re.search(r"key_[0-9a-f]{12}", made.text)
    assert name is not None
    acts = rows.rows("SELECT action, actor FROM acts WHERE object_id = $1", name[0])
    assert [tuple(row) for row in acts] == [("key_created", f"user:{developer.login}")]
    assert visitor.post(f"{base}/keys/{name[0]}/revoke").status == 303
    served.until("it is dead", lambda: shop.call("GET", "/ping").code == "invalid_api_key", 10)
    assert visitor.post(f"{base}/keys/{name[0]}/revoke").status == 404


def test_who_asks_does_not_decide_neither_with_a_key_of_their_own(
    served: Tree, staff: Staff, shop: Shop, hired: dict[str, Person], browsers: dict[str, Visitor]
) -> None:
    served.told("books", "set", staff.merchant, "threshold=1")
    try:
        payment = shop.take_payment()
        owner, base = browsers["owner"], staff.book()
        made = owner.post(f"{base}/keys", {"kind": "secret", "scope.claims:write": "on",
                                           "scope.claims:approve": "on", "scope.claims:read": "on",
                                           "scope.payments:read": "on"})  # fmt: skip
        key = re.search(r"sk_test_\w{36}", made.text)
        assert key is not None
        asked = owner.post(f"{base}/payments/{payment}/refund", {"amount": "100"})
        claim = asked.header("location").rpartition("/")[2]
        own = owner.post(f"{base}/claims/{claim}/approve")
        assert (own.status, own.says("self_approval")) == (422, True)
        with Line(served.address) as line:
            by_key = line.call("POST", f"/api/v1/claims/{claim}/approve", bearer(key[0]), b"{}")
        assert by_key.code == "self_approval"
        page = browsers["operator"].get(f"{base}/claims/{claim}")
        assert page.says("Approve 100.00 MXN")
        assert browsers["operator"].post(f"{base}/claims/{claim}/approve").status == 303
        steps = shop.get(f"/claims/{claim}")
        assert steps["approval"]["by"] == f"user:{hired['operator'].login}"
        assert steps["requestedBy"] == f"user:{hired['owner'].login}"
    finally:
        served.told("books", "set", staff.merchant, "threshold=-")


def test_a_team_is_made_and_changed(served: Tree, staff: Staff, owner: Visitor) -> None:
    base = staff.book()
    made = owner.post(f"{base}/team", {"login": "New@test.example", "name": "New", "role":
                                       "operator"})  # fmt: skip
    link = re.search(r"/dashboard/enter/[\w-]{43}", made.text)
    assert link is not None
    assert Visitor(served).get(link[0]).status == 200
    person = re.search(r"/team/(usr_[0-9a-f]+)", made.text[made.text.index("new@test") - 900 :])
    again = owner.post(f"{base}/team", {"login": "new@test.example", "name": "x", "role": "owner"})
    assert "/dashboard/enter/" not in again.text, "nobody's way in is taken away by another book"
    assert Visitor(served).get(link[0]).status == 200
    assert person is not None
    bad = owner.post(f"{base}/team", {"login": "<b>", "name": "x", "role": "owner"})
    assert (bad.status, "<b>" in bad.text) == (422, False)
    wrong = owner.post(f"{base}/team", {"login": "fine@test.example", "name": "x", "role": "king"})
    assert (wrong.status, wrong.says("there is no role king")) == (422, True)


def test_the_last_owner_stays(served: Tree) -> None:
    served.told("merchants", "create", "MCH-ONE-OWNER", "One owner")
    staff = Staff(served, "MCH-ONE-OWNER")
    person = staff.hire("only@test.example", test="owner")
    visitor = staff.visitor(person)
    for role in ("none", "read-only"):
        found = visitor.post(f"{staff.book()}/team/{person.person_id}", {"role": role})
        assert (found.status, found.says("at least one owner")) == (422, True)
    assert visitor.get(staff.book() + "/").status == 200


def test_the_table_of_roles_is_documented(staff: Staff) -> None:
    assert json.dumps(sorted(ROLES)) == json.dumps(
        ["developer", "disputes", "operator", "owner", "read-only"]
    )


def test_two_people_settle_a_review(
    served: Tree, staff: Staff, shop: Shop, browsers: dict[str, Visitor], rows: Database
) -> None:
    """Neither alone, nor the same person twice; the trail says where they sat."""
    payment = shop.take_payment()
    claim = str(shop.post(f"/payments/{payment}/refund", {"amount": 3})["refundId"])
    served.until("it is paid", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    rows.execute(
        "UPDATE claims SET needs_review = true, review_reason = 'twice' WHERE claim_id = $1", claim
    )
    path = f"{staff.book()}/claims/{claim}"
    operator, form = browsers["operator"], {"finding": "paid", "reason": "The bank said so."}
    assert operator.get(path).says("Two people have to find the same")
    assert operator.post(f"{path}/review", form).status == 303
    again = operator.post(f"{path}/review", form)
    assert (again.status, again.says("self_approval")) == (422, True)
    assert shop.get(f"/claims/{claim}")["needsReview"] is True
    assert operator.post(f"{path}/review", {**form, "finding": "x"}).status == 404
    assert operator.post(f"{path}/review", {**form, "reason": " "}).status == 404
    assert browsers["owner"].post(f"{path}/review", form).status == 303
    shown = shop.get(f"/claims/{claim}")
    assert (shown["needsReview"], shown["status"]) == (False, "released")
    acts = rows.rows("SELECT action, via FROM acts WHERE object_id = $1 ORDER BY at", claim)
    assert [tuple(row) for row in acts] == [
        ("review_paid_proposed", "dashboard"), ("review_paid_confirmed", "dashboard"),
    ]  # fmt: skip


def test_only_who_may_name_an_account_sees_the_payers_link(
    staff: Staff, shop: Shop, browsers: dict[str, Visitor]
) -> None:
    payment = shop.take_payment(method="sbx_oxxo")
    claim = str(shop.post(f"/payments/{payment}/refund", {"amount": 4})["refundId"])
    link = str(shop.get(f"/claims/{claim}")["payerDetailsUrl"])
    path = f"{staff.book()}/claims/{claim}"
    seen = {role for role, browser in browsers.items() if link in browser.get(path).text}
    assert seen == {role for role in ROLES if PAYER in ROLES[role]} == {"owner", "operator"}

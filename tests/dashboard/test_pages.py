"""Pages against a browser's attackers, and against the API: forms, headers, amounts."""

import gzip
import re
import struct
from typing import Any, Final

import pytest

from clawback.dashboard.app import PAGES
from tests.dashboard.visitor import COOKIE, Staff, Visitor, decoded
from tests.support.shops import Shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply, bearer, request

pytestmark = pytest.mark.timeout(300)

LISTS: Final = ("/", "/payments", "/claims", "/work", "/books", "/books/entries", "/events",
                "/webhooks", "/keys", "/sandbox", "/batches", "/settings", "/settings/book",
                "/days")  # fmt: skip


def test_every_answer_has_its_headers(staff: Staff, owner: Visitor, served: Tree) -> None:
    base = staff.book()
    stranger = Visitor(served)
    pages = [owner.get(base + path) for path in LISTS]
    pages += [owner.get(f"{base}/nowhere"), owner.get(f"{base}/claims/x"), owner.post(f"{base}/x"),
              owner.post("/dashboard/sign-in", Origin="https://evil.example"),
              stranger.get("/dashboard/sign-in"), stranger.get("/dashboard/enter/x"),
              stranger.get("/dashboard/nowhere/at/all")]  # fmt: skip
    nonces = set()
    for page in pages:
        policy = page.header("content-security-policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for part in ("frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'",
                     "form-action 'self'", "connect-src 'self'"):  # fmt: skip
            assert part in policy
        nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
        assert nonce is not None
        nonces.add(nonce[1])
        assert page.header("cache-control") == "no-store"
        assert page.header("x-content-type-options") == "nosniff"
        assert page.header("x-frame-options") == "DENY"
        assert page.header("referrer-policy") == "same-origin"
    assert len(nonces) == len(pages), "each page has a nonce of its own"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
     {"Origin": "null", "Sec_Fetch_Site": ""}, {"Origin": "", "Sec_Fetch_Site": ""},
     {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
     {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
     {"Content_Type": "text/plain"}, {"Content_Type": "application/json"},
     {"Content_Type": "multipart/form-data; boundary=x"}],
)  # fmt: skip
def test_what_comes_from_elsewhere_does_nothing(
    staff: Staff, shop: Shop, owner: Visitor, headers: dict[str, str]
) -> None:
    payment = shop.take_payment()
    before = shop.count("/claims")
    path = f"{staff.book()}/payments/{payment}/refund"
    assert owner.post(path, {"amount": "1"}, **headers).error == "forbidden"
    assert shop.count("/claims") == before


def test_a_form_without_its_sessions_token_does_nothing(
    staff: Staff, shop: Shop, owner: Visitor, browsers: dict[str, Visitor]
) -> None:
    payment = shop.take_payment()
    path = f"{staff.book()}/payments/{payment}/refund"
    for token in ("", "0" * 64, browsers["operator"].token):
        assert owner.post(path, {"amount": "1", "formToken": token}).error == "forbidden"
    assert shop.claims_of(payment) == []
    assert owner.post(path, {"amount": "1"}).status == 303, "the control"
    assert len(shop.claims_of(payment)) == 1


def test_looking_changes_nothing(staff: Staff, owner: Visitor, shop: Shop) -> None:
    payment = shop.take_payment()
    claims = shop.count("/claims")
    base = staff.book()
    for path in (f"/payments/{payment}/refund", f"/payments/{payment}/refund/confirm?amount=5"):
        assert owner.get(base + path).status == 200
    for page in PAGES:
        if page.method == "POST" and page.path.count("{") == 0:
            assert owner.get(base + page.path).status in {200, 404}
    assert shop.count("/claims") == claims


def numbers(value: Any) -> set[str]:  # noqa: ANN401 - whatever JSON holds
    """Every number in an answer, as written."""
    if isinstance(value, dict):
        return set().union(*(numbers(one) for one in value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*(numbers(one) for one in value)) if value else set()
    return {value} if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) else set()


def raw(shop: Shop, path: str) -> Any:  # noqa: ANN401 - whatever it answers
    """An answer of the API with its numbers as written."""
    with Line(shop.address) as line:
        line.send(request("GET", API + path, bearer(shop.key), None))
        return decoded(line.read("GET").body.decode())


def test_amounts_are_the_apis_to_the_last_digit(
    staff: Staff, shop: Shop, owner: Visitor, served: Tree
) -> None:
    base = staff.book()
    payment = shop.take_payment(usd=77, method="sbx_pix", country="BR")
    claim = str(shop.post(f"/payments/{payment}/refund", {"amount": 33.33})["refundId"])
    served.until("it is paid", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    told = raw(shop, f"/payments/{payment}")
    page = owner.get(f"{base}/payments/{payment}")
    for name in ("amount", "amountLocal", "remaining", "amountRefunded", "amountClaimed", "fxRate"):
        assert told[name] in page.amounts, (name, told[name])
    told = raw(shop, f"/claims/{claim}")
    page = owner.get(f"{base}/claims/{claim}")
    for name in ("amount", "amountUsd", "amountReleased", "amountReleasedUsd", "frozenUsd"):
        assert told[name] in page.amounts, (name, told[name])
    entries = raw(shop, f"/ledger/entries?claimId={claim}")["data"]
    legs = [leg["amount"] for entry in entries for leg in entry["postings"]]
    assert set(legs) <= set(page.amounts)
    accounts = raw(shop, "/ledger/accounts")["data"]
    shown = owner.get(f"{base}/books").amounts
    assert {one["balance"].lstrip("-") for one in accounts} <= set(shown)
    balance = raw(shop, "/me/balance")
    shown = owner.get(f"{base}/").amounts
    assert numbers(balance["balance"]) - {"0"} <= set(shown)
    assert balance["feeSummary"]["netBalance"] in shown


def test_a_refund_is_seen_twice_and_done_once(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base, payment = staff.book(), shop.take_payment()
    form = owner.get(f"{base}/payments/{payment}/refund")
    assert form.says("861.18")
    last = owner.get(f"{base}/payments/{payment}/refund/confirm?amount=10&reason=duplicate&note=x")
    assert last.status == 200
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', last.text))
    assert hidden["amount"] == "10"
    assert hidden["reason"] == "duplicate: x"
    assert hidden["remaining"] == "861.18"
    assert "0.5806" in last.amounts
    done = [owner.post(f"{base}/payments/{payment}/refund", hidden) for _ in range(3)]
    assert {one.header("location") for one in done} == {done[0].header("location")}
    assert [one["amount"] for one in shop.claims_of(payment)] == [10]
    stale = owner.post(f"{base}/payments/{payment}/refund", {**hidden, "key": "dash-another"})
    assert (stale.status, stale.says("remaining_changed")) == (422, True)
    for amount, code in (("9999", "refund_exceeds_remaining"), ("1.005", "invalid_amount"),
                         ("abc", "invalid_amount"), ("", "invalid_amount"),
                         ("1e3", "invalid_amount"), ("-1", "invalid_amount")):  # fmt: skip
        found = owner.post(f"{base}/payments/{payment}/refund", {"amount": amount})
        assert (found.status, found.says(code)) == (422, True), amount
    over = owner.get(f"{base}/payments/{payment}/refund/confirm?amount=9999")
    assert (over.status, over.says("refund_exceeds_remaining")) == (422, True)
    assert len(shop.claims_of(payment)) == 1


def test_a_dispute_is_answered_with_a_text_and_a_file(
    staff: Staff, shop: Shop, browsers: dict[str, Visitor]
) -> None:
    base, payment = staff.book(), shop.take_payment()
    simulated = {"action": "chargeback"}
    claim = shop.post(f"/payments/{payment}/simulate", simulated, 200)["claimId"]
    visitor, path = browsers["disputes"], f"{base}/claims/{claim}"
    page = visitor.get(path)
    assert page.says("Bring a file")
    assert (
        visitor.post(f"{path}/evidence", {"type": "shipping", "text": "It arrived."}).status == 303
    )
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(17) + b"IEND\xaeB`\x82"
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("formToken", visitor.token), ("type", "receipt"))
    )
    body = (parts + '--b\r\nContent-Disposition: form-data; name="file"; filename="r\'.png"\r\n\r\n'
            ).encode() + png + b"\r\n--b--\r\n"  # fmt: skip
    headers = {"Origin": visitor.origin, "Content-Type": "multipart/form-data; boundary=b"}
    brought = visitor.send("POST", f"{path}/files", body, headers)
    assert brought.status == 303, brought.text[-3000:]
    items = shop.get(f"/claims/{claim}")["evidence"]
    assert [one["type"] for one in items] == ["shipping", "receipt"]
    file = visitor.get(f"{path}/evidence/{items[1]['id']}/file")
    assert (file.status, file.header("content-type")) == (200, "image/png")
    assert file.header("content-disposition") == f'attachment; filename="{items[1]["id"]}.png"'
    assert "sandbox" in file.header("content-security-policy")
    stolen = body.replace(visitor.token.encode(), b"0" * 64)
    assert visitor.send("POST", f"{path}/files", stolen, headers).error == "forbidden"
    assert visitor.post(f"{path}/evidence/{items[0]['id']}/remove").status == 303
    assert visitor.post(f"{path}/submit").status == 303
    closed = visitor.post(f"{path}/evidence", {"type": "other", "text": "Too late."})
    assert (closed.status, closed.says("evidence_closed")) == (422, True)
    assert closed.says("Too late.") or not closed.says("<textarea")


def test_a_batch_does_what_was_shown(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base, payment = staff.book(), shop.take_payment()
    file = f"transactionId,amount\n{payment},10\nTXN-00000000-0000,5\n"
    shown = owner.post(f"{base}/batches/preview", {"csv": file})
    assert shown.says("not_found")
    token = re.search(r'name="commitToken" value="([^"]+)"', shown.text)
    assert token is not None
    assert shop.claims_of(payment) == []
    done = owner.post(f"{base}/batches/commit", {"commitToken": token[1]})
    assert done.status == 200, done.error
    assert [one["amount"] for one in shop.claims_of(payment)] == [10]
    again = owner.post(f"{base}/batches/commit", {"commitToken": token[1]})
    assert again.says("commit_token_invalid")
    bad = owner.post(f"{base}/batches/preview", {"csv": "a,b\n1,2"})
    assert (bad.status, bad.says("invalid_csv") or bad.says("unknown_field")) == (422, True)


def test_webhooks_are_made_turned_and_resent(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    made = owner.post(f"{base}/webhooks", {"events": "claim.* payment.*", "description": "Desk"})
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert secret is not None
    name = str(shop.get("/webhooks")["data"][0]["id"])
    page = owner.get(f"{base}/webhooks/{name}")
    assert secret[0] not in page.text
    turned = owner.post(f"{base}/webhooks/{name}/rotate")
    other = re.search(r"whsec_[A-Za-z0-9+/=]+", turned.text)
    assert other is not None
    assert other[0] != secret[0]
    assert owner.post(f"{base}/webhooks/{name}", {"active": "false"}).status == 303
    assert shop.get(f"/webhooks/{name}")["active"] is False
    wrong = owner.post(f"{base}/webhooks", {"events": "*", "url": "http://10.0.0.1/x"})
    assert (wrong.status, wrong.says("webhook_url_refused")) == (422, True)
    assert owner.post(f"{base}/webhooks/{name}/remove").status == 303


def test_the_sandbox_plays(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    made = owner.post(f"{base}/sandbox/payments", {"amount": "50", "method": "sbx_spei MX"})
    name = made.header("location").rpartition("/")[2]
    assert shop.get(f"/payments/{name}")["status"] == "pending"
    done = owner.post(f"{base}/sandbox/simulate", {"payment": name, "action": "paid"})
    assert done.header("location").endswith(name)
    assert shop.get(f"/payments/{name}")["status"] == "completed"
    wrong = owner.post(f"{base}/sandbox/simulate", {"payment": name, "action": "med"})
    assert (wrong.status, wrong.says("simulate_not_possible")) == (422, True)
    assert owner.post(f"{base}/sandbox/faults", {"operation": "refund",
                                                 "sequence": "decline"}).status == 303  # fmt: skip
    assert owner.get(f"{base}/sandbox").says("decline")
    assert owner.post(f"{base}/sandbox/faults/clear").status == 303
    assert shop.get("/sandbox/faults")["data"] == []


def test_a_search_leads_to_the_thing(staff: Staff, shop: Shop, owner: Visitor) -> None:
    base = staff.book()
    body = {"amount": 50, "paymentMethodId": "sbx_spei", "country": "MX",
            "merchantOrderId": "ORDER-77", "userEmail": "Ana@Mail.example"}  # fmt: skip
    name = str(shop.post("/payments", body)["id"])
    found = owner.get(f"{base}/payments?q={name.lower()}")
    assert found.header("location") == f"{base}/payments/{name}"
    reference = shop.get(f"/payments/{name}")["providerReference"]
    for text in ("ORDER-77", "ana@mail.example", str(reference)):
        assert owner.get(f"{base}/payments?q={text}").says(name), text
    assert not owner.get(f"{base}/payments?q=ORDER-78").says(name)


def test_each_page_in_each_language_and_colour(staff: Staff) -> None:
    visitor = staff.visitor(staff.hire("polyglot@test.example", test="owner"))
    base = staff.book()
    for language, title in (("es", "Dónde está el dinero"), ("pt", "Onde está o dinheiro")):
        done = visitor.post("/dashboard/manners", {"language": language, "theme": "dark",
                                                   "next": f"{base}/"})  # fmt: skip
        assert done.header("location") == f"{base}/"
        home = visitor.get(f"{base}/")
        assert home.says(title)
        assert f'<html lang="{language}" data-theme="dark">' in home.text
        for path in LISTS:
            assert visitor.get(base + path).status == 200, path
    away = visitor.post("/dashboard/manners", {"language": "xx", "next": "//evil.example"})
    assert away.header("location") == "/dashboard/"


def sent(served: Tree, path: str, cookie: str = "") -> Reply:
    """An answer as a browser is sent it: compressed where we can."""
    headers = [("Accept-Encoding", "gzip"), ("Cookie", f"{COOKIE}={cookie}")]
    with Line(served.address) as line:
        return line.call("GET", path, headers, None)


def test_what_is_loaded_first_is_small(served: Tree, staff: Staff, owner: Visitor) -> None:
    """Signing in, the first page and its charts, with all that they load, as it is sent."""
    pages = [sent(served, "/dashboard/sign-in")]
    pages += [sent(served, staff.book() + path, owner.cookie) for path in ("/", "/days")]
    assert {one.status for one in pages} == {200}
    names = {name for one in pages
             for name in re.findall(r'"(/dashboard/static/[^"]+)"', one.body.decode())}  # fmt: skip
    files = [sent(served, name) for name in names]
    assert {name.rpartition("/")[2] for name in names} >= {"app.js", "chart.umd.min.js"}
    for file in files:
        assert (file.status, file.header("content-encoding")) == (200, "gzip")
        assert "immutable" in (file.header("cache-control") or "")
        assert len(file.body) < len(gzip.decompress(file.body)), "the control: it is packed"
    total = sum(len(one.body) for one in (*pages, *files))
    assert total <= 150_000, total

"""Attacks on the payer's page: forged, expired and reused links, hostile text, forms, leaks."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from html.parser import HTMLParser

import pytest

from tests.security.payer import GOOD, visit, waiting
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus=alert(1) autofocus='",
    "</title><svg onload=alert(1)>",
    "{{7*7}}${7*7}{0.__class__}%s",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;b&gt;&#60;script&#62;",
    "\u202e<\u2028script>",
    "<hx-get='/x' hx-trigger=load>",
)


@pytest.fixture(scope="module")
def shop(tree: Tree) -> Iterator[Shop]:
    """A merchant whose payers are asked."""
    yield other_shop(tree, "MCH-PAYERS")
    tree.audit()


def test_a_link_takes_the_payer_through(tree: Tree, shop: Shop) -> None:
    claim, url = waiting(shop)
    assert url.startswith(tree.dev["url"] + "/payer/")
    page = visit(url)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "861.18 MXN" in page.text
    assert "Shop of MCH-PAYERS" in page.text
    done = visit(url, GOOD)
    assert (done.status, "Gracias" in done.text) == (200, True)
    tree.until("it is released", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    shown = shop.get(f"/claims/{claim}")
    assert shown["payerDetails"] == {
        "rail": "spei", "holderName": "Payer Name", "account": "**************0177",
    }  # fmt: skip
    assert shown["payerDetailsUrl"] is None
    assert [step["actor"] for step in shown["timeline"]][1] == "payer"
    record = sqlite3.connect(f"file:{tree.data}/sandbox/record.sqlite3?mode=ro", uri=True)
    try:
        payees = [row[0] for row in record.execute("SELECT payee FROM refunds") if row[0]]
    finally:
        record.close()
    assert any('"account":"999180000000100177"' in one for one in payees)


def test_the_headers_keep_it_to_itself(shop: Shop) -> None:
    _, url = waiting(shop)
    for page in (visit(url), visit(url, {}), visit(url + "x")):
        csp = page.headers["content-security-policy"]
        assert "default-src 'none'" in csp
        assert "unsafe" not in csp
        assert "frame-ancestors 'none'" in csp
        assert "form-action 'self'" in csp
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert re.search(r"<script(?! src=\"/static/payer\.js\" defer>)", page.text) is None
        assert re.search(r"\son[a-z]+=|style=|https?:", page.text) is None


def test_a_link_is_used_once(shop: Shop) -> None:
    claim, url = waiting(shop)
    assert visit(url, GOOD).status == 200
    for form in (None, GOOD, {**GOOD, "account": "002010077777777771"}):
        again = visit(url, form)
        assert (again.status, "Este enlace ya no sirve" in again.text) == (410, True)
    details = shop.get(f"/claims/{claim}")["payerDetails"]
    assert details["account"].endswith("0177")


def test_of_many_at_once_one_is_taken(shop: Shop) -> None:
    _, url = waiting(shop)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda form: visit(url, form).status, [GOOD] * 8))
    assert sorted(answers) == [200, *[410] * 7]


def test_forged_links_open_nothing(tree: Tree, shop: Shop, rows: Database) -> None:
    claim, url = waiting(shop)
    other, other_url = waiting(other_shop(tree, "MCH-OTHER-PAYERS"))
    head, _, token = url.rpartition("/")
    book, name, until, mark = token.split(".")
    other_book, other_name, _, other_mark = other_url.rpartition("/")[2].split(".")
    flipped = [
        mark[:place] + ("A" if mark[place] != "A" else "B") + mark[place + 1 :]
        for place in range(len(mark))
    ]
    forged = [
        *(f"{book}.{name}.{until}.{one}" for one in flipped),
        f"{book}.{other_name}.{until}.{mark}", f"{other_book}.{name}.{until}.{mark}",
        f"{book}.{name}.{until}.{other_mark}", f"{other_book}.{other_name}.{until}.{mark}",
        f"{book}.{name}.ZZZZZZZZ.{mark}", f"{book}.{name}.{until}.", f"{book}.{name}.{until}",
        f"{book}.{name}.{until}.{'A' * 32}", f"{book}.{name}.{until}.{mark}=", token.lower(),
        f"{token}%00", "x", "%3Cscript%3E", "..", f"{token}.{mark}", "A" * 5000,
        token.replace(".", "%2E") + "x", f"{book}.{name}.{until}.{mark[:-1]}\u00e9".encode().hex(),
    ]  # fmt: skip
    versions = "SELECT claim_id, version FROM claims WHERE claim_id IN ($1, $2) ORDER BY claim_id"
    before = rows.rows(versions, claim, other)
    for one in forged:
        for form in (None, GOOD):
            page = visit(f"{head}/{one}", form)
            assert page.status == 404, (one, page.status)
            assert claim not in page.text
            assert other not in page.text
    assert rows.rows(versions, claim, other) == before
    assert visit(url).status == 200, "the control: the true link still opens"


def test_an_expired_link_opens_nothing_and_its_claim_fails(tree: Tree, rows: Database) -> None:
    shop = other_shop(tree, "MCH-SLOW-PAYERS")
    claim, url = waiting(shop)
    assert visit(url).status == 200
    rows.execute(
        "UPDATE heads SET clock_offset_seconds = $1 WHERE book_id = (SELECT book_id FROM books"
        " WHERE merchant_id = 'MCH-SLOW-PAYERS' AND mode = 'test')",
        30 * 86_400,
    )
    for form in (None, GOOD):
        page = visit(url, form)
        assert (page.status, "Este enlace venci" in page.text) == (410, True)
    tree.until("it fails", lambda: shop.get(f"/claims/{claim}")["status"] == "failed", 30)
    shown = shop.get(f"/claims/{claim}")
    assert (shown["resolution"], shown["frozenUsd"]) == ("payer_details_expired", 0)
    assert shown["payerDetailsUrl"] is None


def test_a_canceled_refund_s_link_is_dead(shop: Shop) -> None:
    claim, url = waiting(shop)
    shop.post(f"/claims/{claim}/cancel", {}, 200)
    assert visit(url, GOOD).status == 410


class Seen(HTMLParser):
    """What a browser makes of a page: its tags with the names of their attributes, and values."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.values: dict[str, str | None] = {}
        self.feed(text)
        self.close()

    def open_tag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        found = dict(attrs)
        if tag == "input":
            self.values[str(found["name"])] = found["value"]

    handle_starttag = open_tag


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(shop: Shop, text: str) -> None:
    _, url = waiting(shop)
    plain = visit(url, {"holderName": "\u202e", "account": "x"})
    page = visit(url, {"holderName": text, "account": text})
    assert page.status == 422
    seen = Seen(page.text)
    assert seen.values["account"] == seen.values["holderName"] == text
    harmless = [one for one in Seen(plain.text).tags if one[0] != "input"]
    assert [one for one in seen.tags if one[0] != "input"] == harmless
    usual = {"id", "name", "value", "required", "maxlength", "spellcheck", "aria-describedby",
             "aria-invalid", "inputmode", "data-rail", "data-check-digit", "data-length",
             "data-good"}  # fmt: skip
    assert {name for tag, names in seen.tags if tag == "input" for name in names} <= usual


def test_a_page_without_escapes_would_be_seen(shop: Shop) -> None:
    """The control: the same look finds the tags of a page that does not escape."""
    _, url = waiting(shop)
    page = visit(url, {"holderName": HOSTILE[1], "account": HOSTILE[1]})
    naive = page.text.replace(escape(HOSTILE[1]), HOSTILE[1])
    assert ("img", ("src", "onerror")) in Seen(naive).tags
    assert ("img", ("src", "onerror")) not in Seen(page.text).tags


def test_a_hostile_name_stays_text_in_the_api_too(shop: Shop) -> None:
    claim, url = waiting(shop)
    assert visit(url, {**GOOD, "holderName": HOSTILE[0]}).status == 200
    assert shop.get(f"/claims/{claim}")["payerDetails"]["holderName"] == HOSTILE[0]


def test_a_hostile_merchant_is_shown_as_text(tree: Tree) -> None:
    tree.told("merchants", "create", "MCH-EVIL", '<img src=x onerror=alert(1)>"{amount}')
    made = tree.told("keys", "create", "MCH-EVIL", "--rate", "1000")
    _, url = waiting(Shop(tree.address, str(made["secret"])))
    page = visit(url)
    assert "&lt;img src=x onerror=alert(1)&gt;&quot;{amount}" in page.text
    assert "<img" not in page.text


def test_languages(shop: Shop) -> None:
    _, url = waiting(shop)
    for accepted, lang, words in (
        ("", "es", "¿A dónde"), ("pt-BR,pt;q=0.9,en;q=0.8", "pt", "Para onde"),
        ("en-US,en;q=0.5", "en", "Where shall"), ("de,en;q=0.1", "en", "Where shall"),
        ("fr", "es", "¿A dónde"), ("en;q=0", "es", "¿A dónde"), ("x" * 9000, "es", "¿A dónde"),
        (",,;q=,", "es", "¿A dónde"), ("en;q=0.2, pt;q=0.3", "pt", "Para onde"),
    ):  # fmt: skip
        page = visit(url, Accept_Language=accepted)
        assert f'<html lang="{lang}">' in page.text
        assert words in page.text
    assert '<html lang="pt">' in visit(f"{url}?lang=pt", Accept_Language="en").text
    assert '<html lang="en">' in visit(f"{url}?lang=xx", Accept_Language="en").text
    wrong = visit(f"{url}?lang=pt", {"holderName": "A", "account": "1"})
    assert "número certo de caracteres" in wrong.text
    assert 'action="?lang=pt"' in wrong.text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"account=1&holderName=x", 422),
        (b"", 422),
        (b"account=%ff", 400),
        (b"\xff\xfe", 400),
        (b"a=1&" * 33, 400),
        (b"account=" + b"1" * 17_000, 400),
        (b"account=%00", 422),
        (b"account=1&account=999180000000100177&holderName=x&rail=pix", 200),
    ],
)
def test_forms(shop: Shop, form: bytes, status: int) -> None:
    _, url = waiting(shop)
    assert visit(url, form).status == status


def test_other_forms_and_methods(shop: Shop) -> None:
    _, url = waiting(shop)
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", ""):
        assert visit(url, b'{"account":"1"}', Content_Type=kind).status == 400
    assert visit(url).status == 200


def test_the_merchant_gives_details_over_the_api(tree: Tree, shop: Shop) -> None:
    claim, url = waiting(shop)
    path = f"/claims/{claim}/payer-details"
    wrong = shop.call("POST", path, {"rail": "spei", "account": "999180000000100178"})
    assert (wrong.status, wrong.code) == (422, "payer_details_invalid")
    assert wrong.json["error"]["details"]["fields"] == [
        {"field": "account", "rule": "check_digit"}, {"field": "holderName", "rule": "required"},
    ]  # fmt: skip
    other = {"rail": "pix", "account": "52998224725", "accountType": "CPF"}
    wrong = shop.call("POST", path, other)
    assert wrong.json["error"]["details"]["fields"] == [{"field": "rail", "rule": "rail"}]
    assert shop.call("POST", path, {"rail": "swift"}).code == "invalid_field"
    assert shop.call("POST", path, {}).code == "missing_field"
    done = shop.call("POST", path, {"rail": "spei", **GOOD}, "give")
    assert (done.status, done.json["payerDetails"]["account"]) == (200, "**************0177")
    again = shop.call("POST", path, {"rail": "spei", **GOOD}, "give")
    assert (again.body, again.header("idempotent-replayed")) == (done.body, "true")
    assert visit(url, GOOD).status == 410
    tree.until("it is released", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    late = shop.call("POST", path, {"rail": "spei", **GOOD})
    assert late.code == "claim_transition_invalid"


def holds(rows: Database, table: str, text: str) -> int:
    """How many rows of a table hold a text."""
    query = f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE $1"  # noqa: S608 - our names
    return int(rows.rows(query, f"%{text}%")[0][0])


def test_accounts_lie_nowhere_in_clear(tree: Tree, shop: Shop, rows: Database) -> None:
    """Neither in the database, nor in any log: not the account, and not the link."""
    account = "646180157000000004"
    claim, url = waiting(shop)
    token = url.rpartition("/")[2]
    assert visit(url, {"holderName": "Canary Payer", "account": account}).status == 200
    tree.until("it is released", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    tables = [
        row[0] for row in rows.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    for secret in (account, token, token.rpartition(".")[2]):
        for table in tables:
            assert holds(rows, table, secret) == 0, (secret[:6], table)
        for log in (tree.data / "logs").glob("api-*.log"):
            assert secret not in log.read_text(errors="replace"), (secret[:6], log.name)
        assert secret not in (tree.data / "logs" / "worker.log").read_text(errors="replace")
    logged = "".join(log.read_text() for log in (tree.data / "logs").glob("api-*.log"))
    assert "/claims/{id}" in logged, "the control: requests are logged"
    assert holds(rows, "claims", "Canary Payer") == 1, "the control: what lies in clear is found"


def test_details_moved_to_another_claim_do_not_open(tree: Tree, shop: Shop, rows: Database) -> None:
    strict = other_shop(tree, "MCH-STRICT-PAYERS")
    tree.told("books", "set", "MCH-STRICT-PAYERS", "threshold=0")
    approver = Shop(tree.address, str(tree.told("keys", "create", "MCH-STRICT-PAYERS")["secret"]))
    mine, my_url = waiting(strict)
    theirs, their_url = waiting(strict)
    assert {visit(my_url, GOOD).status, visit(their_url, GOOD).status} == {200}
    query = "SELECT payer_details::text FROM claims WHERE claim_id = $1"
    true = rows.rows(query, mine)[0][0]
    rows.execute(
        "UPDATE claims SET payer_details = (SELECT payer_details FROM claims WHERE claim_id = $2)"
        " WHERE claim_id = $1",
        mine, theirs,
    )  # fmt: skip
    approver.post(f"/claims/{mine}/approve", {}, 200)
    approver.post(f"/claims/{theirs}/approve", {}, 200)
    tree.until(
        "its twin is paid", lambda: strict.get(f"/claims/{theirs}")["status"] == "released", 30
    )
    shown = strict.get(f"/claims/{mine}")
    assert shown["status"] == "approved"
    assert {one["outcome"] for one in shown["attempts"]} <= {"unavailable", None}
    rows.execute("UPDATE claims SET payer_details = $2::json WHERE claim_id = $1", mine, true)
    tree.until("it is paid", lambda: strict.get(f"/claims/{mine}")["status"] == "released", 60)


def test_a_new_sealing_key_opens_the_details_of_before(tree: Tree, rows: Database) -> None:
    """The old key is forgotten: details are sealed anew, and links that were sent open no more."""
    shop = other_shop(tree, "MCH-ROTATED")
    tree.told("books", "set", "MCH-ROTATED", "threshold=0")
    approver = Shop(tree.address, str(tree.told("keys", "create", "MCH-ROTATED")["secret"]))
    claim, url = waiting(shop)
    assert visit(url, GOOD).status == 200
    other, old_link = waiting(shop)
    query = "SELECT payer_details ->> 'sealed' FROM claims WHERE claim_id = $1"
    before = rows.rows(query, claim)[0][0]
    done = tree.run("providers", "rotate-key", "--key-file", str(tree.data / "seal.key"))
    assert done.returncode == 0, done.stderr
    assert rows.rows(query, claim)[0][0] != before
    approver.post(f"/claims/{claim}/approve", {}, 200)
    tree.until("it is released", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    assert visit(old_link).status == 404
    assert visit(str(shop.get(f"/claims/{other}")["payerDetailsUrl"])).status == 200

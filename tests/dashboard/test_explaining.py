"""The page that explains a claim to its payer: who makes its link, what it says, what opens it."""

import re
from datetime import timedelta
from typing import Final

import msgspec
import pytest

from clawback import clock, seal
from clawback.claims.links import DETAILS, EXPLAINING, make_token
from clawback.claims.moves import TABLES
from clawback.currencies import Currency
from clawback.http import explaining_html
from clawback.http.explaining_html import Told, load_texts, told_page
from clawback.http.payer_words import load_words
from clawback.ids import BookId, ClaimId, PaymentId, ShopId
from clawback.lanes.records import Claim
from tests.dashboard.conftest import MERCHANT
from tests.dashboard.visitor import Staff, Visitor
from tests.security.payer import Page, visit, waiting
from tests.support.databases import Database
from tests.support.shops import Shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(120)

LINK: Final = re.compile(r'data-copy="(http[^"]+/claim/[^"]+)"')
PAYER: Final = {"userName": "Rosa Ejemplo", "userEmail": "rosa@payers.example",
                "merchantOrderId": "ORDER-EXPLAINED"}  # fmt: skip
REASON: Final = "Only for our own eyes"


def refunded(shop: Shop, method: str = "sbx_spei") -> tuple[str, str]:
    """A payment by somebody with a name, and a refund of a part of it."""
    body = {"amount": 50, "paymentMethodId": method, "country": "MX", **PAYER}
    payment = str(shop.post("/payments", body)["id"])
    shop.post(f"/payments/{payment}/simulate", {"action": "paid"}, 200)
    asked = shop.post(f"/payments/{payment}/refund", {"amount": 12.34, "reason": REASON})
    return payment, str(asked["refundId"])


def link_to(staff: Staff, visitor: Visitor, claim: str) -> str:
    """The link that the page shows once it was made."""
    page = visitor.post(f"{staff.book()}/claims/{claim}/share")
    assert page.status == 200, page
    found = LINK.search(page.text)
    assert found is not None, page
    return found[1]


@pytest.fixture(scope="module")
def sealed(served: Tree) -> seal.Seal:
    """The seal of the tree."""
    return seal.load(served.data / "seal.key")


def test_a_link_is_made_shown_once_and_noted(
    staff: Staff, browsers: dict[str, Visitor], shop: Shop, rows: Database
) -> None:
    operator, (_, claim) = browsers["operator"], refunded(shop)
    path = f"{staff.book()}/claims/{claim}"
    assert "/share" in operator.get(path).text
    assert "/share" not in browsers["read-only"].get(path).text
    url = link_to(staff, operator, claim)
    assert visit(url).status == 200
    assert LINK.search(operator.get(path).text) is None, "shown once"
    noted = "SELECT actor, note FROM acts WHERE object_id = $1 AND action = 'explanation_shared'"
    found = rows.rows(noted, claim)
    assert len(found) == 1
    assert found[0]["actor"].startswith("user:operator-")
    days = (clock.real_now() + timedelta(days=one) for one in (29, 30, 31))
    assert found[0]["note"] in {f"until {day:%Y-%m-%d}" for day in days}
    assert operator.get(path).says("Explanation shared")


def test_it_says_where_the_money_is_and_nothing_else(
    staff: Staff, owner: Visitor, shop: Shop, served: Tree
) -> None:
    payment, claim = refunded(shop)
    url = link_to(staff, owner, claim)
    served.until("it is paid", lambda: shop.get(f"/claims/{claim}")["status"] == "released", 30)
    told, page = shop.get(f"/claims/{claim}"), visit(url, Accept_Language="en")
    assert told["railReference"], "there is something to quote"
    said = ("12.34 MXN", "Paid", claim, told["railReference"], told["expectedBy"][:10], "a test",
            "The refund was asked for.", "The payment was confirmed.")  # fmt: skip
    for text in said:
        assert text in page.text, text
    inside = (payment, MERCHANT, REASON, *PAYER.values(), told["providerReference"],
              told["requestedBy"], told["shopId"], "sandbox")  # fmt: skip
    for text in inside:
        assert text not in page.text, text
    assert staff.places["test"].book_id not in page.text
    shown = owner.get(f"{staff.book()}/claims/{claim}").text
    shown += owner.get(f"{staff.book()}/payments/{payment}").text
    for text in (payment, REASON, *PAYER.values(), told["providerReference"], "sandbox"):
        assert text in shown, "the control: that is what there is to leak"


def test_its_headers_keep_it_to_itself(staff: Staff, owner: Visitor, shop: Shop) -> None:
    url = link_to(staff, owner, refunded(shop)[1])
    for page in (visit(url), visit(url, Cookie=f"clawback_local={owner.cookie}"), visit(url + "x")):
        csp = page.headers["content-security-policy"]
        assert "default-src 'none'" in csp
        assert "frame-ancestors 'none'" in csp
        assert "unsafe" not in csp
        assert page.headers["x-robots-tag"] == "noindex"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in page.headers
        assert re.search(r"<script|\son[a-z]+=|style=|https?:|<form", page.text) is None
    assert visit(url, b"").status == 405, "nothing is taken"


def plain(page: Page) -> tuple[object, ...]:
    """All of an answer but its time and the number that every answer has of its own."""
    return page.status, {**page.headers, "date": "", "request-id": ""}, page.text


def test_wrong_expired_and_altered_links_are_all_alike(
    staff: Staff, owner: Visitor, shop: Shop, sealed: seal.Seal
) -> None:
    claim, other = refunded(shop)[1], refunded(shop)[1]
    asking, details = waiting(shop)
    url = link_to(staff, owner, claim)
    head, _, token = url.rpartition("/")
    book, _, until, mark = token.split(".")
    flipped = (mark[:at] + ("A" if mark[at] != "A" else "B") + mark[at + 1 :] for at in range(32))
    now = clock.real_now()
    past, late = now - timedelta(seconds=1), now + timedelta(hours=1)
    wrong = [
        *(f"{book}.{claim}.{until}.{one}" for one in flipped),
        f"{book}.{other}.{until}.{mark}", f"bk_other.{claim}.{until}.{mark}",
        f"{book}.{claim}.ZZZZZZZZ.{mark}", f"{book}.{claim}.{until}.", token.lower(), f"{token}.x",
        "x", "%00", "..", "A" * 5000,
        make_token(sealed, EXPLAINING, book, claim, past),
        make_token(sealed, DETAILS, book, claim, late),
        make_token(sealed, EXPLAINING, book, "CLM-00000000-0000", late),
        make_token(sealed, EXPLAINING, "bk_0", claim, late),
        details.rpartition("/")[2],
    ]  # fmt: skip
    answers = {repr(plain(visit(f"{head}/{one}"))) for one in wrong}
    assert len(answers) == 1, answers
    assert "(404," in answers.pop()
    good = make_token(sealed, EXPLAINING, book, claim, late)
    assert [visit(one).status for one in (url, f"{head}/{good}")] == [200, 200], "the control"
    crossed = f"{details.rpartition('/')[0]}/{make_token(sealed, EXPLAINING, book, asking, late)}"
    assert visit(crossed).status == 404, "nor does it open the page that asks for an account"
    assert visit(details).status == 200, "the control"


def test_it_is_written_nowhere(staff: Staff, owner: Visitor, shop: Shop, rows: Database) -> None:
    _, claim = refunded(shop)
    mark = link_to(staff, owner, claim).rpartition(".")[2]
    names = rows.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    query = "SELECT count(*) FROM {} AS t WHERE t::text LIKE $1"
    for text, is_there in ((mark, False), (claim, True)):
        found = sum(rows.rows(query.format(one[0]), f"%{text}%")[0][0] for one in names)
        assert (found > 0) == is_there, text


def test_a_refund_that_waits_for_an_account_says_so(
    staff: Staff, owner: Visitor, shop: Shop
) -> None:
    claim, _ = waiting(shop)
    url = link_to(staff, owner, claim)
    for accepted, lang in (("", "es"), ("pt-BR,en;q=0.5", "pt"), ("en-US", "en"), ("de", "es")):
        page, texts = visit(url, Accept_Language=accepted), load_texts()[lang]
        assert f'<html lang="{lang}">' in page.text
        assert texts.refund.where["asked"] in page.text
        assert texts.account_by in page.text
        assert texts.expected not in page.text
    assert '<html lang="pt">' in visit(f"{url}?lang=pt", Accept_Language="en").text


NOW: Final = clock.real_now()
CLAIM: Final = Claim(
    claim_id=ClaimId("CLM-00000000-0001"),
    book_id=BookId("bk_1"),
    payment_id=PaymentId("TXN-00000000-0001"),
    shop_id=ShopId("shp_1"),
    kind="user_dispute",
    status="pending",
    pending_reason=None,
    amount_minor=123,
    currency=Currency("MXN"),
    amount_usd_e4=1,
    claimed_before_minor=0,
    claimed_before_usd_e4=0,
    requested_by="key:x",
    provider="sandbox",
    provider_account="a",
    rail_reference="<b>&",
    created_at=NOW,
    updated_at=NOW,
)


@pytest.mark.parametrize("lang", sorted(load_words()))
def test_every_status_of_every_kind_has_its_words(lang: str) -> None:
    texts, seen = load_texts()[lang], set()
    for kind, table in TABLES.items():
        case = texts.refund if kind == "user_dispute" else texts.dispute
        for status in {move.target for move in table}:
            claim = msgspec.structs.replace(CLAIM, kind=kind, status=status)
            told = Told(claim=claim, steps=((CLAIM.created_at, status),), is_test=False,
                        until=CLAIM.created_at)  # fmt: skip
            page = told_page(told, lang)
            for text in (case.where[status], case.next[status], case.step[status]):
                assert text in page
            assert ("&lt;b&gt;&amp;" in page, "<b>" in page) == (True, False)
            assert texts.test not in page
            seen.add((case.title, status))
    assert len(seen) == len(texts.refund.step) + len(texts.dispute.step)


def test_a_status_without_words_stops_the_start() -> None:
    """The control: the same check on a copy that lacks a line."""
    case = load_texts()["en"].refund
    known = explaining_html.statuses("user_dispute")
    explaining_html.check("en", case, known, {explaining_html.ASKED})
    for name in ("state", "where", "next", "step"):
        less = {key: text for key, text in getattr(case, name).items() if key != "failed"}
        broken = msgspec.structs.replace(case, **{name: less})
        with pytest.raises(ValueError, match="not the statuses there are"):
            explaining_html.check("en", broken, known, {explaining_html.ASKED})

"""Two hundred texts that want to be more than text, and a book that is full of them.

Each way out of where a text may stand (a tag, an attribute, a title, a script, a comment) is tried
with each thing that would run. Every field that a page shows holds some of them; metadata, names of
people and references of a batch hold all.
"""

import html
import re
from html.parser import HTMLParser
from typing import Final, NamedTuple

import asyncpg

from clawback.dashboard import people
from tests.dashboard.visitor import Shown, Staff
from tests.support.shops import Shop

_WAYS_OUT: Final = (
    "", '">', "'>", "</title>", "</textarea>", "</script>", "-->", "</option></select>",
    "</code></pre></dd>", '" x="',
)  # fmt: skip
_BODIES: Final = (
    "<script>hit=1</script>",
    "<ScRiPt/x>hit=1</sCrIpT >",
    "<img src=x onerror=hit=1>",
    "<img src='x' onerror='hit=1'>",
    "<svg/onload=hit=1>",
    "<svg><script>hit=1</script></svg>",
    "<body onpageshow=hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<iframe src=javascript:parent.hit=1></iframe>",
    "<a href=javascript:hit=1>go</a>",
    "<input autofocus onfocus=hit=1>",
    "<details open ontoggle=hit=1>",
    "<base href=//evil.example/>",
    "<object data=javascript:hit=1></object>",
    "<link rel=stylesheet href=//evil.example/x>",
    "<style>*{background:url(//evil.example)}</style>",
    "<form action=//evil.example><button>x</form>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<div hx-get=/dashboard/x hx-trigger=load></div>",
    "<div hx-on:load='hit=1' data-hx-get=/x></div>",
)
PAYLOADS: Final = tuple(way + body for way in _WAYS_OUT for body in _BODIES)
NOT_MARKUP: Final = (
    "javascript:hit=1", "{{7*7}}", "{% raw %}${7*7}", "' onmouseover=hit=1 '", "&lt;script&gt;",
    "&#60;b&#62;", "\u202e\u2066<b>\u2028", "\ufeff<\u200bscript>", "=cmd|' /C calc'!A0",
    "__proto__", "%3Cscript%3E", "\\u003cscript\\u003e",
)  # fmt: skip
"""What would run only where it is decoded or put together once more."""

_AT_ONCE: Final = 10
PAYMENTS: Final = len(PAYLOADS) // _AT_ONCE


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def open_tag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))

    handle_starttag = open_tag


def inert(page: Shown) -> None:
    """Nothing on the page runs but our own two scripts; nothing comes from elsewhere."""
    tags = Tags(page.text).found
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("hx-on")], (tag, attributes)
        if tag == "script":
            assert (attributes.get("src") or "").startswith("/dashboard/static/"), attributes
            assert attributes.get("nonce"), attributes
        for name in ("href", "src", "action", "hx-get"):
            value = attributes.get(name)
            if value is not None and tag != "a":
                assert value.startswith("/dashboard/"), (tag, name, value)
            if tag == "a" and value is not None:
                assert re.match(r"/dashboard/|#|http://127\.|https?://", value), (tag, value)
    assert not {tag for tag, _ in tags} & {"iframe", "object", "embed", "base", "img", "style"}
    assert not [one for tag, one in tags if tag == "meta" and "http-equiv" in one]
    asking = [one for _, one in tags if "hx-get" in one]
    for one in asking:
        assert (one["hx-get"] or "").startswith("/dashboard/bk_"), one


class Planted(NamedTuple):
    """Where the texts are: paths of pages below the book's."""

    payments: list[str]
    claims: list[str]
    inquiries: list[str]
    endpoints: list[str]

    @property
    def paths(self) -> list[str]:
        """Every page that shows them, but for those with all of a kind."""
        return [*self.payments, *self.claims, *self.inquiries, *self.endpoints, "/payments",
                "/payments?after=" + self.payments[-1].rpartition("/")[2], "/claims", "/work",
                "/events", "/webhooks", "/keys", "/books/entries", "/settings", "/"]  # fmt: skip


def plant(shop: Shop) -> Planted:
    """Say them in every field that a merchant, its payers and its provider can fill."""
    planted = Planted([], [], [], [])
    texts = (*PAYLOADS, *NOT_MARKUP)
    for number in range(PAYMENTS):
        many = PAYLOADS[number * _AT_ONCE : (number + 1) * _AT_ONCE]
        one, third = (texts[(number * 11 + step) % len(texts)] for step in (0, 142))
        other = NOT_MARKUP[number % len(NOT_MARKUP)]
        metadata = {f"key{place}": text for place, text in enumerate(many)}
        body = {"amount": 50, "paymentMethodId": "sbx_spei", "country": "MX", "userName": one,
                "merchantOrderId": other, "metadata": metadata | {third[:40]: third}}  # fmt: skip
        name = str(shop.post("/payments", body)["id"])
        shop.post(f"/payments/{name}/simulate", {"action": "paid"}, 200)
        planted.payments.append(f"/payments/{name}")
        refund = shop.post(f"/payments/{name}/refund", {"amount": 1, "reason": third})
        planted.claims.append(f"/claims/{refund['refundId']}")
        if number % 4 == 0:
            asked = {"action": "inquiry", "reason": one}
            claim = shop.post(f"/payments/{name}/simulate", asked, 200)["claimId"]
            planted.inquiries.append(f"/claims/{claim}")
            for text, note in ((one, other), (other, third), (third, one)):
                item = {"type": "other", "text": text, "note": note}
                shop.post(f"/claims/{claim}/evidence", item)
            made = shop.post("/webhooks", {"events": ["*"], "description": third})
            planted.endpoints.append(f"/webhooks/{made['id']}")
    return planted


def batch() -> str:
    """A file of refunds whose reasons and references are all of them."""
    lines = ["transactionId,amount,reason,reference"]
    for number, text in enumerate((*PAYLOADS, *NOT_MARKUP)):
        cell = '"' + text.replace('"', '""') + '"'
        lines.append(f"TXN-00000000-{number:04d},1,{cell},{cell}")
    return "\n".join(lines) + "\n"


def crowd(staff: Staff) -> None:
    """A person for each of them, and a note in the trail."""

    async def work(connection: asyncpg.Connection) -> None:
        place, by = staff.places["test"], people.By("user:test")
        for number, text in enumerate((*PAYLOADS, *NOT_MARKUP)):
            person = await people.create(connection, f"p{number}@{staff.merchant.lower()}", text)
            await people.grant(connection, person, place, "read-only", by)
        for text in PAYLOADS[:90]:
            await people.note(connection, place, "said", text[:32], by, text)

    staff.run(work)


def lacking(text: str) -> list[str]:
    """Those that a page does not show as text."""
    shown = html.unescape(text)
    return [one for one in (*PAYLOADS, *NOT_MARKUP) if one not in shown]


def raw(text: str) -> list[str]:
    """Those that stand in a page unescaped."""
    return [one for one in PAYLOADS if one in text]

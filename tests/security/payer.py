"""What the tests of the payer's page share: claims that wait for a payer, and plain HTTP."""

from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from tests.support.shops import Shop

FORM = "application/x-www-form-urlencoded"
GOOD = {"holderName": "Payer Name", "account": "999180000000100177"}


class Page(NamedTuple):
    """An answer of the page."""

    status: int
    headers: dict[str, str]
    text: str


def visit(url: str, form: dict[str, str] | bytes | None = None, **headers: str) -> Page:
    """Open a link, or send its form, as a browser without script does."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode(form).encode() if isinstance(form, dict) else form
    if body is not None:
        named.setdefault("Content-Type", FORM)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request("GET" if body is None else "POST", target, body, named)
        answer = connection.getresponse()
        text = answer.read().decode()
        return Page(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)
    finally:
        connection.close()


def waiting(shop: Shop, method: str = "sbx_oxxo", country: str = "MX") -> tuple[str, str]:
    """A refund that waits for its payer: the claim's id and the link."""
    payment = shop.take_payment(method=method, country=country)
    claim = str(shop.post(f"/payments/{payment}/refund", {})["refundId"])
    shown = shop.get(f"/claims/{claim}")
    assert shown["pendingReason"] == "awaiting_payer_details"
    return claim, str(shown["payerDetailsUrl"])

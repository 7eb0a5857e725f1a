"""The providers' webhook and whatever a stranger puts into its headers: 401, and never a 5xx.

The corpus is what the public Standard Webhooks library trips over (it raises plain ValueErrors on
most of it), each sent over a real socket; what that library itself signs is taken.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from clawback.clock import real_now
from tests.support.notices import PATH
from tests.support.trees import Tree
from tests.support.wire import Line, Reply

pytestmark = pytest.mark.timeout(180)

BODY: Final = b'{"type":"weather.changed"}'
Headers = dict[str, str | None]


def secret_of(tree: Tree) -> str:
    """What the sandbox provider signs with."""
    return (tree.data / "sandbox" / "notice-secret").read_text().strip()


def signed(tree: Tree, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    """The headers as the public library makes them."""
    stamp = at or real_now()
    signature = Webhook(secret_of(tree)).sign("msg_1", stamp, body.decode())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(stamp.timestamp())),
        "webhook-signature": signature,
    }


def post(tree: Tree, headers: list[tuple[str, str]], body: bytes = BODY) -> Reply:
    """Send it."""
    with Line(tree.address) as line:
        return line.call("POST", PATH, [("Content-Type", "application/json"), *headers], body)


ODD_SIGNATURES: Final = (
    "", " ", ",", "v1", "v1,", "v1,=", "v1,====", "v1,!!!!", "v1,AAAA", "v1,AAAAA", "v1 AAAA",
    "v1,\u00e9", "v1,\u00ff", "V1,{good}", "v2,{good}", "v1a,{good}", "v1,{good},", "v1,{good}=",
    "v1, {good}", " v1,{good}x", "{good}", "v1,{short}", "v1,{good}{good}", "v1,{upper}",
    "v1,AAAA v1", "v1,AAAA v2,{good}", "v1,AAAA  ,  v1,AAAA", "v1;{good}", "v1," + "A" * 4_000,
    " ".join(["v1,AAAA"] * 300), "null", "[]", "%00", "v1,%00", "v1,{good}\t\t;",
)  # fmt: skip
ODD_STAMPS: Final = (
    "", " ", "x", "nan", "inf", "-1", "0", "1e9", "1.5", "0x10", "1_000", "9" * 11, "9" * 12,
    "9" * 400, "{now}.0", "+{now}", "{now} x", "\u00b2", "2026-05-12T20:27:53Z", "%00", "-{now}",
    "{milliseconds}",
)  # fmt: skip
ODD_IDS: Final = ("", " ", "msg_2", "MSG_1", "msg_1.", "\u00e9", "msg_1 msg_1", "x" * 4_000, "%00")


def odd_headers(tree: Tree) -> list[dict[str, str]]:
    """Every odd value in the place of a right one."""
    good = signed(tree)
    text = good["webhook-signature"].removeprefix("v1,")
    now = int(good["webhook-timestamp"])
    found = []
    for odd in ODD_SIGNATURES:
        filled = odd.replace("{good}", text).replace("{short}", text[:-4])
        found.append({**good, "webhook-signature": filled.replace("{upper}", text.upper())})
    for odd in ODD_STAMPS:
        filled = odd.replace("{now}", str(now)).replace("{milliseconds}", str(1000 * now))
        found.append({**good, "webhook-timestamp": filled})
    found += [{**good, "webhook-id": odd} for odd in ODD_IDS]
    found += [{k: v for k, v in good.items() if k != name} for name in good]
    found.append({})
    return found


def test_what_is_odd_is_refused_and_is_no_error_of_ours(served: Tree) -> None:
    wrong = []
    cases = odd_headers(served)
    for headers in cases:
        reply = post(served, list(headers.items()))
        told = (reply.status, reply.code)
        # A space at an end is no part of a header, and HTTP itself refuses what is no text.
        if told not in {(401, "invalid_signature"), (400, "invalid_header")}:
            wrong.append((headers, told))
    assert wrong == []
    assert len(cases) >= 70


def test_the_library_would_have_raised_something_else() -> None:
    """The control: of such headers the library alone makes errors that are no refusal."""
    hook = Webhook("whsec_" + base64.b64encode(b"x" * 32).decode())
    now = str(int(real_now().timestamp()))
    raised = set()
    for signature in ("v1", "", "v1,\u00e9"):
        headers = {"webhook-id": "a", "webhook-timestamp": now, "webhook-signature": signature}
        try:
            hook.verify(BODY.decode(), headers)
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            raised.add(type(error))
    assert raised - {WebhookVerificationError}, raised


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_doubled_header_is_refused(served: Tree, name: str) -> None:
    """Which of the two would count is not for us to guess: a right one does not help."""
    good = signed(served)
    for headers in ([*good.items(), (name, good[name])], [(name, "x"), *good.items()]):
        reply = post(served, headers)
        assert (reply.status, reply.code) == (400, "invalid_header"), reply


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{", b"[]", b"null", b"x" * 1_000])
def test_a_body_that_was_not_signed_is_refused(served: Tree, body: bytes) -> None:
    assert post(served, list(signed(served).items()), body).status == 401


def test_what_the_library_signs_is_taken_and_its_age_is_told_apart(served: Tree) -> None:
    assert post(served, list(signed(served).items())).json == {"received": True}
    for seconds, code in ((-299, None), (-302, "stale_timestamp"), (302, "stale_timestamp")):
        at = real_now().astimezone(UTC) + timedelta(seconds=seconds)
        reply = post(served, list(signed(served, at).items()))
        assert reply.code == code, (seconds, reply)


def test_a_right_signature_among_wrong_ones_is_found(served: Tree) -> None:
    good = signed(served)
    many = f"v1,AAAA v2,AAAA nonsense {good['webhook-signature']}"
    assert post(served, list({**good, "webhook-signature": many}.items())).status == 200
    upper = {name.upper(): value for name, value in good.items()}
    assert post(served, list(upper.items())).status == 200

"""Evidence and acceptance over HTTP, with a real worker and the sandbox network behind them."""

import hashlib
import time
from typing import Any, Final

import pytest

from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply, bearer

pytestmark = pytest.mark.timeout(180)

PDF: Final = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(17) + b"\x00\x00\x00\x00IEND\xaeB`\x82"
JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(40) + b"\xff\xd9"
DAY: Final = 86_400
RECEIPT: Final = ("type", None, b"receipt")


@pytest.fixture(scope="module")
def shop(tree: Tree) -> Shop:
    """One book for all tests here that leave its clock alone."""
    return other_shop(tree, "MCH-EXHIBITS")


def disputed(shop: Shop, action: str = "chargeback", **fields: object) -> tuple[str, str]:
    """A payment with an open dispute; both their names."""
    method = "sbx_pix" if action == "med" else "sbx_spei"
    payment = shop.take_payment(method=method, country="BR" if action == "med" else "MX")
    told = shop.post(f"/payments/{payment}/simulate", {"action": action, **fields}, 200)
    return payment, str(told["claimId"])


def form(parts: list[tuple[str, str | None, bytes]], boundary: str = "xYzZY") -> bytes:
    """A multipart body of these names, file names and bytes."""
    body = b""
    for name, filename, data in parts:
        said = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        body += f"--{boundary}\r\nContent-Disposition: {said}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def upload(shop: Shop, claim: str, body: bytes, key: str | None = None) -> Reply:
    """POST the form."""
    headers = [one for one in bearer(shop.key, idempotency=key) if one[0] != "Content-Type"]
    headers += [("Content-Type", "multipart/form-data; boundary=xYzZY"), ("Connection", "close")]
    with Line(shop.address) as line:
        return line.call("POST", f"{API}/claims/{claim}/evidence", headers, body)


def until(
    shop: Shop, claim: str, wanted: str, seconds: float = 20, *, all_told: bool = False
) -> dict[str, Any]:
    """The claim once it has this status; `all_told`: and what came of each attempt is noted.

    A network's notice may release it before the answer to our own call is written down.
    """
    end = time.monotonic() + seconds
    while True:
        found = shop.get(f"/claims/{claim}")
        is_told = not all_told or all(one["outcome"] for one in found["attempts"])
        if found["status"] == wanted and is_told:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_a_text_and_files_are_taken_shown_and_sent_once(shop: Shop) -> None:
    """PDF, PNG and JPEG by content; submit closes it, and the network gets all of it."""
    _, claim = disputed(shop)
    text = {"type": "receipt", "text": "Signed for by the payer.", "note": "page 1"}
    first = shop.post(f"/claims/{claim}/evidence", text)
    assert (first["text"], first["sha256"], first["sizeBytes"]) == (text["text"], None, 24)
    for name, data, kind in (
        ("r.pdf", PDF, "application/pdf"),
        ("../../etc/p.png", PNG, "image/png"),
        ("p.exe", JPEG, "image/jpeg"),
    ):
        found = upload(shop, claim, form([("type", None, b"shipping"), ("file", name, data)]))
        assert found.status == 201, found
        assert found.json["contentType"] == kind
        assert found.json["sha256"] == hashlib.sha256(data).hexdigest()
        assert found.json["filename"] == name.rsplit("/", 1)[-1]
    gone = shop.call("DELETE", f"/claims/{claim}/evidence/{first['id']}")
    assert (gone.status, gone.json) == (200, {"ok": True, "id": first["id"]})
    shown = shop.get(f"/claims/{claim}")
    assert [one["contentType"] for one in shown["evidence"]] == [
        "application/pdf", "image/png", "image/jpeg",
    ]  # fmt: skip
    sent = shop.post(f"/claims/{claim}/submit", {}, 200)
    assert (sent["pendingReason"], len(sent["evidence"])) == ("processing", 3)
    for found in (
        shop.call("POST", f"/claims/{claim}/evidence", text),
        shop.call("POST", f"/claims/{claim}/submit", {}),
        shop.call("DELETE", f"/claims/{claim}/evidence/{shown['evidence'][0]['id']}"),
    ):
        assert found.code == "evidence_closed"
    end = time.monotonic() + 20
    while not (tries := shop.get(f"/claims/{claim}")["attempts"]) or tries[-1]["outcome"] is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [(one["operation"], one["outcome"]) for one in tries] == [("evidence", "settled")]


@pytest.mark.parametrize(
    ("parts", "status", "code", "said"),
    [
        (
            [("type", None, b"receipt"), ("file", "a.pdf", b"MZ\x90")],
            422,
            "evidence_invalid",
            "type",
        ),
        ([("type", None, b"receipt"), ("file", "a.pdf", b"")], 422, "evidence_invalid", "content"),
        (
            [("type", None, b"receipt"), ("file", "a.pdf", PDF[:20])],
            422,
            "evidence_invalid",
            "type",
        ),
        ([("type", None, b"bribe"), ("file", "a.pdf", PDF)], 400, "invalid_field", "type"),
        ([("file", "a.pdf", PDF)], 400, "missing_field", "type"),
        ([("type", None, b"receipt")], 400, "missing_field", "file"),
        ([("type", None, b"receipt"), ("more", "a.pdf", PDF)], 400, "unknown_field", "more"),
        ([("type", None, b"receipt"), ("kind", None, b"x")], 400, "unknown_field", "kind"),
        ([("file", "a.pdf", PDF), ("file", "b.pdf", PDF)], 400, "invalid_field", "file"),
    ],
)
def test_what_is_no_evidence_is_refused(
    shop: Shop, parts: list[tuple[str, str | None, bytes]], status: int, code: str, said: str
) -> None:
    """Shape first, then what the file is; nothing is added."""
    _, claim = disputed(shop)
    found = upload(shop, claim, form(parts))
    assert (found.status, found.code) == (status, code)
    error = found.json["error"]
    assert said in (error.get("param"), (error.get("details") or {}).get("rule"))
    assert shop.get(f"/claims/{claim}")["evidence"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xYzZY",
        b"--xYzZY--\r\n--xYzZY",
        b"junk" + form([("type", None, b"receipt"), ("file", "a.pdf", PDF)]),
        form([("type", None, b"receipt"), ("file", "a.pdf", PDF)])[:-8],
        form([("type", None, b"receipt"), ("file", "a.pdf", PDF)], "other"),
        form([("type", None, b"\xff\xfe"), ("file", "a.pdf", PDF)]),
        form([(f"t{number}", None, b"x") for number in range(20)]),
        b'--xYzZY\r\nContent-Disposition: form-data; name="file"\r\nX: ' + b"y" * 5000,
        b"--xYzZY\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==\r\n--xYzZY--\r\n",
    ],
)
def test_a_form_that_is_none_is_refused(shop: Shop, body: bytes) -> None:
    """400, never a guess and never a 500."""
    _, claim = disputed(shop)
    found = upload(shop, claim, body)
    codes = {"invalid_field", "invalid_json"} if body else {"missing_field"}
    assert (found.status, found.code in codes) == (400, True), found


def test_a_file_above_the_limit_is_too_large(shop: Shop) -> None:
    """10 MiB a file; JSON keeps its own limit on this call."""
    _, claim = disputed(shop)
    whole = PDF + bytes(10 * 1024 * 1024 - 2 * len(PDF)) + PDF
    assert upload(shop, claim, form([("type", None, b"other"), ("file", "a", whole)])).status == 201
    more = form([("type", None, b"other"), ("file", "a", whole + b" ")])
    assert upload(shop, claim, more).code == "evidence_invalid"
    headers = [("Content-Type", "multipart/form-data; boundary=xYzZY"), *bearer(shop.key)[:1]]
    headers += [("Content-Length", str(11 * 1024 * 1024)), ("Connection", "close")]
    with Line(shop.address) as line:
        found = line.call("POST", f"{API}/claims/{claim}/evidence", headers, b"--xYzZY")
    assert found.code == "body_too_large"
    text = {"type": "other", "text": "x" * 70_000}
    assert shop.call("POST", f"/claims/{claim}/evidence", text).code == "body_too_large"


def test_a_repeat_under_a_key_is_one_piece(shop: Shop) -> None:
    """Known by the file and its fields, not by how the form was cut."""
    _, claim = disputed(shop)
    body = form([("type", None, b"terms"), ("file", "a.pdf", PDF)])
    first = upload(shop, claim, body, "one")
    again = upload(shop, claim, body, "one")
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    other = form([("type", None, b"other"), ("file", "a.pdf", PDF)])
    assert upload(shop, claim, other, "one").code == "idempotency_conflict"
    assert len(shop.get(f"/claims/{claim}")["evidence"]) == 1


def test_the_twenty_first_piece_is_one_too_many(shop: Shop) -> None:
    """`count`; and there must be something to submit."""
    _, claim = disputed(shop)
    assert shop.call("POST", f"/claims/{claim}/submit", {}).code == "evidence_invalid"
    for _ in range(20):
        shop.post(f"/claims/{claim}/evidence", {"type": "other", "text": "x"})
    found = shop.call("POST", f"/claims/{claim}/evidence", {"type": "other", "text": "x"})
    assert found.json["error"]["details"] == {"rule": "count"}


def test_evidence_closes_on_the_clock_of_the_book(tree: Tree) -> None:
    """A MED: announced 48 h before, closed with its third day, then decided by its network."""
    shop = other_shop(tree, "MCH-CLOCK")
    _, claim = disputed(shop, "med")
    shop.post(f"/claims/{claim}/evidence", {"type": "other", "text": "x"})
    shop.post("/sandbox/clock", {"advanceSeconds": 3 * DAY + 60}, 200)
    found = shop.call("POST", f"/claims/{claim}/submit", {})
    assert found.code == "evidence_closed"
    events = [one["type"] for one in shop.get("/events", objectId=claim)["data"]]
    assert events.count("claim.deadline_near") == 1
    shop.post("/sandbox/clock", {"advanceSeconds": DAY}, 200)
    assert until(shop, claim, "released")["resolution"] == "lost"


def test_giving_in_to_a_chargeback_is_final(shop: Shop) -> None:
    """Approved when all is frozen, told to the network, released by its word."""
    payment, claim = disputed(shop)
    told = shop.post(f"/claims/{claim}/accept", {}, 200)
    assert told["status"] == "approved"
    assert shop.call("POST", f"/claims/{claim}/accept", {}).code == "claim_transition_invalid"
    found = until(shop, claim, "released", all_told=True)
    assert found["resolution"] == "accepted"
    assert ("accept", "settled") in [
        (one["operation"], one["outcome"]) for one in found["attempts"]
    ]
    assert shop.get(f"/payments/{payment}")["status"] == "chargeback"


def test_giving_in_to_an_inquiry_is_a_refund(shop: Shop) -> None:
    """Of what it asks; the inquiry answers with the refund's name."""
    payment, claim = disputed(shop, "inquiry", amount=100)
    refused = shop.call("POST", f"/payments/{payment}/refund", {"amount": 99})
    assert refused.json["error"]["details"]["minimumAmount"] == 100
    told = shop.post(f"/claims/{claim}/accept", {}, 200)
    assert (told["status"], told["resolution"]) == ("canceled", "refunded_instead")
    refund = until(shop, told["relatedClaimId"], "released")
    assert (refund["amount"], refund["relatedClaimId"]) == (100, claim)


def test_a_foreign_claim_is_not_there(shop: Shop, tree: Tree) -> None:
    """Another book's claim, for every call, and no file is kept for it."""
    _, claim = disputed(other_shop(tree, "MCH-FOREIGN"))
    text = {"type": "other", "text": "x"}
    body = form([("type", None, b"other"), ("file", "a.pdf", PDF)])
    for found in (
        shop.call("POST", f"/claims/{claim}/evidence", text),
        upload(shop, claim, body),
        shop.call("POST", f"/claims/{claim}/submit", {}),
        shop.call("POST", f"/claims/{claim}/accept", {}),
        shop.call("DELETE", f"/claims/{claim}/evidence/evi_x"),
    ):
        assert (found.status, found.code) == (404, "not_found")


def test_a_refund_has_no_evidence(shop: Shop) -> None:
    """`claim_transition_invalid` comes before everything else that is wrong."""
    payment = shop.take_payment()
    refund = shop.post(f"/payments/{payment}/refund", {"amount": 1})["refundId"]
    body = form([("type", None, b"other"), ("file", "a.pdf", b"no file")])
    assert upload(shop, refund, body).code == "claim_transition_invalid"
    for call in ("submit", "accept"):
        assert shop.call("POST", f"/claims/{refund}/{call}", {}).code == "claim_transition_invalid"

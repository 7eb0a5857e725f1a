"""From endings and notices to outcomes: only what is exactly right is believed."""

import msgspec
import pytest

from clawback.clock import real_now
from clawback.connection import Lost, NotSent, Reply
from clawback.providers import port
from clawback.providers import sandbox_protocol as protocol
from clawback.providers.sandbox import SandboxProvider
from clawback.providers.sandbox_answers import charged, refunded
from clawback.signatures import signed_headers

AT = real_now()
SECRET = "whsec_" + "c2VjcmV0" * 4
REFUND = protocol.Refund(
    refund_id="sbx_rf_1",
    reference="CLM1",
    charge_reference="TXN1",
    status="accepted",
    amount_minor=1000,
    currency="MXN",
    settles_at=AT,
    settled_at=None,
    returned_at=None,
    rail_reference="SBX1",
    reason=None,
)
NOTICE = protocol.Notice(
    id="ntc_1",
    type="refund.settled",
    created_at=AT,
    book="b",
    reference="CLM1",
    charge_reference="TXN1",
    provider_reference="sbx_rf_1",
    amount_minor=1000,
    currency="MXN",
    status="settled",
    rail_reference="SBX1",
    reason=None,
    at=AT,
)


def answer(status: int, body: bytes, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def test_a_right_answer_is_believed() -> None:
    found = refunded(answer(200, msgspec.json.encode(REFUND)), "CLM1", "TXN1")
    assert found == port.Accepted(
        provider_reference="sbx_rf_1",
        rail_reference="SBX1",
        amount_minor=1000,
        currency="MXN",
        settles_at=AT,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        msgspec.json.encode(REFUND)[:-1],
        msgspec.json.encode(REFUND).replace(b'"accepted"', b'"maybe"'),
        msgspec.json.encode(REFUND).replace(b"1000", b"10.5"),
        msgspec.json.encode(REFUND).replace(b"1000", b'"1000"'),
    ],
)
def test_an_answer_that_is_not_exactly_right_is_doubtful(body: bytes) -> None:
    assert refunded(answer(200, body), "CLM1", "TXN1") == port.Unknown(reason="unreadable")
    assert charged(answer(200, body), "TXN1") == port.Unknown(reason="unreadable")


@pytest.mark.parametrize("references", [("CLM2", "TXN1"), ("CLM1", "TXN2")])
def test_an_answer_about_another_reference_proves_nothing(references: tuple[str, str]) -> None:
    found = refunded(answer(200, msgspec.json.encode(REFUND)), *references)
    assert found == port.Unknown(reason="other_reference")


@pytest.mark.parametrize("status", [201, 202, 204, 301, 302, 307, 400, 401, 403, 409, 500, 502])
def test_any_other_status_is_doubtful_whatever_it_says(status: int) -> None:
    found = refunded(answer(status, msgspec.json.encode(REFUND)), "CLM1", "TXN1")
    assert found == port.Unknown(reason=f"status_{status}")


@pytest.mark.parametrize("body", [b"", b"Not Found", b'{"error":"no_such_call"}', b"{}"])
def test_only_the_providers_own_words_mean_absent(body: bytes) -> None:
    assert refunded(answer(404, b'{"error":"not_found"}'), "A", "B") == port.Absent()
    assert refunded(answer(404, body), "A", "B") == port.Unknown(reason="status_404")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 0), ("999999999999", None), ("99999", 86400), ("-1", None), ("1.5", None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("٣", None), ("", None)],
)  # fmt: skip
def test_a_wait_is_read_only_in_bounds(text: str, seconds: int | None) -> None:
    found = refunded(answer(429, b"{}", retry_after=text), "A", "B")
    assert found == port.Unknown(reason="status_429", retry_after_seconds=seconds)


def test_what_did_not_leave_is_unavailable_and_what_was_lost_is_unknown() -> None:
    assert refunded(NotSent("x"), "A", "B") == port.Unavailable(reason="x")
    assert refunded(Lost("y"), "A", "B") == port.Unknown(reason="y")
    assert charged(NotSent("x"), "A") == port.Unavailable(reason="x")
    assert charged(Lost("y"), "A") == port.Unknown(reason="y")


def noticed(body: bytes) -> port.Noticed:
    provider = SandboxProvider("http://127.0.0.1:1", "secret")
    headers = signed_headers(SECRET, message_id="ntc_1", at=real_now(), body=body)
    return provider.verify_notice(headers, body, secrets=(SECRET,), now=real_now())


@pytest.mark.parametrize(
    ("status", "kind"),
    [("accepted", port.Accepted), ("settled", port.Settled), ("declined", port.Declined),
     ("returned", port.Returned)],
)  # fmt: skip
def test_a_notice_about_a_refund_is_a_finding(status: str, kind: type[port.Found]) -> None:
    told = msgspec.structs.replace(NOTICE, type=f"refund.{status}")
    notice = noticed(msgspec.json.encode(told))
    assert isinstance(notice, port.RefundNotice)
    assert (notice.reference, notice.charge_reference) == ("CLM1", "TXN1")
    assert isinstance(notice.finding, kind)


@pytest.mark.parametrize(
    ("status", "kind"),
    [("processing", port.Processing), ("completed", port.Completed), ("failed", port.Failed),
     ("expired", port.Expired)],
)  # fmt: skip
def test_a_notice_about_a_charge_is_a_finding(status: str, kind: type[port.KnownCharge]) -> None:
    told = msgspec.structs.replace(NOTICE, type=f"charge.{status}")
    notice = noticed(msgspec.json.encode(told))
    assert isinstance(notice, port.ChargeNotice)
    assert isinstance(notice.finding, kind)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[1]",
        b"not json",
        msgspec.json.encode(msgspec.structs.replace(NOTICE, type="payout.made")),
        msgspec.json.encode(msgspec.structs.replace(NOTICE, type="refund.stolen")),
        msgspec.json.encode(msgspec.structs.replace(NOTICE, type="charge")),
    ],
)
def test_a_genuine_notice_of_no_known_form_is_put_by(body: bytes) -> None:
    assert noticed(body) == port.OtherNotice(id="ntc_1")


def test_a_notice_that_is_not_signed_is_refused_before_it_is_read() -> None:
    provider = SandboxProvider("http://127.0.0.1:1", "secret")
    refused = provider.verify_notice({}, b"\xff", secrets=(SECRET,), now=AT)
    assert refused == port.NoticeRefused(code="invalid_signature")

"""Signatures of notices: the contract's vector, every flipped bit, every malformed header."""

from datetime import UTC, datetime, timedelta

import pytest

from clawback.signatures import signed_headers, verify

SECRET = "whsec_Y2xhd2JhY2stY29udHJhY3QtdGVzdC1zZWNyZXQtMzI="
OTHER = "whsec_" + "b3RoZXI=" * 5
AT = datetime.fromtimestamp(1778617674, UTC)
BODY = b'{"hello":"claim"}'
SIGNED = signed_headers(SECRET, message_id="evt_mp331g7s0004k7q2", at=AT, body=BODY)


def test_the_vector_of_the_contract() -> None:
    assert SIGNED == {
        "webhook-id": "evt_mp331g7s0004k7q2",
        "webhook-timestamp": "1778617674",
        "webhook-signature": "v1,hY1W8dN5I4ulTjQi3Q+JEt3z+yp/HVxJqGOfltqKkfI=",
    }
    assert verify(SIGNED, BODY, secrets=(SECRET,), now=AT) == "valid"


def test_either_of_two_secrets_and_either_of_two_signatures_will_do() -> None:
    assert verify(SIGNED, BODY, secrets=(OTHER, SECRET), now=AT) == "valid"
    other = signed_headers(OTHER, message_id="evt_mp331g7s0004k7q2", at=AT, body=BODY)
    both = f"{other['webhook-signature']} {SIGNED['webhook-signature']}"
    headers = {**SIGNED, "webhook-signature": both}
    assert verify(headers, BODY, secrets=(SECRET,), now=AT) == "valid"


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_within_five_minutes_it_is_fresh(seconds: int) -> None:
    now = AT + timedelta(seconds=seconds)
    assert verify(SIGNED, BODY, secrets=(SECRET,), now=now) == "valid"


@pytest.mark.parametrize("seconds", [-301, 301, 10**8])
def test_beyond_five_minutes_it_is_stale_if_it_is_genuine(seconds: int) -> None:
    now = AT + timedelta(seconds=seconds)
    assert verify(SIGNED, BODY, secrets=(SECRET,), now=now) == "stale_timestamp"
    assert verify(SIGNED, BODY + b" ", secrets=(SECRET,), now=now) == "invalid_signature"


def test_no_flipped_bit_passes() -> None:
    for index in range(len(BODY) * 8):
        flipped = bytearray(BODY)
        flipped[index // 8] ^= 1 << index % 8
        assert verify(SIGNED, bytes(flipped), secrets=(SECRET,), now=AT) == "invalid_signature"


@pytest.mark.parametrize("name", list(SIGNED))
@pytest.mark.parametrize(
    "value",
    ["", " ", "v1", "v1,", ",", "v1,é", "v1,!!!!", "v2,hY1W8dN5I4ulTjQi3Q", "nan", "1e9", "9" * 40,
     "-1", "١٢٣", "\x00", "v1,\ud800", None],
)  # fmt: skip
def test_malformed_headers_are_refused_and_never_raise(name: str, value: str | None) -> None:
    headers = {key: text for key, text in SIGNED.items() if key != name}
    if value is not None:
        headers[name] = value
    assert verify(headers, BODY, secrets=(SECRET,), now=AT) == "invalid_signature"


def test_without_a_secret_nothing_passes() -> None:
    assert verify(SIGNED, BODY, secrets=(), now=AT) == "invalid_signature"


def test_a_time_of_another_zone_is_converted() -> None:
    there = AT.astimezone(datetime.strptime("-0600", "%z").tzinfo)
    assert signed_headers(SECRET, message_id="evt_mp331g7s0004k7q2", at=there, body=BODY) == SIGNED

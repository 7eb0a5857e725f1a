"""The contract's test vector, and a delivery read back with independent arithmetic.

Two signatures stand side by side while a secret is replaced; each of them alone is good.
"""

import base64
import hmac
from datetime import UTC, datetime, timedelta, timezone

from clawback.signatures import signed_headers
from tests.webhooks.stage import SECRET

AT = datetime.fromtimestamp(1778617674, UTC)
VECTOR = "v1,hY1W8dN5I4ulTjQi3Q+JEt3z+yp/HVxJqGOfltqKkfI="
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_contracts_vector() -> None:
    there = AT.astimezone(timezone(timedelta(hours=-6)))
    headers = signed_headers(
        SECRET, message_id="evt_mp331g7s0004k7q2", at=there, body=b'{"hello":"claim"}'
    )
    assert headers == {
        "webhook-id": "evt_mp331g7s0004k7q2",
        "webhook-timestamp": "1778617674",
        "webhook-signature": VECTOR,
    }


def test_two_secrets_sign_side_by_side() -> None:
    body = '{"hello":"é"}'.encode()
    headers = signed_headers(SECRET, OTHER, message_id="evt_1", at=AT, body=body)
    first, second = headers["webhook-signature"].split(" ")
    for secret, given in ((SECRET, first), (OTHER, second)):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        made = hmac.digest(key, b"evt_1.1778617674." + body, "sha256")
        assert given == "v1," + base64.b64encode(made).decode()

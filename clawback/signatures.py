"""Signatures of notices, in the Standard Webhooks form: made and checked in one place.

A signature covers id, time and the very bytes of the body. Checking compares in constant time,
looks at the signature before the age, and turns every malformed header into a refusal: nothing
that a stranger sends can raise. Real time is used on both sides, never a book's clock.
"""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from standardwebhooks.webhooks import Webhook

TOLERANCE_SECONDS: Final = 300
_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)

Verdict = Literal["valid", "invalid_signature", "stale_timestamp"]


def signed_headers(*secrets: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers that let a receiver check these bytes, signed with each of the secrets.

    `secrets`: `whsec_` and base64. `at`: real time. Bug: a body that is not UTF-8.
    """
    at_utc = at.astimezone(UTC)  # the library replaces the zone instead of converting
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at_utc.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(message_id, at_utc, body.decode()) for secret in secrets
        ),
    }


def verify(
    headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...], now: datetime
) -> Verdict:
    """Whether one of the secrets signed these bytes, and lately enough.

    Header names in lower case. Signature first, age second (contract, section 3, step 2).
    """
    message_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or not (message_id + given).isascii() or not _UNIX_SECONDS.fullmatch(stamp):
        return "invalid_signature"
    at = datetime.fromtimestamp(int(stamp), UTC)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "invalid_signature"
    expected = [Webhook(secret).sign(message_id, at, text) for secret in secrets]
    matches = [hmac.compare_digest(one, other) for one in expected for other in given.split(" ")]
    if not any(matches):
        return "invalid_signature"
    if abs((now - at).total_seconds()) > TOLERANCE_SECONDS:
        return "stale_timestamp"
    return "valid"

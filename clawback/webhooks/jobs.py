"""One try at delivering one event: signed, posted to a checked address, or kept in an inbox.

The bytes are those of the event, the same in every try; time and signature are fresh, in real
time. While a secret is being replaced both sign. What came of it is a `Result`: a 2xx is success,
everything else a failure with few words, so that nobody can look around inside through them.
"""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from clawback import VERSION, clock, logs
from clawback.connection import Ending, NotSent, Reply
from clawback.egress import Egress, Refusal
from clawback.route import BookRef
from clawback.seal import Seal, SealBroken, of_endpoint
from clawback.signatures import signed_headers
from clawback.webhooks.model import next_wait_ms
from clawback.webhooks.wire import delivery_id

AGENT: Final = f"Clawback/{VERSION} (webhooks)"
GONE: Final = 410
_DIGITS: Final = 9

log = logs.get_logger()


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours for a while; `attempts` counts this one already."""

    book: BookRef
    endpoint_id: str
    event_number: int
    attempts: int
    tries: int
    url: str | None
    sealed_secret: str
    sealed_previous: str | None
    event_id: str
    body: bytes


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a try ended. `wait_ms`: until the next one; None: there is none."""

    endpoint_id: str
    event_number: int
    attempts: int
    tries: int
    succeeded: bool
    status_code: int | None = None
    error: str | None = None
    wait_ms: int | None = None
    signature: str | None = None
    signed_at: datetime | None = None


async def deliver(egress: Egress, seal: Seal, leased: Leased, draw: int) -> Result:
    """Make the try. `draw` is the schedule's share of chance."""
    now = clock.real_now()
    try:
        secrets = _secrets(seal, leased)
    except SealBroken:
        log.exception("webhook_secret_not_opened", endpoint=leased.endpoint_id)
        return _failed(leased, draw, error="secret_unreadable")
    headers = signed_headers(*secrets, message_id=leased.event_id, at=now, body=leased.body)
    if leased.url is None:
        return _succeeded(leased, signature=headers["webhook-signature"], signed_at=now)
    headers |= {
        "content-type": "application/json",
        "user-agent": AGENT,
        "clawback-delivery": delivery_id(leased.endpoint_id, leased.event_number),
    }
    ending = await egress.post(leased.url, leased.book.mode, headers, leased.body)
    if not isinstance(ending, Reply):
        return _failed(leased, draw, error=_word(ending))
    if 200 <= ending.status < 300:  # noqa: PLR2004 - the range of success
        return _succeeded(leased, status_code=ending.status)
    asked = ending.headers.get("retry-after")
    asked_ms = 0 if asked is None else read_retry_after(asked, clock.real_now())
    return _failed(leased, draw, status_code=ending.status, asked_ms=asked_ms)


def _secrets(seal: Seal, leased: Leased) -> tuple[str, ...]:
    about = of_endpoint(leased.book.book_id, leased.endpoint_id)
    both = (leased.sealed_secret, leased.sealed_previous)
    return tuple(seal.open_text(one, about=about) for one in both if one is not None)


def _succeeded(
    leased: Leased,
    *,
    status_code: int | None = None,
    signature: str | None = None,
    signed_at: datetime | None = None,
) -> Result:
    return Result(
        endpoint_id=leased.endpoint_id,
        event_number=leased.event_number,
        attempts=leased.attempts,
        tries=leased.tries,
        succeeded=True,
        status_code=status_code,
        signature=signature,
        signed_at=signed_at,
    )


def _failed(
    leased: Leased,
    draw: int,
    *,
    status_code: int | None = None,
    error: str | None = None,
    asked_ms: int = 0,
) -> Result:
    return Result(
        endpoint_id=leased.endpoint_id,
        event_number=leased.event_number,
        attempts=leased.attempts,
        tries=leased.tries,
        succeeded=False,
        status_code=status_code,
        error=error,
        wait_ms=next_wait_ms(leased.tries + 1, draw=draw, asked_ms=asked_ms),
    )


def _word(ending: Ending | Refusal) -> str:
    """Why there is no status. Open, refused and filtered ports look alike."""
    match ending:
        case Refusal() | NotSent(reason="address_refused"):
            return "url_refused"
        case NotSent(reason="certificate_refused"):
            return "certificate_refused"
        case _:
            return "no_answer"


def read_retry_after(text: str, now: datetime) -> int:
    """How long a Retry-After asks to wait, in ms; 0 for one that cannot be read or is past."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text[:_DIGITS]) * 1000
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if at.tzinfo is None:
        return 0
    return max(0, (at - now) // timedelta(milliseconds=1))

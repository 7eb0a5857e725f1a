"""What is done with a provider's webhook before anything of it is believed."""

import asyncio
from datetime import timedelta
from typing import Any, cast

from clawback.claims import notices
from clawback.clock import real_now
from clawback.errors import Refused
from clawback.http.faults import RateLimited
from clawback.providers.sandbox import SandboxProvider
from clawback.route import Answer, ProviderAccount, ProviderCall, Services
from clawback.signatures import signed_headers

SECRET = "whsec_" + "c2VjcmV0" * 4
OTHER = "whsec_" + "b3RoZXJz" * 4


class Accounts:
    """The one account that there is; whatever else a handler asks for is not there."""

    def __init__(self) -> None:
        adapter = SandboxProvider("http://127.0.0.1:9", "bearer")
        self._account = ProviderAccount(adapter, "test", (SECRET,))

    def provider_account(self, name: str, account: str) -> ProviderAccount | None:
        return self._account if (name, account) == ("sandbox", "default") else None


def receive(
    *, secret: str = SECRET, provider: str = "sandbox", age: int = 0, tokens: int = 1
) -> tuple[Answer | Refused, int]:
    """What a webhook of a type that means nothing is answered with, and the tokens left."""
    left = [tokens]

    def take_token() -> Refused | None:
        left[0] -= 1
        return None if left[0] >= 0 else RateLimited(retry_after=1)

    now, body = real_now(), b'{"type":"weather.changed"}'
    headers = signed_headers(secret, message_id="n1", at=now - timedelta(seconds=age), body=body)
    services = cast("Services", cast("Any", Accounts()))
    call = ProviderCall(provider, "default", dict(headers), body, now, services, take_token)
    return asyncio.run(notices.receive(call)), left[0]


def test_a_genuine_one_takes_a_token_and_is_received() -> None:
    assert receive() == (notices.RECEIVED, 0)


def test_one_too_many_is_told_to_come_again() -> None:
    answer, _ = receive(tokens=0)
    assert isinstance(answer, RateLimited)


def test_who_cannot_sign_uses_up_nothing() -> None:
    for refused, code in (
        (receive(secret=OTHER), "invalid_signature"),
        (receive(age=301), "stale_timestamp"),
        (receive(provider="nobody"), "route_not_found"),
    ):
        answer, left = refused
        assert isinstance(answer, Refused)
        assert (answer.code, left) == (code, 1)

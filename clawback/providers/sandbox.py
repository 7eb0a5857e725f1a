"""Adapter of the sandbox provider: maps every ending of a call to one of the port's values.

Only an answer of status 200 that can be read and speaks of the very reference that was asked is
believed. A refused connection is `Unavailable`; a cut, a time-out, any other status and any
other body are `Unknown`. Look-ups answer `Absent` only to the provider's own "not_found".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from clawback.providers import port
from clawback.providers import sandbox_answers as answers
from clawback.providers import sandbox_protocol as protocol
from clawback.providers.sandbox_cases import SandboxCases, SandboxScript
from clawback.signatures import verify

MAX_LOOKUPS: Final = 100
_encode: Final = msgspec.json.Encoder().encode


class SandboxProvider(SandboxCases, SandboxScript):
    """The sandbox provider at one address, for one account."""

    name = "sandbox"

    # Charges.

    async def charge(self, request: port.ChargeRequest) -> port.Charged:
        """Open a charge."""
        asked = protocol.AskCharge(
            reference=request.reference,
            method=request.method,
            amount_minor=request.amount_minor,
            currency=request.currency,
            country=request.country,
            merchant_name=request.merchant_name,
            simulate=request.simulate,
        )
        ending = await self._call("POST", "/charges", request, _encode(asked))
        charged = answers.charged(ending, request.reference)
        if isinstance(charged, port.Absent):
            return port.Unknown(reason="status_404")
        return charged

    async def lookup_charge(self, request: port.LookupRequest) -> port.Charged | port.Absent:
        """What became of a charge."""
        ending = await self._call("GET", f"/charges/{request.reference}", request)
        return answers.charged(ending, request.reference)

    # Refunds.

    async def refund(self, request: port.RefundRequest) -> port.Outcome:
        """Send a refund."""
        asked = protocol.AskRefund(
            reference=request.reference,
            charge_reference=request.charge_reference,
            amount_minor=request.amount_minor,
            currency=request.currency,
            payee=None if request.payee is None else answers.without_nulls(request.payee),
        )
        ending = await self._call("POST", "/refunds", request, _encode(asked))
        match answers.refunded(ending, request.reference, request.charge_reference):
            case port.Absent():
                return port.Unknown(reason="status_404")
            case port.Returned():
                return port.Unknown(reason="returned")
            case outcome:
                return outcome

    async def lookup_refund(self, request: port.LookupRequest) -> port.Found:
        """What became of a refund."""
        target = f"/refunds/{request.reference}?charge={request.charge_reference}"
        ending = await self._call("GET", target, request)
        return answers.refunded(ending, request.reference, request.charge_reference)

    async def lookup_refunds(self, requests: Sequence[port.LookupRequest]) -> Sequence[port.Found]:
        """What became of refunds of one book, asked in one call. Bug: more than 100."""
        if not requests:
            return ()
        assert len(requests) <= MAX_LOOKUPS, len(requests)
        assert len({one.book for one in requests}) == 1, "one book a call"
        asked = protocol.AskLookups(references=[one.reference for one in requests])
        ending = await self._call("POST", "/refunds/lookup", requests[0], _encode(asked))
        return answers.many_refunded(ending, requests)

    # Notices.

    def verify_notice(
        self, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...], now: datetime
    ) -> port.Noticed:
        """Check a notice over its raw bytes, then read it."""
        verdict = verify(headers, body, secrets=secrets, now=now)
        if verdict != "valid":
            return port.NoticeRefused(code=verdict)
        return answers.noticed(headers["webhook-id"], body)

"""Adapter of the sandbox provider: maps every ending of a call to one of the port's values.

Only an answer of status 200 that can be read and speaks of the very reference that was asked is
believed. A refused connection is `Unavailable`; a cut, a time-out, any other status and any
other body are `Unknown`. Look-ups answer `Absent` only to the provider's own "not_found".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from clawback.clock import wire_time
from clawback.connection import Ending
from clawback.outbound import Outbound, Timeouts, split_url
from clawback.providers import port
from clawback.providers import sandbox_answers as answers
from clawback.providers import sandbox_protocol as protocol
from clawback.signatures import verify

MAX_LOOKUPS: Final = 100
_encode: Final = msgspec.json.Encoder().encode

_AboutBook = port.ChargeRequest | port.RefundRequest | port.LookupRequest


class SandboxProvider:
    """The sandbox provider at one address, for one account."""

    name = "sandbox"

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        connections: int = 32,
        timeouts: Timeouts | None = None,
    ) -> None:
        """`url`: scheme, host and port; `secret`: what the account bears.

        Raises: ValueError for an address that is none.
        """
        origin, _ = split_url(url)
        self._outbound = Outbound(origin, connections=connections, timeouts=timeouts)
        self._headers = {
            "authorization": f"Bearer {secret}",
            "content-type": "application/json",
        }

    async def close(self) -> None:
        """Drop the idle connections."""
        await self._outbound.close()

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

    async def simulate_charge(
        self,
        request: port.LookupRequest,
        status: port.ChargeAction,
    ) -> port.Charged | port.Absent:
        """Bring a charge to this status now."""
        body = _encode(protocol.AskStatus(status=status))
        target = f"/charges/{request.reference}/simulate"
        return answers.charged(await self._call("POST", target, request, body), request.reference)

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

    async def simulate_refund(
        self, request: port.LookupRequest, status: port.RefundAction
    ) -> port.Found:
        """Bring a refund to this status now."""
        body = _encode(protocol.AskStatus(status=status))
        target = f"/refunds/{request.reference}/simulate"
        ending = await self._call("POST", target, request, body)
        return answers.refunded(ending, request.reference, request.charge_reference)

    # What only a sandbox has.

    async def next_change_at(self, *, book: str, book_time: datetime) -> datetime | None:
        """When the provider will next change something of the book by itself.

        None: never, or it cannot be asked.
        """
        headers = {**self._headers, "x-book": book, "x-book-time": wire_time(book_time)}
        told = answers.told(await self._send("GET", "/due", headers), protocol.NextChange)
        return told.next_at if isinstance(told, protocol.NextChange) else None

    async def add_fault(self, asked: port.FaultRequest) -> port.FaultScript | None:
        """Add a script of faults; None if it was not taken."""
        fault = protocol.AskFault(
            operation=asked.operation,
            sequence=list(asked.sequence),
            charge_reference=asked.charge_reference,
            repeat=asked.repeat,
            book=asked.book,
        )
        ending = await self._send("POST", "/faults", self._headers, _encode(fault))
        told = answers.told(ending, protocol.Fault)
        return answers.script(told) if isinstance(told, protocol.Fault) else None

    async def faults(self, book: str) -> tuple[port.FaultScript, ...] | None:
        """The scripts of a book, spent ones too; None if they cannot be had."""
        ending = await self._send("GET", f"/faults?book={quote(book)}", self._headers)
        told = answers.told(ending, protocol.Faults)
        if not isinstance(told, protocol.Faults):
            return None
        return tuple(answers.script(fault) for fault in told.data)

    async def clear_faults(self, book: str) -> int | None:
        """Forget the scripts of a book; how many there were, None if it was not done."""
        ending = await self._send("DELETE", f"/faults?book={quote(book)}", self._headers)
        told = answers.told(ending, protocol.Cleared)
        return told.cleared if isinstance(told, protocol.Cleared) else None

    # Notices.

    def verify_notice(
        self, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...], now: datetime
    ) -> port.Noticed:
        """Check a notice over its raw bytes, then read it."""
        verdict = verify(headers, body, secrets=secrets, now=now)
        if verdict != "valid":
            return port.NoticeRefused(code=verdict)
        return answers.noticed(headers["webhook-id"], body)

    async def _call(self, method: str, target: str, about: _AboutBook, body: bytes = b"") -> Ending:
        headers = {
            **self._headers,
            "x-book": about.book,
            "x-book-time": wire_time(about.book_time),
        }
        return await self._send(method, target, headers, body)

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Ending:
        return await self._outbound.call(method, target, headers=headers, body=body)

"""The sandbox provider's line: one address, one account, and what every call to it carries.

A call ends in an `Ending` and never raises; what it proves is read elsewhere. Each call about a
book names it and its time, from which the provider learns that the book's clock was moved.
"""

from collections.abc import Mapping

from clawback.clock import wire_time
from clawback.connection import Ending
from clawback.outbound import Outbound, Timeouts, split_url
from clawback.providers import port

AboutBook = (
    port.ChargeRequest
    | port.RefundRequest
    | port.LookupRequest
    | port.EvidenceRequest
    | port.AcceptRequest
    | port.DisputeLookup
    | port.DisputeSimulation
    | port.OutsideRefund
)


class SandboxLine:
    """How the sandbox provider is reached."""

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

    async def _call(self, method: str, target: str, about: AboutBook, body: bytes = b"") -> Ending:
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

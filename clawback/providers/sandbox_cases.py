"""What the sandbox adapter does beside charges and refunds: disputes, and what only a sandbox has.

Evidence and giving in end as refunds do, in one of the port's outcomes. Simulations, faults and
looking ahead exist for test books only.
"""

from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

from clawback.clock import wire_time
from clawback.providers import port
from clawback.providers import sandbox_answers as answers
from clawback.providers import sandbox_protocol as protocol
from clawback.providers.sandbox_line import SandboxLine

_encode: Final = msgspec.json.Encoder().encode


class SandboxCases(SandboxLine):
    """Disputes at the sandbox provider."""

    async def submit_evidence(self, request: port.EvidenceRequest) -> port.Outcome:
        """Send evidence."""
        asked = protocol.AskEvidence(
            reference=request.reference,
            kind=request.kind,
            documents=[answers.document(one) for one in request.documents],
        )
        target = f"/disputes/{quote(request.case)}/evidence"
        ending = await self._call("POST", target, request, _encode(asked))
        return answers.answered(ending, request.reference, request.case)

    async def accept_dispute(self, request: port.AcceptRequest) -> port.Outcome:
        """Give in."""
        asked = protocol.AskAccept(reference=request.reference, kind=request.kind)
        target = f"/disputes/{quote(request.case)}/accept"
        ending = await self._call("POST", target, request, _encode(asked))
        return answers.answered(ending, request.reference, request.case)

    async def lookup_dispute(
        self, request: port.DisputeLookup
    ) -> port.DisputeNotice | port.Absent | port.Unavailable | port.Unknown:
        """How a case stands."""
        ending = await self._call("GET", f"/disputes/{quote(request.case)}", request)
        return answers.disputed(ending, request.case)


class SandboxScript(SandboxLine):
    """What only a sandbox has: it can be told what to do, and what to do wrong."""

    async def simulate_charge(
        self,
        request: port.LookupRequest,
        status: port.ChargeAction,
    ) -> port.Charged | port.Absent:
        """Bring a charge to this status now."""
        body = _encode(protocol.AskStatus(status=status))
        target = f"/charges/{request.reference}/simulate"
        return answers.charged(await self._call("POST", target, request, body), request.reference)

    async def simulate_refund(
        self, request: port.LookupRequest, status: port.RefundAction
    ) -> port.Found:
        """Bring a refund to this status now."""
        body = _encode(protocol.AskStatus(status=status))
        target = f"/refunds/{request.reference}/simulate"
        ending = await self._call("POST", target, request, body)
        return answers.refunded(ending, request.reference, request.charge_reference)

    async def simulate_dispute(
        self, request: port.DisputeSimulation
    ) -> port.DisputeNotice | port.Absent | port.Unavailable | port.Unknown:
        """Bring a case about or to its end now."""
        asked = protocol.AskDispute(
            action=request.action,
            reference=request.reference,
            amount_minor=request.amount_minor,
            case=request.case,
            reason=request.reason,
        )
        target = f"/charges/{request.charge_reference}/disputes"
        ending = await self._call("POST", target, request, _encode(asked))
        return answers.disputed(ending, request.case)

    async def refund_outside(
        self, request: port.OutsideRefund
    ) -> port.RefundNotice | port.Absent | port.Unavailable | port.Unknown:
        """Give money back without us now."""
        asked = protocol.AskOutsideRefund(
            reference=request.reference, amount_minor=request.amount_minor
        )
        target = f"/charges/{request.charge_reference}/refunds"
        ending = await self._call("POST", target, request, _encode(asked))
        return answers.refunded_outside(ending, request.charge_reference)

    async def look_ahead(self, *, book: str, book_time: datetime) -> port.Ahead | None:
        """Have the provider do what is due, then say what comes next; None: it cannot be asked."""
        headers = {**self._headers, "x-book": book, "x-book-time": wire_time(book_time)}
        told = answers.told(await self._send("GET", "/due", headers), protocol.NextChange)
        if not isinstance(told, protocol.NextChange):
            return None
        return port.Ahead(next_at=told.next_at, untold=told.untold)

    async def next_change_at(self, *, book: str, book_time: datetime) -> datetime | None:
        """When the provider will next change something of the book by itself.

        None: never, or it cannot be asked.
        """
        ahead = await self.look_ahead(book=book, book_time=book_time)
        return None if ahead is None else ahead.next_at

    async def add_fault(self, asked: port.FaultRequest) -> port.FaultScript | None:
        """Add a script of faults; None if it was not taken."""
        fault = protocol.AskFault(
            operation=asked.operation,
            sequence=list(asked.sequence),
            charge_reference=asked.charge_reference,
            repeat=asked.repeat,
            book=asked.book,
            reference=asked.reference,
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

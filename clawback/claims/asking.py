"""What the worker asks a network about a case, and how the answer is recorded.

A network's own word about a case is recorded as its notices are, under the same name, so that a
lost notice is made good and one that comes late finds everything done. Only then does the attempt
end; a doubt leads to the same question again.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from clawback import clock
from clawback.claims.disputes import RecordDispute
from clawback.claims.files import SQL
from clawback.claims.fold import Report, report
from clawback.claims.notices import dispute_fact
from clawback.errors import Refused
from clawback.ids import Mint
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Attempt, Claim
from clawback.providers import port
from clawback.route import BookRef, Kept

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Reader = Callable[[], "AbstractAsyncContextManager[PoolConnectionProxy]"]

_MINT: Final = Mint()


async def ask_network(
    lanes: Lanes,
    provider: port.Provider,
    reader: Reader,
    book: BookRef,
    claim: Claim,
    attempt: Attempt,
    book_time: datetime,
) -> Report:
    """Send evidence, give in, or ask how the case stands and record it. Bug: no case."""
    assert claim.provider_reference is not None, claim.claim_id
    kind = cast("port.DisputeKind", claim.kind)
    if attempt.operation == "evidence":
        outcome = await provider.submit_evidence(
            port.EvidenceRequest(
                book=book.book_id,
                book_time=book_time,
                reference=attempt.reference,
                case=claim.provider_reference,
                kind=kind,
                documents=await read_documents(reader, book, claim),
            )
        )
        return report(outcome)
    if attempt.operation == "accept":
        outcome = await provider.accept_dispute(
            port.AcceptRequest(
                book=book.book_id,
                book_time=book_time,
                reference=attempt.reference,
                case=claim.provider_reference,
                kind=kind,
            )
        )
        return report(outcome)
    assert attempt.operation == "lookup", attempt.operation
    told = await provider.lookup_dispute(
        port.DisputeLookup(
            book=book.book_id, book_time=book_time, case=claim.provider_reference, kind=kind
        )
    )
    if not isinstance(told, port.DisputeNotice):
        return report(told)
    return await _recorded(lanes, book, claim, told)


async def read_documents(reader: Reader, book: BookRef, claim: Claim) -> tuple[port.Document, ...]:
    """The evidence of this round, with the bytes of its files."""
    async with reader() as connection:
        rows = await SQL.find_documents(
            connection,
            shard=book.shard,
            book_id=book.book_id,
            claim_id=claim.claim_id,
            round=claim.round,
        )
    return tuple(port.Document(**dict(row)) for row in rows)


async def _recorded(lanes: Lanes, book: BookRef, claim: Claim, told: port.DisputeNotice) -> Report:
    """The attempt's own end once the network's word is on record."""
    now = clock.real_now()
    fact = dispute_fact(
        claim.provider, claim.provider_account, told, claim.payment_id, received_at=now
    )
    outcome = await lanes.submit(
        book,
        RecordDispute(
            payment_id=claim.payment_id,
            claim_id=_MINT.claim(clock.milliseconds(now)),
            notice=told,
            fact=fact,
            actor=f"provider:{claim.provider}",
        ),
        Kept[object](),
    )
    if isinstance(outcome, Refused):
        return Report(status="unknown", reason=outcome.code)
    return Report(status="accepted", provider_reference=told.case)

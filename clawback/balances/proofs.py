"""GET /ledger/proof: what the book's own rows prove, computed from them when it is asked for.

One snapshot, one book, inside the database and on one of its cores: no lane is touched, no row
comes here, and a process proves one book at a time. With a claim it also brings that claim's
entries, each with the very text that its hash covers.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.balances.wire import EntryWire, show_entry
from clawback.currencies import book_exponent
from clawback.db import queries
from clawback.errors import NotFound, Refused
from clawback.ids import is_well_formed
from clawback.ledger import audit
from clawback.money import major
from clawback.route import Answer, Call, NoBody, Route

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

SQL: Final = queries.load(__package__, "queries.sql")
BALANCE: Final = "entries_balance"

_ENCODER: Final = msgspec.json.Encoder()


class ProofQuery(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """`claim_id` adds a claim's entries."""

    claim_id: str | None = None


class CurrencySum(msgspec.Struct, frozen=True):
    """What all postings of a currency come to."""

    currency: str
    sum: msgspec.Raw


class CheckWire(msgspec.Struct, frozen=True):
    """One invariant of the book."""

    name: str
    ok: bool


class ChainWire(msgspec.Struct, frozen=True):
    """The head of the book's hash chain, and whether all of it was computed again and holds."""

    height: int
    hash: str
    intact: bool


class ProvenEntry(EntryWire, frozen=True, rename="camel"):
    """An entry with the text whose SHA-256 is its hash."""

    canonical: str


class ClaimProof(msgspec.Struct, frozen=True, rename="camel"):
    """A claim's entries, oldest first."""

    id: str
    book_id: str
    entries: list[ProvenEntry]


class Proof(msgspec.Struct, frozen=True, rename="camel"):
    """What the book's rows prove."""

    computed_at: str
    balanced: bool
    currencies: list[CurrencySum]
    checks: list[CheckWire]
    chain: ChainWire
    claim: ClaimProof | msgspec.UnsetType = msgspec.UNSET


async def prove(call: Call[NoBody, ProofQuery]) -> Answer | Refused:
    """GET /ledger/proof. Refuses: NotFound for the claim."""
    claim_id = call.query.claim_id
    if claim_id is not None and not is_well_formed(claim_id, "CLM-"):
        return NotFound()
    book = call.book
    place = {"shard": book.shard, "book_id": book.book_id}
    async with (
        call.services.prover() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        claim: ClaimProof | msgspec.UnsetType = msgspec.UNSET
        if claim_id is not None:
            if await SQL.find_claim(connection, **place, claim_id=claim_id) is None:
                return NotFound()
            claim = await _claim(connection, call, claim_id)
        head = await audit.SQL.read_head(connection, **place)
        sums = await audit.SQL.sum_currencies(connection, **place)
        names = (*audit.PROOF, audit.CHAIN)
        checks = [
            await audit.check(connection, name, shard=book.shard, book_id=book.book_id)
            for name in names
        ]
    found = {check.name: check.ok for check in checks}
    shown = Proof(
        clock.wire_time(clock.book_time(call.real_now, head["clock_offset_seconds"])),
        found[BALANCE] and not any(row["total"] for row in sums),
        [
            CurrencySum(row["currency"], major(row["total"], book_exponent(row["currency"])))
            for row in sums
        ],
        [CheckWire(name, found[name]) for name in audit.PROOF],
        ChainWire(head["height"], head["hash"], found[audit.CHAIN]),
        claim,
    )
    return Answer(200, _ENCODER.encode(shown))


async def _claim(
    connection: "PoolConnectionProxy", call: Call[NoBody, ProofQuery], claim_id: str
) -> ClaimProof:
    rows = await SQL.read_claim_entries(
        connection,
        shard=call.book.shard,
        book_id=call.book.book_id,
        first_cause=f"{claim_id}:",
        last_cause=f"{claim_id};",
    )
    entries = [
        ProvenEntry(**msgspec.structs.asdict(show_entry(row)), canonical=row["canonical"])
        for row in rows
    ]
    return ClaimProof(claim_id, call.book.book_id, entries)


ROUTES: Final = (
    Route(
        "GET",
        "/ledger/proof",
        prove,
        "ledger:read",
        "Prove the book from its rows",
        Proof,
        query=ProofQuery,
        errors=("not_found",),
    ),
)

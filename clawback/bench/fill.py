"""Books grown large before anything is measured: whole lives of refunds, written by COPY.

One life (a payment taken and captured, a refund opened, approved, sent and released) is decided by
the rules that decide real ones, on the book as it stands. The lives after it are the same but for
their names, their places in the book, the balances they leave and the hashes, which are computed
as always; so the audit proves all of them. The worker and a provider have no part in it.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from clawback import clock, tables
from clawback.bench import preload
from clawback.bench.load import AMOUNT_MINOR
from clawback.bench.preload import LOCAL, Merchant
from clawback.claims.fold import RecordOutcome, Report, StartAttempt
from clawback.claims.model import OpenRefund
from clawback.currencies import USD
from clawback.db import pool as connections
from clawback.errors import Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes import store
from clawback.lanes.command import AccountName, Command, Reads
from clawback.lanes.naming import entry_id, event_id
from clawback.lanes.records import Account, Changes, Entry, Event, Head, Posting
from clawback.lanes.working import WorkingSet
from clawback.ledger import accounts, proof
from clawback.money import Amount

if TYPE_CHECKING:
    from asyncpg import Connection

CHUNK: Final = 1_000
"""Lives that are written in one transaction, all of one book."""

MODEL: Final = 94_031_756
"""The number in the names of the life that is decided; nowhere else does it stand in a row."""

FIRST: Final = 60_000_000
"""The number of the first life; above those of all payments that are refunded."""

ACTOR: Final = "key:key_000000000000"
REFUNDED: Final = Amount(10, 0)

_ACCOUNTS: Final = (
    *(AccountName(USD, name) for name in accounts.NORMAL_SIDE),
    AccountName(LOCAL, accounts.FX),
    AccountName(LOCAL, accounts.provider_account("sandbox")),
)
_GROWING: Final = (
    "height",
    "event_number",
    *(name for name in Head.__struct_fields__ if name.endswith("_usd_e4")),
)
"""What each life adds to on a head row."""

Row = tuple[object, ...]
Moved = dict[tuple[str, str], tuple[tuple[int, int], tuple[int, int]]]
"""Balance and number of the last posting, before a life and after it, by currency and account."""


def payment_id(number: int) -> PaymentId:
    """The name of a life's payment."""
    return PaymentId(f"TXN-{number:08d}-FILL")


def claim_id(number: int) -> ClaimId:
    """The name of a life's claim."""
    return ClaimId(f"CLM-{number:08d}-FILL")


async def fill(
    dsn: str, merchants: Sequence[Merchant], claims: int, *, first: int = FIRST, chunk: int = CHUNK
) -> None:
    """Give the merchants' books so many claims more, shared out in turn.

    Their names are numbered from `first` on, and so many of them as `chunk` says are written in one
    transaction. Nothing else may write to these books meanwhile. Bug: a step was refused.
    """
    connection = await connections.connect(dsn, application_name="clawback bench fill", role=None)
    try:
        done = 0
        for place, merchant in enumerate(merchants):
            share = claims // len(merchants) + (place < claims % len(merchants))
            for start in range(0, share, chunk):
                lives = min(chunk, share - start)
                async with connection.transaction():
                    await _write(connection, merchant, first + done, lives)
                done += lives
    finally:
        await connection.close()


async def _write(connection: "Connection", merchant: Merchant, first: int, lives: int) -> None:
    book, at = merchant.book, clock.real_now()
    commands = _life(merchant, at)
    reads = [(book.book_id, command.reads()) for command in commands]
    reads.append((book.book_id, _ALL))
    rows = await store.read_rows(connection, book.shard, [book.book_id], reads, [])
    working = WorkingSet()
    working.fill(rows, reads, [])
    state = working.books[book.book_id]
    before, balances = state.head, dict(state.accounts)
    for command in commands:
        draft = state.draft(at)
        outcome = tables.RULES.decide[type(command)](draft, command, at)
        assert not isinstance(outcome, Refused), outcome
        draft.merge()
    moved = {
        place: (balances.get(place, (0, 0)), state.accounts[place])
        for place in state.touched_accounts
    }
    copies = _Copies(working.take_changes(tables.RULES.render), before, moved, book.shard)
    await copies.write(connection, range(first, first + lives))
    await copies.close(connection, state.head, lives, at)


_ALL: Final = Reads(
    payments=(payment_id(MODEL),),
    claims=(claim_id(MODEL),),
    claims_of=(payment_id(MODEL),),
    attempts_of=(claim_id(MODEL),),
    facts_of=(claim_id(MODEL), payment_id(MODEL)),
    accounts=_ACCOUNTS,
)


def _life(merchant: Merchant, at: datetime) -> tuple[Command, ...]:
    """What becomes of one payment, from its creation to the release of its refund."""
    name = claim_id(MODEL)
    created, charged = preload.commands(MODEL, merchant)
    return (
        msgspec.structs.replace(created, payment_id=payment_id(MODEL)),
        msgspec.structs.replace(charged, payment_id=payment_id(MODEL)),
        OpenRefund(
            payment_id=payment_id(MODEL),
            claim_id=name,
            amount=REFUNDED,
            reason="requested_by_customer",
            expected_remaining=None,
            actor=ACTOR,
        ),
        StartAttempt(
            claim_id=name,
            attempt_id=f"att_{MODEL:012d}",
            real_now=at,
            lease_seconds=30,
            actor="worker",
        ),
        RecordOutcome(
            claim_id=name,
            number=1,
            report=Report(
                status="settled",
                provider_reference=f"rf_{MODEL:012d}",
                rail_reference=f"{MODEL:018d}",
                amount_minor=AMOUNT_MINOR,
                currency=LOCAL,
                at=at,
            ),
            fact_id=f"fct_{MODEL:012d}",
            real_now=at,
            actor="provider:sandbox",
        ),
    )


class _Copies:
    """The rows of one decided life, and those of the lives that follow it in the book."""

    def __init__(self, changes: Changes, before: Head, moved: Moved, shard: int) -> None:
        self._changes = changes
        self._before = before
        self._moved = moved
        self._shard = shard
        self._legs = Counter((leg.currency, leg.account) for leg in changes.postings)
        self._sums: Counter[tuple[str, str]] = Counter()
        for leg in changes.postings:
            self._sums[leg.currency, leg.account] += leg.amount
        self._by_height: dict[int, list[Posting]] = {}
        for leg in changes.postings:
            self._by_height.setdefault(leg.height, []).append(leg)
        self._hash = before.hash

    async def write(self, connection: "Connection", numbers: range) -> None:
        """Copy the lives of these numbers in."""
        changes = self._changes
        plain: dict[str, Sequence[msgspec.Struct]] = {
            "payments": changes.payments,
            "claims": changes.claims,
            "attempts": changes.attempts,
            "facts": changes.facts,
        }
        for table, records in plain.items():
            models = [_model(record) for record in records]
            rows = [_renamed(model, str(number)) for number in numbers for model in models]
            await self._copy(connection, table, type(records[0]), rows)
        entries: list[Row] = []
        postings: list[Row] = []
        events: list[Row] = []
        for step, number in enumerate(numbers):
            self._add_entries(entries, postings, step, str(number))
            events += [self._event(event, step, str(number)) for event in changes.events]
        await self._copy(connection, "entries", Entry, entries)
        await self._copy(connection, "postings", Posting, postings)
        await self._copy(connection, "events", Event, events)

    async def close(self, connection: "Connection", after: Head, lives: int, at: datetime) -> None:
        """Bring the head row and the balances to where the last life left them.

        `after`: the head row as the first life left it.
        """
        before = self._before
        grown = {name: _last(before, after, name, lives) for name in _GROWING}
        out = Changes(heads=[msgspec.structs.replace(before, **grown, hash=self._hash)])
        for (currency, name), (was, now) in self._moved.items():
            account = Account(
                book_id=before.book_id,
                currency=currency,
                name=name,
                balance=was[0] + (now[0] - was[0]) * lives,
                seq=was[1] + (now[1] - was[1]) * lives,
                updated_at=at,
            )
            (out.account_changes if was[1] else out.accounts).append(account)
        await store.write_rows(connection, self._shard, None, at, out)

    async def _copy(
        self, connection: "Connection", table: str, kind: type[msgspec.Struct], rows: list[Row]
    ) -> None:
        columns = ("shard", *kind.__struct_fields__)
        await connection.copy_records_to_table(
            table, records=[(self._shard, *row) for row in rows], columns=columns
        )

    def _add_entries(self, entries: list[Row], postings: list[Row], step: int, number: str) -> None:
        lift = step * len(self._changes.entries)
        for entry in self._changes.entries:
            height = entry.height + lift
            fields = proof.EntryFields(
                book_id=entry.book_id,
                height=height,
                entry_id=entry_id(height, entry.book_id),
                type=entry.type,
                cause=entry.cause.replace(str(MODEL), number),
                payment_id=_with(entry.payment_id, number),
                claim_id=_with(entry.claim_id, number),
                created_at=entry.created_at,
                effective_at=entry.effective_at,
            )
            shown = []
            for leg in self._by_height[entry.height]:
                place = (leg.currency, leg.account)
                seq = leg.seq + step * self._legs[place]
                balance = leg.balance_after + step * self._sums[place]
                shown.append((leg.currency, leg.account, seq, leg.amount, balance))
                postings.append(
                    (leg.book_id, height, leg.leg, leg.currency, leg.account, seq, leg.amount,
                     balance)
                )  # fmt: skip
            previous, self._hash = self._hash, proof.entry_hash(self._hash, fields, shown)
            entries.append((*msgspec.structs.astuple(fields), previous, self._hash))

    def _event(self, event: Event, step: int, number: str) -> Row:
        place = event.number + step * len(self._changes.events)
        name = event_id(event.created_at, place, event.book_id)
        body = bytes(event.body).decode().replace(event.event_id, name).replace(str(MODEL), number)
        object_id = event.object_id.replace(str(MODEL), number)
        return msgspec.structs.astuple(
            msgspec.structs.replace(
                event, number=place, event_id=name, object_id=object_id, body=body
            )
        )


def _with(text: str | None, number: str) -> str | None:
    return None if text is None else text.replace(str(MODEL), number)


_JSON: Final = frozenset({"sources", "payer_details", "payment_data", "details"})
"""Columns of JSON, which a copy takes as text."""


def _model(record: msgspec.Struct) -> Row:
    """A row as a copy takes it."""
    fields: dict[str, Any] = msgspec.structs.asdict(record)
    return tuple(
        msgspec.json.encode(value).decode() if name in _JSON and value is not None else value
        for name, value in fields.items()
    )


def _renamed(model: Row, number: str) -> Row:
    return tuple(
        value.replace(str(MODEL), number) if isinstance(value, str) else value for value in model
    )


def _last(before: Head, after: Head, name: str, lives: int) -> int:
    """Where a counter of the head row stands after so many lives."""
    first = int(getattr(before, name))
    return first + (int(getattr(after, name)) - first) * lives

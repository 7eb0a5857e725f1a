"""Evidence and the trail of acts in a batch: their rows, what a command sees, how they are written.

Only commands that ask for `evidence_of` load evidence, by a call of their own under the same head
rows, and only batches that change some, or note an act, write it, by another: a batch of refunds
makes neither call. Acts are insert only. The bytes of files never come through a lane.
"""

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.clock import milliseconds
from clawback.db import queries
from clawback.ids import BookId, ClaimId
from clawback.lanes.command import NotLoaded, Reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import Connection

SQL: Final = queries.load(__package__, "sql/evidence.sql")


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of evidence on a claim: a text, or a file that is known by its hash."""

    claim_id: ClaimId
    evidence_id: str
    book_id: BookId
    round: int
    type: str
    content: str | None
    filename: str | None
    content_type: str | None
    size_bytes: int
    sha256: str | None
    note: str | None
    added_by: str
    created_at: datetime
    removed_at: datetime | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or key did: who, to what, when."""

    book_id: BookId
    act_id: str
    object_id: str
    action: str
    actor: str
    principal: str | None
    note: str | None
    at: datetime


class EvidenceChanges(msgspec.Struct, frozen=True):
    """What one batch writes."""

    evidence: list[Evidence] = []
    removals: list[Evidence] = []
    acts: list[Act] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, name) for name in self.__struct_fields__)


_LOADED: Final = msgspec.json.Decoder(tuple[Evidence, ...])
_ENCODER: Final = msgspec.json.Encoder()


async def load(
    session: "Connection", shard: int, reads: "Sequence[tuple[BookId, Reads]]"
) -> tuple[Evidence, ...] | None:
    """The evidence that is asked for, under the head rows of the batch; None if none is."""
    claims = sorted({one for _, read in reads for one in read.evidence_of})
    if not claims:
        return None
    row = await SQL.load_evidence(session, shard=shard, claims=claims)
    return _LOADED.decode(row["rows"] or "[]")


async def write(session: "Connection", shard: int, changes: EvidenceChanges) -> None:
    """Write what the batch changed, if it changed anything."""
    if changes:
        rows = {
            name: _ENCODER.encode(getattr(changes, name)).decode()
            for name in changes.__struct_fields__
        }
        await SQL.apply_evidence(session, shard=shard, **rows)


class BookEvidence:
    """One book's evidence in a batch, and what its accepted commands made of it."""

    def __init__(self) -> None:
        """Nothing is loaded."""
        self.items: dict[ClaimId, dict[str, Evidence]] = {}
        self._stored: set[str] = set()
        self._touched: dict[tuple[ClaimId, str], None] = {}
        self._acts: list[Act] = []

    def fill(
        self, rows: tuple[Evidence, ...], book_id: BookId, wanted: tuple[ClaimId, ...]
    ) -> None:
        """Take loaded rows in; what the batch has changed already stays as it made it."""
        for claim_id in wanted:
            self.items.setdefault(claim_id, {})
        for one in rows:
            if one.book_id == book_id and one.claim_id in self.items:
                self._stored.add(one.evidence_id)
                self.items[one.claim_id].setdefault(one.evidence_id, one)

    def merge(self, draft: "EvidenceDraft") -> None:
        """An accepted command's changes become part of the batch."""
        for one in draft.changed.values():
            self.items[one.claim_id][one.evidence_id] = one
            self._touched[one.claim_id, one.evidence_id] = None
        self._acts += draft.acts

    def take_changes(self, out: EvidenceChanges) -> None:
        """Hand over what changed since the last call."""
        for claim_id, evidence_id in self._touched:
            changed = out.removals if evidence_id in self._stored else out.evidence
            changed.append(self.items[claim_id][evidence_id])
            self._stored.add(evidence_id)
        out.acts.extend(self._acts)
        self._touched = {}
        self._acts = []


class EvidenceDraft:
    """What one command sees and changes of its book's evidence, and the acts that it notes."""

    def __init__(self, state: BookEvidence, book_id: BookId, now: datetime) -> None:
        """An empty overlay."""
        self._state = state
        self._book_id = book_id
        self._now = now
        self.changed: dict[str, Evidence] = {}
        self.acts: list[Act] = []

    def of(self, claim_id: ClaimId) -> list[Evidence]:
        """The claim's evidence in order, without what was removed."""
        if claim_id not in self._state.items:
            raise NotLoaded(Reads(evidence_of=(claim_id,)))
        mine = {key: one for key, one in self.changed.items() if one.claim_id == claim_id}
        seen = self._state.items[claim_id] | mine
        kept = (one for one in seen.values() if one.removed_at is None)
        return sorted(kept, key=lambda one: (one.created_at, one.evidence_id))

    def put(self, evidence: Evidence) -> Evidence:
        """Note a new piece, or that one was removed."""
        self.changed[evidence.evidence_id] = evidence
        return evidence

    def act(
        self,
        action: str,
        object_id: str,
        *,
        actor: str,
        principal: str | None = None,
        note: str | None = None,
    ) -> None:
        """Note in the trail what a person or key did to an object."""
        place = str(len(self.acts))
        self.acts.append(
            Act(
                book_id=self._book_id,
                act_id=_act_name(self._now, object_id, action, actor, place, note or ""),
                object_id=object_id,
                action=action,
                actor=actor,
                principal=principal,
                note=note,
                at=self._now,
            )
        )


def _act_name(at: datetime, *parts: str) -> str:
    """A name for an act that nobody has to mint: its moment, and a digest of what it was."""
    digest = sha256("\x00".join(parts).encode()).hexdigest()[:20]
    return f"act_{milliseconds(at):x}{digest}"

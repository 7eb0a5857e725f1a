"""Evidence, reviews and the trail of acts in a batch: their rows, what a command sees, how written.

Only commands that ask for `evidence_of` or `reviews_of` load any, by a call of their own under the
same head rows, and only batches that change some, or note an act, write it, by another: a batch of
refunds makes neither call. Acts are insert only. The bytes of files never come through a lane.
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


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What one principal found about a claim in review and, once confirmed, that another agreed.

    It holds for the claim as it stood: this version of it, and so many facts about it.
    """

    claim_id: ClaimId
    review_id: str
    book_id: BookId
    finding: str
    reason: str
    claim_version: int
    facts: int
    proposed_by: str
    proposed_principal: str | None
    proposed_at: datetime
    confirmed_by: str | None = None
    confirmed_principal: str | None = None
    confirmed_reason: str | None = None
    confirmed_at: datetime | None = None

    @property
    def proposer(self) -> str:
        """The principal that proposed it."""
        return self.proposed_principal or self.proposed_by


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or key did: who, to what, when; `via` tells where an operator sat."""

    book_id: BookId
    act_id: str
    object_id: str
    action: str
    actor: str
    principal: str | None
    note: str | None
    via: str | None
    at: datetime


class EvidenceLoaded(msgspec.Struct, frozen=True):
    """What a load returned."""

    evidence: tuple[Evidence, ...] | None
    reviews: tuple[Review, ...] | None


class EvidenceChanges(msgspec.Struct, frozen=True):
    """What one batch writes."""

    evidence: list[Evidence] = []
    removals: list[Evidence] = []
    reviews: list[Review] = []
    confirmations: list[Review] = []
    acts: list[Act] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, name) for name in self.__struct_fields__)


_LOADED: Final = msgspec.json.Decoder(EvidenceLoaded)
_ENCODER: Final = msgspec.json.Encoder()


async def load(
    session: "Connection", shard: int, reads: "Sequence[tuple[BookId, Reads]]"
) -> EvidenceLoaded | None:
    """What is asked for, under the head rows of the batch; None if nothing is."""
    claims = sorted({one for _, read in reads for one in read.evidence_of})
    reviewed = sorted({one for _, read in reads for one in read.reviews_of})
    if not claims and not reviewed:
        return None
    row = await SQL.load_evidence(session, shard=shard, claims=claims, reviews_of=reviewed)
    return _LOADED.decode(row["rows"])


async def write(session: "Connection", shard: int, changes: EvidenceChanges) -> None:
    """Write what the batch changed, if it changed anything."""
    if changes:
        rows = {
            name: _ENCODER.encode(getattr(changes, name)).decode()
            for name in changes.__struct_fields__
        }
        await SQL.apply_evidence(session, shard=shard, **rows)


class BookEvidence:
    """One book's evidence and reviews in a batch, and what its accepted commands made of them."""

    def __init__(self) -> None:
        """Nothing is loaded."""
        self.items: dict[ClaimId, dict[str, Evidence]] = {}
        self.reviews: dict[ClaimId, dict[str, Review]] = {}
        self.noted = 0
        self._stored: set[str] = set()
        self._touched: dict[tuple[ClaimId, str], None] = {}
        self._reviewed: dict[tuple[ClaimId, str], None] = {}
        self._acts: list[Act] = []

    def fill(
        self, rows: tuple[Evidence, ...] | None, book_id: BookId, wanted: tuple[ClaimId, ...]
    ) -> None:
        """Take loaded rows in; what the batch has changed already stays as it made it."""
        for claim_id in wanted:
            self.items.setdefault(claim_id, {})
        for one in rows or ():
            if one.book_id == book_id and one.claim_id in self.items:
                self._stored.add(one.evidence_id)
                self.items[one.claim_id].setdefault(one.evidence_id, one)

    def fill_reviews(
        self, rows: tuple[Review, ...] | None, book_id: BookId, wanted: tuple[ClaimId, ...]
    ) -> None:
        """The same for reviews."""
        for claim_id in wanted:
            self.reviews.setdefault(claim_id, {})
        for one in rows or ():
            if one.book_id == book_id and one.claim_id in self.reviews:
                self._stored.add(one.review_id)
                self.reviews[one.claim_id].setdefault(one.review_id, one)

    def merge(self, draft: "EvidenceDraft") -> None:
        """An accepted command's changes become part of the batch."""
        for one in draft.changed.values():
            self.items[one.claim_id][one.evidence_id] = one
            self._touched[one.claim_id, one.evidence_id] = None
        for review in draft.reviewed.values():
            self.reviews[review.claim_id][review.review_id] = review
            self._reviewed[review.claim_id, review.review_id] = None
        self._acts += draft.acts
        self.noted += len(draft.acts)

    def take_changes(self, out: EvidenceChanges) -> None:
        """Hand over what changed since the last call."""
        for claim_id, evidence_id in self._touched:
            changed = out.removals if evidence_id in self._stored else out.evidence
            changed.append(self.items[claim_id][evidence_id])
            self._stored.add(evidence_id)
        for claim_id, review_id in self._reviewed:
            written = out.confirmations if review_id in self._stored else out.reviews
            written.append(self.reviews[claim_id][review_id])
            self._stored.add(review_id)
        out.acts.extend(self._acts)
        self._touched = {}
        self._reviewed = {}
        self._acts = []


class EvidenceDraft:
    """What one command sees and changes of its book's evidence, and the acts that it notes."""

    def __init__(self, state: BookEvidence, book_id: BookId, now: datetime) -> None:
        """An empty overlay."""
        self._state = state
        self._book_id = book_id
        self._now = now
        self.changed: dict[str, Evidence] = {}
        self.reviewed: dict[str, Review] = {}
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

    def reviews_of(self, claim_id: ClaimId) -> list[Review]:
        """What was found about the claim so far, the oldest first."""
        if claim_id not in self._state.reviews:
            raise NotLoaded(Reads(reviews_of=(claim_id,)))
        mine = {key: one for key, one in self.reviewed.items() if one.claim_id == claim_id}
        return list((self._state.reviews[claim_id] | mine).values())

    def put_review(self, review: Review) -> Review:
        """Note a proposal, or that one was confirmed."""
        self.reviewed[review.review_id] = review
        return review

    def act(
        self,
        action: str,
        object_id: str,
        *,
        actor: str,
        principal: str | None = None,
        note: str | None = None,
        via: str | None = None,
    ) -> None:
        """Note in the trail what a person or key did to an object."""
        place = self._state.noted + len(self.acts)
        self.acts.append(
            Act(
                book_id=self._book_id,
                act_id=act_name(self._now, object_id, action, actor, str(place), note or ""),
                object_id=object_id,
                action=action,
                actor=actor,
                principal=principal,
                note=note,
                via=via,
                at=self._now,
            )
        )


def act_name(at: datetime, *parts: str) -> str:
    """A name for an act that nobody has to mint: its moment, and a digest of what it was."""
    digest = sha256("\x00".join(parts).encode()).hexdigest()[:20]
    return f"act_{milliseconds(at):x}{digest}"

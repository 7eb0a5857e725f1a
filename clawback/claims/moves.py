"""The transitions of a claim: one table per kind, and no other place that knows them.

Rows, numbers, movements and entries are those of the contract, section 8.3. Guards read the tables
through `move`, refusals through `move_to`; the tests walk every cell of them, and the diagrams in
docs/reference/transitions.md are drawn from them.
"""

from typing import Final

import msgspec

from clawback.lanes.records import Claim

REFUND: Final = "user_dispute"
INQUIRY, CHARGEBACK, MED = "inquiry", "chargeback", "med"
KINDS: Final = (REFUND, INQUIRY, CHARGEBACK, MED)
NETWORK_MADE: Final = (INQUIRY, CHARGEBACK, MED)
FORCED: Final = (CHARGEBACK, MED)
"""Kinds that a network decides and that take money without asking."""

PENDING, APPROVED, RELEASED = "pending", "approved", "released"
REJECTED, FAILED, CANCELED, REVERSED = "rejected", "failed", "canceled", "reversed"
OPEN: Final = (PENDING, APPROVED)
STATUSES: Final = (PENDING, APPROVED, RELEASED, REJECTED, CANCELED, FAILED, REVERSED)
"""Claim statuses (contract, section 8.2)."""


class Move(msgspec.Struct, frozen=True):
    """A row of a transition table; `source` is None for an opening."""

    number: int
    source: str | None
    target: str
    movement: str | None
    event: str
    by: tuple[str, ...]
    entries: tuple[str, ...] = ()


def _changes(*statuses: str) -> tuple[Move, ...]:
    """Row 4: what changes without changing the status."""
    by = ("key", "worker", "provider", "clock", "review")
    return tuple(Move(4, one, one, None, "claim.updated", by) for one in statuses)


_TOP_UP: Final = Move(3, PENDING, PENDING, "freeze", "claim.updated", ("clock",), ("freeze",))

_REFUND_MOVES: Final = (
    Move(1, None, PENDING, "freeze", "claim.opened", ("key", "provider", "review"), ("freeze",)),
    _TOP_UP,
    *_changes(*STATUSES),
    Move(
        5,
        PENDING,
        APPROVED,
        "resolve_approved",
        "claim.approved",
        ("worker", "key"),
        ("resolve_approved",),
    ),
    Move(
        7,
        PENDING,
        APPROVED,
        "resolve_approved",
        "claim.approved",
        ("provider", "review"),
        ("excess", "resolve_approved"),
    ),
    Move(8, APPROVED, RELEASED, "release", "claim.released", ("provider", "review"), ("release",)),
    Move(
        9,
        PENDING,
        REJECTED,
        "resolve_rejected",
        "claim.rejected",
        ("key",),
        ("resolve_rejected",),
    ),
    Move(11, PENDING, CANCELED, "cancel", "claim.canceled", ("key", "provider"), ("cancel",)),
    Move(11, APPROVED, CANCELED, "cancel", "claim.canceled", ("key", "provider"), ("cancel",)),
    Move(13, APPROVED, FAILED, "fail", "claim.failed", ("provider", "review"), ("fail",)),
    Move(14, PENDING, FAILED, "fail", "claim.failed", ("clock",), ("fail",)),
    Move(15, RELEASED, REVERSED, "reverse", "claim.reversed", ("provider", "review"), ("reverse",)),
    *(
        Move(
            16,
            source,
            APPROVED,
            "reopen",
            "claim.reopened",
            ("provider", "review"),
            ("freeze", "excess", "resolve_approved"),
        )
        for source in (FAILED, REVERSED)
    ),
)

_INQUIRY_MOVES: Final = (
    Move(2, None, PENDING, "freeze", "claim.opened", ("provider",), ("freeze",)),
    _TOP_UP,
    *_changes(PENDING, REJECTED, CANCELED),
    Move(
        10,
        PENDING,
        REJECTED,
        "resolve_rejected",
        "claim.rejected",
        ("provider", "review"),
        ("resolve_rejected",),
    ),
    Move(12, PENDING, CANCELED, "cancel", "claim.canceled", ("provider", "key"), ("cancel",)),
    *(
        Move(17, source, PENDING, "reopen", "claim.reopened", ("provider", "key"), ("freeze",))
        for source in (REJECTED, CANCELED)
    ),
)


def _forced_moves(*opening: str) -> tuple[Move, ...]:
    """The table of a kind that takes money by force; `opening` are the entries of row 2."""
    by = ("provider", "review")
    return (
        Move(2, None, PENDING, "freeze", "claim.opened", ("provider",), opening),
        _TOP_UP,
        *_changes(PENDING, APPROVED, RELEASED, REJECTED, CANCELED, REVERSED),
        Move(
            6,
            PENDING,
            APPROVED,
            "resolve_approved",
            "claim.approved",
            ("key", "worker"),
            ("excess", "resolve_approved"),
        ),
        Move(
            7,
            PENDING,
            APPROVED,
            "resolve_approved",
            "claim.approved",
            by,
            ("resolve_rejected", "excess", "resolve_approved"),
        ),
        Move(8, APPROVED, RELEASED, "release", "claim.released", by, ("release",)),
        *(
            Move(
                10,
                source,
                REJECTED,
                "resolve_rejected",
                "claim.rejected",
                by,
                ("resolve_rejected",),
            )
            for source in OPEN
        ),
        *(
            Move(12, source, CANCELED, "cancel", "claim.canceled", ("provider",), ("cancel",))
            for source in OPEN
        ),
        Move(15, RELEASED, REVERSED, "reverse", "claim.reversed", by, ("reverse",)),
        *(
            Move(17, source, PENDING, "reopen", "claim.reopened", ("provider",), ("freeze",))
            for source in (REJECTED, CANCELED, REVERSED)
        ),
    )


TABLES: Final[dict[str, tuple[Move, ...]]] = {
    REFUND: _REFUND_MOVES,
    INQUIRY: _INQUIRY_MOVES,
    CHARGEBACK: _forced_moves("freeze", "dispute_fee"),
    MED: _forced_moves("freeze"),
}
"""Every move there is, by kind."""


def opening(kind: str) -> Move:
    """The move that opens a claim of this kind."""
    return TABLES[kind][0]


def find_move(kind: str, source: str, number: int) -> Move | None:
    """Row `number` from this status, or None if the kind has none."""
    return next(
        (one for one in TABLES[kind] if one.number == number and one.source == source), None
    )


def move(claim: Claim, number: int) -> Move:
    """Row `number` for this claim as it stands. Bug: the table has no such row."""
    found = find_move(claim.kind, claim.status, number)
    assert found is not None, (claim.claim_id, claim.kind, claim.status, number)
    return found


def move_to(claim: Claim, target: str) -> Move | None:
    """The first move that takes this claim to another status `target`, or None."""
    for one in TABLES[claim.kind]:
        if one.source == claim.status != target == one.target:
            return one
    return None


def targets(claim: Claim) -> tuple[str, ...]:
    """Where the claim may go from here, each status once."""
    found = (one.target for one in TABLES[claim.kind] if one.source == claim.status)
    return tuple(dict.fromkeys(target for target in found if target != claim.status))

"""The protocol between a lane and the pure model.

A command is a frozen struct that says what it reads; `decide(state, command, now)` answers with a
refusal, which changes nothing, or with changes and a response. Both are pure: ids and time are
handed in. A decide that finds it needs rows that were not loaded raises `NotLoaded`; the lane
loads them under the same head rows and decides the command again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec

from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, Mint, PaymentId

if TYPE_CHECKING:
    from clawback.lanes.state import Draft


class AccountName(msgspec.Struct, frozen=True, order=True):
    """An account within a book."""

    currency: str
    name: str


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """What a command reads besides its book's head row, settings and idempotency key.

    `waiting` asks for the claims that wait for funds, by deadline then age, at most that many;
    `claims_of` for all claims of these payments; `facts_of` for the facts about these objects;
    `spent` for what these actors claimed back since these times; `keys` for rows kept under these
    routes and names; `webhooks` for the book's endpoints, and `deliveries` for these, by endpoint
    and number of the event; `payouts` for those of these references.
    """

    payments: tuple[PaymentId, ...] = ()
    claims: tuple[ClaimId, ...] = ()
    claims_of: tuple[PaymentId, ...] = ()
    attempts_of: tuple[ClaimId, ...] = ()
    facts_of: tuple[str, ...] = ()
    accounts: tuple[AccountName, ...] = ()
    waiting: int = 0
    spent: tuple[tuple[str, datetime], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    webhooks: bool = False
    deliveries: tuple[tuple[str, int], ...] = ()
    evidence_of: tuple[ClaimId, ...] = ()
    reviews_of: tuple[ClaimId, ...] = ()
    payouts: tuple[str, ...] = ()


def wanted_rows(reads: Sequence[tuple[BookId, Reads]]) -> dict[str, object]:
    """What several commands read, each row once, as the arguments of a load."""
    accounts = sorted(
        {
            (book, account.currency, account.name)
            for book, read in reads
            for account in read.accounts
        }
    )
    return {
        "payments": list({one for _, read in reads for one in read.payments}),
        "claims": list({one for _, read in reads for one in read.claims}),
        "claims_of": list({one for _, read in reads for one in read.claims_of}),
        "attempts_of": list({one for _, read in reads for one in read.attempts_of}),
        "facts_of": list({one for _, read in reads for one in read.facts_of}),
        "account_books": [book for book, _, _ in accounts],
        "account_currencies": [currency for _, currency, _ in accounts],
        "account_names": [name for _, _, name in accounts],
        "waiting_books": sorted({book for book, read in reads if read.waiting}),
        "spent_books": [book for book, read in reads for _ in read.spent],
        "spent_actors": [actor for _, read in reads for actor, _ in read.spent],
        "spent_since": [since for _, read in reads for _, since in read.spent],
        "waiting_limit": max((read.waiting for _, read in reads), default=0),
    }


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands. They hold ints, strings, times, enums and tuples of them only."""

    fills_batch: ClassVar[bool] = False
    """Whether it is large, so that it gets a batch of its own."""
    completes_key: ClassVar[bool] = False
    """Whether it brings the answer to an idempotency key that an earlier command stored."""

    def reads(self) -> Reads:
        """What must be loaded before it can be decided; what is missed costs another load."""
        return Reads()

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:  # noqa: ARG002 - for those that mint
        """The command under new names, for when another process had one of them first."""
        return self


class Bundle(Command, frozen=True, kw_only=True):
    """Many commands as one, decided in turn and kept or dropped together.

    Its own decide comes last and finds in `outcomes`, for each part, its refusal or its response.
    If it refuses, or `is_dry`, the parts have changed nothing.
    """

    fills_batch = True

    parts: tuple[Command, ...]
    is_dry: bool = False
    outcomes: tuple[Refused | msgspec.Struct | None, ...] = ()

    def minted_anew(self, mint: Mint, unix_ms: int) -> Self:
        """All parts under new names."""
        parts = tuple(part.minted_anew(mint, unix_ms) for part in self.parts)
        return msgspec.structs.replace(self, parts=parts)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted command; its changes were noted on the draft.

    `object_id` is what its idempotency key is tied to. `is_answered` is False where the answer
    comes with a later command. `follow_up` is queued once this has committed.
    """

    response: msgspec.Struct | None = None
    object_id: str | None = None
    is_answered: bool = True
    follow_up: tuple[Command, ...] = ()


class NotLoaded(LookupError):
    """A decide needs rows that its command did not declare; carries what to load."""

    def __init__(self, reads: Reads) -> None:
        """Keep what to load."""
        super().__init__(str(reads))
        self.reads = reads


Decide = Callable[["Draft", Command, datetime], Refused | Decided]

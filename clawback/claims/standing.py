"""How a case stands at its network: the strongest of all that was said of it.

Pure. What networks say of a case forms a set, in which order and repetition mean nothing: the
later round is stronger, and within a round what stands further down in `PRECEDENCE`. What a
network said with another currency, or with more money than was ever demanded, is no part of the
set: it puts the claim in review until something as strong is said (contract, section 11), or two
people have found what is true: that is said too, and settles all doubts that were there before.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from clawback.claims.moves import (
    CANCELED,
    CHARGEBACK,
    INQUIRY,
    MED,
    PENDING,
    REJECTED,
    RELEASED,
    REVERSED,
)
from clawback.lanes.records import Claim, Fact
from clawback.lanes.state import Draft
from clawback.providers import port

PRECEDENCE: Final[dict[str, tuple[str, ...]]] = {
    INQUIRY: ("opened", "reopened", "withdrawn", "won", "escalated"),
    CHARGEBACK: ("opened", "reopened", "withdrawn", "won", "lost", "reversed"),
    MED: ("opened", "reopened", "withdrawn", "won", "lost", "reversed"),
}
"""What a network may say of a case of each kind, the weakest first, within one round."""

OUTCOME: Final[dict[str, tuple[str, str | None]]] = {
    "opened": (PENDING, None),
    "reopened": (PENDING, None),
    "withdrawn": (CANCELED, "withdrawn"),
    "won": (REJECTED, "won"),
    "escalated": (CANCELED, "escalated"),
    "lost": (RELEASED, "lost"),
    "reversed": (REVERSED, "won_back"),
}
"""What each says that the claim becomes, and its resolution."""

OPENINGS: Final = frozenset({"opened", "reopened", "escalated"})
"""What says how much a case demands."""

_DECODE: Final = msgspec.json.Decoder(port.DisputeNotice).decode
_ENCODE: Final = msgspec.json.Encoder().encode

Strength = tuple[int, int]


class Standing(msgspec.Struct, frozen=True):
    """The strongest of what was said of a case, and why a person must look at it, if so.

    `round_before` is the round that the case was in by what was said earlier.
    """

    notice: port.DisputeNotice
    doubt: str | None
    round_before: int = 1

    @property
    def is_new_round(self) -> bool:
        """Whether the case has gone into another round since."""
        return self.notice.round > self.round_before

    @property
    def is_decided(self) -> bool:
        """Whether the network has decided this round."""
        return self.notice.status not in {"opened", "reopened"}


class Told(msgspec.Struct, frozen=True):
    """One thing that was said of a case, by the network or by a review."""

    notice: port.DisputeNotice
    fact: Fact

    @property
    def strength(self) -> Strength:
        """Round, then place in the precedence; what the kind does not know is the strongest."""
        known = PRECEDENCE[self.notice.kind]
        status = self.notice.status
        return (self.notice.round, known.index(status) if status in known else len(known))


def read_notice(text: str) -> port.DisputeNotice:
    """What a fact keeps, read again."""
    return _DECODE(text)


def told_text(notice: port.DisputeNotice) -> str:
    """The notice as a fact keeps it."""
    return _ENCODE(notice).decode()


def told_of(facts: Iterable[Fact], kind: str, case: str) -> list[Told]:
    """All that was said of a case; an escalation is also the opening of its chargeback."""
    found = []
    for fact in facts:
        if fact.notice is None:
            continue
        notice = _DECODE(fact.notice)
        if (notice.kind, notice.case) == (kind, case):
            found.append(Told(notice, fact))
        elif kind == CHARGEBACK and notice.status == "escalated":
            opened = chargeback_of(notice)
            if opened.case == case:
                found.append(Told(opened, fact))
    return found


def chargeback_of(escalated: port.DisputeNotice) -> port.DisputeNotice:
    """The opening of the chargeback that an escalated inquiry became."""
    return msgspec.structs.replace(
        escalated,
        kind="chargeback",
        case=escalated.next_case or escalated.case,
        status="opened",
        round=1,
        next_case=None,
    )


def demanded(told: Iterable[Told]) -> port.DisputeNotice | None:
    """The first word that says how much a case demands: a verdict alone does not.

    But `lost` that says so too is an opening as well: its own was lost.
    """
    networks = [one for one in told if one.fact.source != "review"]
    openings = [one for one in networks if one.notice.status in OPENINGS]
    openings += [one for one in networks if one.notice.demanded_minor is not None]
    first = min(openings, key=lambda one: one.strength, default=None)
    if first is None or _is_foreign(first):
        return None
    notice = first.notice
    if notice.status == "lost" and notice.demanded_minor is not None:
        return msgspec.structs.replace(notice, amount_minor=notice.demanded_minor)
    return notice


def _is_foreign(told: Told) -> bool:
    """Whether the network may not say this of a case of its kind."""
    return told.notice.status not in PRECEDENCE[told.notice.kind]


def standing(told: Iterable[Told], *, currency: str, amount_minor: int) -> Standing | None:
    """How the case stands; None if nothing valid was said."""
    valid: list[Told] = []
    doubtful: list[Told] = []
    settled = []
    for one in told:
        if one.fact.source == "review":
            settled.append(one.fact.received_at)
        if one.fact.type == "review.resume":
            continue
        is_valid = not _is_foreign(one) and one.notice.currency == currency
        if one.notice.status == "lost":
            is_valid = is_valid and 0 < one.notice.amount_minor <= amount_minor
        else:
            is_valid = is_valid and one.notice.amount_minor == amount_minor
        (valid if is_valid else doubtful).append(one)
    if not valid:
        return None
    best = max(valid, key=lambda one: (one.strength, one.notice.amount_minor))
    open_doubts = [
        one
        for one in doubtful
        if one.strength > best.strength and not any(one.fact.received_at <= at for at in settled)
    ]
    doubt = "amount or currency differs from what the case demands" if open_doubts else None
    return Standing(best.notice, doubt)


def standing_of(draft: Draft, claim: Claim) -> Standing | None:
    """How the case of this claim stands."""
    if claim.provider_reference is None:
        return None
    facts = draft.facts_about(claim.payment_id)
    told = told_of(facts, claim.kind, claim.provider_reference)
    return standing(told, currency=claim.currency, amount_minor=claim.amount_minor)

"""Our references to providers: what they say, and how they are read back (rails.md, section 5).

A reference carries the shard, so that an incoming notice finds its way by itself; it fits the
narrowest rail. What is not of this form is not ours, and nothing is concluded from it.
"""

import re
from typing import Final

import msgspec

from clawback.ids import base36

_REFUND_REFERENCE: Final = re.compile(
    r"CLM([0-9A-Z]{8})([0-9A-Z]{4})([0-9A-Z]{2})([0-9A-Z]{2})", re.ASCII
)
_CHARGE_REFERENCE: Final = re.compile(
    r"TXN([0-9A-Z]{8})([0-9A-Z]{4})([0-9A-Z]{2})([0-9A-Z]{2})", re.ASCII
)


class RefundReference(msgspec.Struct, frozen=True, kw_only=True):
    """What a refund's reference says: claim, shard, and which try of it."""

    claim_id: str
    shard: int
    generation: int


def refund_reference(claim_id: str, shard: int, generation: int) -> str:
    """Our reference of one generation of a claim's refund: 19 upper-case letters and digits.

    Claim id without hyphens, shard and generation in two base-36 digits each, so that a notice
    finds its shard by itself. Bug: a malformed id, or a number outside 0 to 1295.
    """
    return _reference(claim_id, shard, generation)


def charge_reference(payment_id: str, shard: int, generation: int = 1) -> str:
    """Our reference of a payment's charge, in the same form."""
    return _reference(payment_id, shard, generation)


def parse_refund_reference(reference: str) -> RefundReference | None:
    """Claim, shard and generation of a reference of ours; None if it is none."""
    match = _REFUND_REFERENCE.fullmatch(reference)
    if match is None:
        return None
    stamp, tail, shard, generation = match.groups()
    return RefundReference(
        claim_id=f"CLM-{stamp}-{tail}", shard=int(shard, 36), generation=int(generation, 36)
    )


def parse_charge_reference(reference: str) -> tuple[str, int] | None:
    """Payment id and shard of a reference of ours; None if it is none."""
    match = _CHARGE_REFERENCE.fullmatch(reference)
    if match is None:
        return None
    stamp, tail, shard, _ = match.groups()
    return f"TXN-{stamp}-{tail}", int(shard, 36)


def _reference(name: str, shard: int, generation: int) -> str:
    assert min(shard, generation) >= 0, (shard, generation)
    reference = name.replace("-", "") + base36(shard, 2) + base36(generation, 2)
    is_ours = _REFUND_REFERENCE.fullmatch(reference) or _CHARGE_REFERENCE.fullmatch(reference)
    assert is_ours, reference
    return reference

"""Pure recipes: what each type of entry posts (contract, section 9.2).

A recipe's legs are signed, credit positive, and sum to zero per currency; legs of zero are left
out, and a recipe without legs is not written. USD is in 1/10,000, local amounts in minor units.
With USD as the local currency local legs are in 1/10,000 too and the cancelling `fx` pair is
left out. Where a claim's money comes from and goes back to is decided here too: `take` and
`untake`.
"""

import msgspec

from clawback.currencies import USD
from clawback.ledger import accounts as a

Sources = tuple[tuple[str, int], ...]


class Leg(msgspec.Struct, frozen=True, gc=False):
    """One signed amount on one account."""

    currency: str
    account: str
    amount: int


class Recipe(msgspec.Struct, frozen=True):
    """An entry before it has a place in the book."""

    type: str
    legs: tuple[Leg, ...]


class Local(msgspec.Struct, frozen=True):
    """The local side of a payment or claim: currency, minor units and who holds the money."""

    currency: str
    minor: int
    provider: str


def recipe(kind: str, *legs: Leg) -> Recipe:
    """The recipe of these legs without those of zero. Bug: they do not sum to zero."""
    kept = tuple(leg for leg in legs if leg.amount)
    sums: dict[str, int] = {}
    for leg in kept:
        sums[leg.currency] = sums.get(leg.currency, 0) + leg.amount
    assert not any(sums.values()), (kind, sums)
    return Recipe(kind, kept)


def _usd(account: str, amount_e4: int) -> Leg:
    return Leg(USD, account, amount_e4)


def _enter(usd_e4: int, local: Local) -> tuple[Leg, ...]:
    """Money that enters the books: the provider holds it for us."""
    held = a.provider_account(local.provider)
    if local.currency == USD:
        return (_usd(held, -usd_e4),)
    return (
        _usd(a.FX, -usd_e4),
        Leg(local.currency, held, -local.minor),
        Leg(local.currency, a.FX, local.minor),
    )


def _leave(usd_e4: int, local: Local) -> tuple[Leg, ...]:
    """Money that leaves the books: the mirror of `_enter`."""
    return tuple(Leg(leg.currency, leg.account, -leg.amount) for leg in _enter(usd_e4, local))


def capture(gross_e4: int, fee_e4: int, reserve_e4: int, local: Local) -> Recipe:
    """A payment is paid: its fee is kept, a part held in reserve, the rest is pending.

    The reserve is at most gross less fee; a fee above gross leaves the difference as debt.
    """
    net_e4 = max(0, gross_e4 - fee_e4)
    held_e4 = min(reserve_e4, net_e4)
    return recipe(
        "capture",
        *_enter(gross_e4, local),
        _usd(a.FEES, fee_e4),
        _usd(a.RESERVE, held_e4),
        _usd(a.PENDING, net_e4 - held_e4),
        _usd(a.DEBT, min(0, gross_e4 - fee_e4)),
    )


def settle(amount_e4: int) -> Recipe:
    """The unsettled part of a payment becomes available."""
    return recipe("settle", _usd(a.PENDING, -amount_e4), _usd(a.AVAILABLE, amount_e4))


def reserve_release(amount_e4: int) -> Recipe:
    """The held part of a payment becomes available."""
    return recipe("reserve_release", _usd(a.RESERVE, -amount_e4), _usd(a.AVAILABLE, amount_e4))


def take(want_e4: int, offers: Sources) -> Sources:
    """From which offers, in their order, the wanted amount is taken; less if they fall short."""
    taken = []
    for source, offered_e4 in offers:
        part_e4 = min(want_e4, offered_e4)
        if part_e4 > 0:
            taken.append((source, part_e4))
            want_e4 -= part_e4
    return tuple(taken)


def untake(amount_e4: int, sources: Sources) -> tuple[Sources, Sources]:
    """Split sources into (kept, given back), last taken first given back.

    Bug: more is given back than was taken.
    """
    kept, back = list(sources), []
    while amount_e4 > 0:
        source, held_e4 = kept.pop()
        part_e4 = min(amount_e4, held_e4)
        back.append((source, part_e4))
        amount_e4 -= part_e4
        if held_e4 > part_e4:
            kept.append((source, held_e4 - part_e4))
    return tuple(kept), tuple(back)


def freeze(taken: Sources) -> Recipe:
    """Money of the book is set aside for a claim."""
    total_e4 = sum(part_e4 for _, part_e4 in taken)
    return recipe(
        "freeze", *(_usd(source, -part_e4) for source, part_e4 in taken), _usd(a.FROZEN, total_e4)
    )


def resolve_approved(amount_e4: int) -> Recipe:
    """A claim is decided for the payer: its frozen money is on its way out."""
    return recipe("resolve_approved", _usd(a.FROZEN, -amount_e4), _usd(a.PAYABLE, amount_e4))


def release(amount_e4: int, local: Local) -> Recipe:
    """The provider confirmed that the money left."""
    return recipe("release", _usd(a.PAYABLE, -amount_e4), *_leave(amount_e4, local))


def give_back(kind: str, bucket: str, back: Sources) -> Recipe:
    """A claim ends without money leaving (resolve_rejected, cancel, fail): back it goes.

    `bucket` is frozen, or payable once approved; `back` names the accounts that get it.
    """
    total_e4 = sum(part_e4 for _, part_e4 in back)
    return recipe(
        kind, _usd(bucket, -total_e4), *(_usd(account, part_e4) for account, part_e4 in back)
    )


def reverse(amount_e4: int, local: Local, back: Sources) -> Recipe:
    """Released money came back: the mirror of release, then to where `back` says."""
    return recipe(
        "reverse",
        *_enter(amount_e4, local),
        _usd(a.PAYABLE, amount_e4),
        _usd(a.PAYABLE, -amount_e4),
        *(_usd(account, part_e4) for account, part_e4 in back),
    )


def dispute_fee(fee_e4: int, available_e4: int) -> Recipe:
    """A dispute's fee, from available, the missing part as debt."""
    paid_e4 = min(fee_e4, max(0, available_e4))
    return recipe(
        "dispute_fee",
        _usd(a.AVAILABLE, -paid_e4),
        _usd(a.DEBT, -(fee_e4 - paid_e4)),
        _usd(a.FEES, fee_e4),
    )


def excess(above_cap_e4: int, without_funds_e4: int) -> Recipe:
    """What a network takes beyond the cap is loss, within it but without funds is debt."""
    return recipe(
        "excess",
        _usd(a.LOSS, -above_cap_e4),
        _usd(a.DEBT, -without_funds_e4),
        _usd(a.FROZEN, above_cap_e4 + without_funds_e4),
    )


def debt_recovery(amount_e4: int) -> Recipe:
    """A later credit pays debt down."""
    return recipe("debt_recovery", _usd(a.AVAILABLE, -amount_e4), _usd(a.DEBT, amount_e4))


def payout(amount_e4: int) -> Recipe:
    """The operator paid the merchant out."""
    return recipe("payout", _usd(a.AVAILABLE, -amount_e4), _usd(a.PAID_OUT, amount_e4))

"""The chart of accounts: each account's normal side and what its balance may never be.

Credit is positive, so merchant balances read as positive numbers and provider clearing as
negative. Source of the names: contract, section 9.2.
"""

import re
from typing import Final

from clawback.currencies import EXPONENTS, USD

PENDING: Final = "pending"
AVAILABLE: Final = "available"
RESERVE: Final = "reserve"
FROZEN: Final = "frozen"
PAYABLE: Final = "payable"
FEES: Final = "fees"
LOSS: Final = "loss"
DEBT: Final = "debt"
PAID_OUT: Final = "paid_out"
FX: Final = "fx"

NORMAL_SIDE: Final[dict[str, str]] = {
    PENDING: "credit",
    AVAILABLE: "credit",
    RESERVE: "credit",
    FROZEN: "credit",
    PAYABLE: "credit",
    FEES: "credit",
    LOSS: "debit",
    DEBT: "debit",
    PAID_OUT: "credit",
    FX: "debit",
}

_PROVIDER: Final = re.compile(r"provider:([a-z0-9_]{1,32})", re.ASCII)

NEVER_BELOW_ZERO: Final = frozenset({PENDING, AVAILABLE, RESERVE, FROZEN, PAYABLE})
NEVER_ABOVE_ZERO: Final = frozenset({LOSS, DEBT})


def provider_account(provider: str) -> str:
    """The local-currency account of what this provider holds for the book."""
    return f"provider:{provider}"


def provider_of(name: str) -> str | None:
    """The provider that an account is about; None for every other account."""
    found = _PROVIDER.fullmatch(name)
    return None if found is None else found[1]


def is_in_chart(name: str, currency: str) -> bool:
    """Whether a book can have such an account: USD has them all, other currencies two kinds."""
    if currency not in EXPONENTS:
        return False
    return provider_of(name) is not None or name == FX or (currency == USD and name in NORMAL_SIDE)


def normal_side(name: str, currency: str) -> str:
    """The side on which the account's balance usually stands: debit or credit."""
    if name.startswith("provider:"):
        return "debit"
    if name == FX and currency != "USD":
        return "credit"
    return NORMAL_SIDE[name]


def allows(name: str, balance: int) -> bool:
    """Whether the account may stand at this balance; the same rule is a CHECK on each posting."""
    if name in NEVER_BELOW_ZERO:
        return balance >= 0
    return balance <= 0 or name not in NEVER_ABOVE_ZERO

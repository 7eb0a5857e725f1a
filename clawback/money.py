"""Money between the wire and the books: decimal text in, integers inside, decimal text out.

Nothing here passes through a float and nothing is ever rounded on the way in: a number that the
currency cannot hold is refused, with the rule of the contract (section 1, "Money") that it
breaks. On the way out a figure is written exact and shortest, without exponent or ending zeros.
The one rounding of the system, half to even, is `rounded_ratio`.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from clawback.currencies import USD_E4

MAX_TEXT: Final = 32
MAX_DIGITS: Final = 15
MAX_EXPONENT: Final = 15
MAX_MAJOR: Final = 1_000_000_000_000
_KEPT: Final = 1_024
"""A command's figures are written several times: in its answer, its event and its fingerprint."""

_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)


class AmountError(ValueError):
    """A number in a request breaks a money rule; `rule` is the contract's name for it."""

    def __init__(self, rule: str, maximum: int | None = None, decimals: int | None = None) -> None:
        """Keep the rule and the bound that explains it."""
        super().__init__(f"invalid_amount:{rule}")
        self.rule = rule
        self.maximum = maximum
        self.decimals = decimals


class Amount:
    """An exact number as it stood in a request: `units` divided by ten to the power `scale`.

    `scale` is the least that holds the value, so 10, 10.0 and 1e1 are equal. Not a msgspec
    struct, so that msgspec hands every value of such a field to `decode_amount`.
    """

    __slots__ = ("scale", "units")

    def __init__(self, units: int, scale: int) -> None:
        """Keep both; made by `read_amount`, in lowest terms."""
        self.units = units
        self.scale = scale

    def __eq__(self, other: object) -> bool:
        """Equal in value."""
        return isinstance(other, Amount) and (self.units, self.scale) == (other.units, other.scale)

    def __hash__(self) -> int:
        """By value."""
        return hash((self.units, self.scale))

    def __repr__(self) -> str:
        """As a decimal number."""
        return f"Amount({major_text(self.units, self.scale)})"

    def minor(self, exponent: int) -> int:
        """The amount in minor units of a currency with `exponent` decimals.

        Raises: AmountError("precision") if it has more decimals than that. Never rounds.
        """
        if self.scale > exponent:
            raise AmountError("precision", decimals=exponent)
        return int(self.units * 10 ** (exponent - self.scale))


def read_amount(text: str) -> Amount:
    """Read a JSON number's own text exactly.

    Raises: AmountError with rule not_a_number, digits or exponent, in this order.
    """
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise AmountError("digits" if len(text) > MAX_TEXT else "not_a_number")
    sign, whole, fraction, exponent_text = match.groups()
    fraction = (fraction or "").rstrip("0")
    digits = (whole + fraction).lstrip("0")
    if len(digits) > MAX_DIGITS:
        raise AmountError("digits")
    power = int(exponent_text or "0")
    if not -MAX_EXPONENT <= power <= MAX_EXPONENT:
        raise AmountError("exponent")
    return _normal(int(sign + (digits or "0")), len(fraction) - power)


def _normal(units: int, scale: int) -> Amount:
    """The one Amount that stands for this value: least scale, never below zero."""
    if scale < 0:
        return Amount(units * 10**-scale, 0)
    while scale > 0 and units % 10 == 0:
        units //= 10
        scale -= 1
    return Amount(units, scale)


class NumberText:
    """The text of a JSON number with a point or an exponent, kept until its field is known."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Keep the text as it stood."""
        self.text = text


def read_number(text: str) -> NumberText:
    """msgspec's float hook: keep the number's text, so that no float is ever made of it."""
    return NumberText(text)


class Loose:
    """A value of a request that is not judged with the request: taken as it came."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        """Keep it; a number with a point or an exponent comes as `NumberText`."""
        self.value = value


def decode_loose(kind: type, value: object) -> object:
    """msgspec's hook for the types of our own: `Loose` takes anything, `Amount` see below."""
    return Loose(value) if kind is Loose else decode_amount(kind, value)


def decode_amount(kind: type, value: object) -> Amount:
    """msgspec's hook for Amount fields: takes JSON numbers only, bounded before arithmetic.

    Raises: AmountError with the first rule that is broken, in the contract's order.
    """
    assert kind is Amount, kind
    if type(value) is int and abs(value) < 10**MAX_DIGITS:
        amount = Amount(value, 0)
    elif type(value) is int:
        raise AmountError("digits")
    elif type(value) is NumberText:
        amount = read_amount(value.text)
    else:
        raise AmountError("not_a_number")
    return amount


def positive(amount: Amount, *, maximum: int = MAX_MAJOR, inclusive: bool = False) -> Amount:
    """The amount, if it is above zero and below `maximum` major units (or at most it).

    Raises: AmountError not_positive or too_large.
    """
    if amount.units <= 0:
        raise AmountError("not_positive")
    return below(amount, maximum=maximum, inclusive=inclusive)


def not_negative(amount: Amount) -> Amount:
    """The amount, if it is zero or more, for a guard such as `expectedRemaining`.

    Raises: AmountError not_positive or too_large.
    """
    if amount.units < 0:
        raise AmountError("not_positive")
    return below(amount)


def below(amount: Amount, *, maximum: int = MAX_MAJOR, inclusive: bool = False) -> Amount:
    """The amount, if it is below `maximum` major units (at most, if inclusive).

    Raises: AmountError too_large.
    """
    limit = maximum * 10**amount.scale
    if amount.units > limit or (amount.units == limit and not inclusive):
        raise AmountError("too_large", maximum=maximum)
    return amount


def major_text(minor: int, exponent: int) -> str:
    """Write minor units as the shortest exact decimal: 86118 with 2 decimals is 861.18."""
    if exponent == 0:
        return str(minor)
    unit = 10**exponent
    whole, part = divmod(abs(minor), unit)
    sign = "-" if minor < 0 else ""
    if part == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:0{exponent}d}".rstrip("0")


@lru_cache(_KEPT)
def major(minor: int, exponent: int) -> msgspec.Raw:
    """`major_text` as a JSON number for an answer."""
    return msgspec.Raw(major_text(minor, exponent).encode())


def usd(amount_e4: int) -> msgspec.Raw:
    """A USD figure of the books (1/10,000) as a JSON number in major units."""
    return major(amount_e4, USD_E4)


def rounded_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded half to even; both at least 0, denominator above 0."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient

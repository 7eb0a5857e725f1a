"""The payment methods that can be charged, as data: `methods.toml` as frozen records.

The file is read once at start, strictly: an unknown key, a method of an unknown country, a
currency without a rate, or an id given twice stops the start. All figures are integers.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from clawback.currencies import EXPONENTS, Currency
from clawback.providers.rails import Data, rule_for

_FILE: Final = Path(__file__).with_name("methods.toml")

Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Alpha2 = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
Channel = Literal["ONLINE", "CASH", "CREDIT_CARD"]


class RequiredField(Data, frozen=True, kw_only=True):
    """A buyer's field that a method cannot do without."""

    key: Literal["userName", "userEmail", "userPhone", "documentType", "documentId"]
    type: str
    label: str


class Method(Data, frozen=True, kw_only=True):
    """One way to pay. USD in 1/10,000; `fee_bps` in 1/10,000 of the amount.

    `expires_seconds`: how long a payer may take; None: it is decided at once.
    """

    id: str
    slug: str
    name: str
    provider: str
    rail: str
    channel: Channel
    countries: tuple[Alpha2, ...]
    min_usd_e4: Positive
    max_usd_e4: Positive
    fee_bps: NotNegative
    fee_fixed_usd_e4: NotNegative
    required_fields: tuple[RequiredField, ...]
    icon_url: str
    expires_seconds: Positive | None = None


class Country(Data, frozen=True, kw_only=True):
    """A country that can be charged in."""

    alpha2: Alpha2
    alpha3: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]
    currency: Currency


class Settlement(Data, frozen=True, kw_only=True):
    """When and with what deductions captured money becomes available, unless a book says else."""

    delay_seconds: Positive
    reserve_bps: NotNegative
    dispute_fee_usd_e4: dict[Literal["chargeback", "inquiry", "med"], NotNegative]


class _Table(Data, frozen=True, kw_only=True):
    settlement: Settlement
    country: tuple[Country, ...]
    rate_e4: dict[Currency, Positive]
    method: tuple[Method, ...]


class Methods:
    """The catalogue, in the file's order."""

    def __init__(self, table: _Table) -> None:
        """Raises: ValueError if the parts do not fit each other."""
        self.all: Final = table.method
        self.settlement: Final = table.settlement
        self.rate_e4: Final = table.rate_e4
        self._by_id = {method.id: method for method in table.method}
        self._countries = {country.alpha2: country for country in table.country}
        self._alpha2 = {country.alpha3: country.alpha2 for country in table.country}
        if len(self._by_id) != len(table.method):
            raise ValueError("methods.toml gives an id twice")
        for country in table.country:
            if country.currency not in EXPONENTS or country.currency not in table.rate_e4:
                raise ValueError(f"methods.toml: no exponent or rate for {country.currency}")
        for method in table.method:
            self._check(method)

    def _check(self, method: Method) -> None:
        for alpha2 in method.countries:
            if alpha2 not in self._countries:
                raise ValueError(f"methods.toml: {method.id} is in unknown country {alpha2}")
            if rule_for(method.provider, method.rail, alpha2) is None:
                raise ValueError(f"methods.toml: {method.id} has no rule in rails.toml")

    def by_id(self, method_id: str) -> Method | None:
        """The method of this id, or None."""
        return self._by_id.get(method_id)

    def by_slug(self, slug: str, alpha2: str) -> Method | None:
        """The first method of this slug in this country, or None."""
        return next((m for m in self.all if m.slug == slug and alpha2 in m.countries), None)

    def currency_of(self, alpha2: str) -> Currency:
        """What payers of this country pay in. Bug: a country that is not listed."""
        return self._countries[alpha2].currency

    def currencies_of(self, method: Method) -> tuple[Currency, ...]:
        """What payers of this method pay in, in the order of its countries."""
        return tuple(self.currency_of(alpha2) for alpha2 in method.countries)

    def alpha2(self, country: str) -> str | None:
        """The two letters of a country given by two or three; None if it is not listed."""
        return country if country in self._countries else self._alpha2.get(country)


def read_methods(text: str) -> Methods:
    """The catalogue of a TOML text. Raises: ValueError for anything that does not fit."""
    return Methods(msgspec.convert(tomllib.loads(text), _Table))


@cache
def load_methods() -> Methods:
    """The catalogue of this release, read once."""
    return read_methods(_FILE.read_text(encoding="utf-8"))

"""What each rail of each provider can give back: `rails.toml` as frozen records.

Preflight, API, worker and sandbox ask `rule_for`; nothing asks for a rail by name. The file is
read once at start, strictly: an unknown key, a missing source, two rules for one match or a value
outside its list stops the start. "unknown" is a value of its own and never reads as "yes".
"""

import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

ANY: Final = "any"
_FILE: Final = Path(__file__).with_name("rails.toml")
_KEPT: Final = 1_024

Stated = Literal["yes", "no", "unknown"]
Days = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class Data(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of the records of the table."""


class Match(Data, frozen=True, kw_only=True):
    """What a rule is about; "any" matches everything."""

    provider: str
    rail: str
    country: str
    product: str


class Refundable(Data, frozen=True, kw_only=True):
    """Whether all, parts, and several parts can go back; `max`: at most so many refunds."""

    full: Stated
    partial: Stated
    multiple: Stated
    max: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Window(Data, frozen=True, kw_only=True, rename={"from_": "from"}):
    """How long a refund is taken, and from when; `days` None: no limit is stated."""

    days: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    from_: Literal["captured", "settled"] | None = None

    def __post_init__(self) -> None:
        """Days and their start belong together."""
        if (self.days is None) != (self.from_ is None):
            raise ValueError("a window has both days and from, or neither")


class CallRules(Data, frozen=True, kw_only=True):
    """How the provider's refund call behaves."""

    settles: Literal["async", "sync", "unknown"]
    idempotent: Stated
    lookup: Literal["by_our_ref", "by_payment", "none", "unknown"]

    @property
    def can_resend(self) -> bool:
        """Whether a call of unknown ending may ever be repeated.

        Only where a repeat is known to be harmless, or a look-up can prove that it is needed.
        """
        return self.idempotent == "yes" or self.lookup in {"by_our_ref", "by_payment"}


class Arrival(Data, frozen=True, kw_only=True):
    """When the money reaches the payer, counted from the provider's acceptance."""

    min_days: Days
    max_days: Days
    business: bool
    max_minutes: Annotated[int, msgspec.Meta(ge=1, lt=1440)] | None = None


class Evidence(Data, frozen=True, kw_only=True):
    """Where the rule stands, when that was read, and how good the source is."""

    source: Annotated[str, msgspec.Meta(pattern=r"^(https://\S+|clawback/sandbox)$")]
    checked_on: date
    mark: Literal["A", "B", "C"]
    also: Annotated[str, msgspec.Meta(pattern=r"^https://\S+$")] | None = None


class Rule(Data, frozen=True, kw_only=True):
    """One row of the table. A claim keeps the rule that it was opened under."""

    match: Match
    refund: Refundable
    window: Window | Literal["unknown"]
    payer_fields: tuple[str, ...]
    call: CallRules
    balance_short: Literal["refuses", "waits", "unknown"]
    disputes: tuple[Literal["inquiry", "chargeback", "med"], ...] | Literal["unknown"]
    exponent: dict[str, Annotated[int, msgspec.Meta(ge=0, le=4)]]
    arrival: Arrival | Literal["unknown"]
    evidence: Evidence
    note: str | None = None
    confirmed_by: str | None = None
    confirmed_on: date | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether live mode may rely on it: stated by the source itself, or by the operator."""
        return self.evidence.mark == "A" or self.confirmed_by is not None


class _Table(Data, frozen=True, kw_only=True):
    rule: tuple[Rule, ...]


class Rails:
    """The table, indexed by its matches."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Raises: ValueError if two rules have one match."""
        self._rules: dict[tuple[str, str, str, str], Rule] = {}
        for rule in rules:
            match = rule.match
            key = (match.provider, match.rail, match.country, match.product)
            if key in self._rules:
                raise ValueError(f"rails.toml has two rules for {key}")
            self._rules[key] = rule

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the file's order."""
        return tuple(self._rules.values())

    def rule_for(self, provider: str, rail: str, country: str, product: str = ANY) -> Rule | None:
        """The most exact rule: provider counts most, then rail, country, product.

        None: there is no rule, which is never read as leave to refund.
        """
        for by_provider in dict.fromkeys((provider, ANY)):
            for by_rail in dict.fromkeys((rail, ANY)):
                for by_country in dict.fromkeys((country, ANY)):
                    for by_product in dict.fromkeys((product, ANY)):
                        rule = self._rules.get((by_provider, by_rail, by_country, by_product))
                        if rule is not None:
                            return rule
        return None


def read_rails(text: str) -> Rails:
    """The table of a TOML text. Raises: ValueError for anything that is not as it should be."""
    return Rails(msgspec.convert(tomllib.loads(text), _Table).rule)


@cache
def load_rails() -> Rails:
    """The table of this release, read once."""
    return read_rails(_FILE.read_text(encoding="utf-8"))


@lru_cache(_KEPT)
def rule_for(provider: str, rail: str, country: str, product: str = ANY) -> Rule | None:
    """The most exact rule of this release's table, or None."""
    return load_rails().rule_for(provider, rail, country, product)

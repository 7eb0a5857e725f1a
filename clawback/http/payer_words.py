"""What the payer's page says: Spanish, Portuguese and English, read once and strictly.

A language that lacks a word stops the start. The language is the one that the address asks for,
else the first of the browser's that there is, else Spanish.
"""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Final

import msgspec

FIRST: Final = "es"
_PART: Final = re.compile(
    r"\s*([a-z]{1,8})(?:-[a-z0-9-]{1,24})?\s*(?:;\s*q=([01](?:\.[0-9]{1,3})?))?\s*",
    re.ASCII | re.IGNORECASE,
)


class RailWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How a rail calls its account."""

    account: str
    hint: str
    account_type: str | None = None


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language. The pairs are heading and text of a page."""

    name: str
    title: str
    intro: str
    until: str
    send: str
    wrong: str
    fields: dict[str, str]
    spei: RailWords
    pix: RailWords
    bank_co: RailWords
    choices: dict[str, str]
    rules: dict[str, str]
    thanks: tuple[str, str]
    used: tuple[str, str]
    expired: tuple[str, str]
    unknown: tuple[str, str]
    busy: tuple[str, str]

    def of_rail(self, rail: str) -> RailWords:
        """The rail's own words."""
        found: RailWords = getattr(self, rail)
        return found


@cache
def load_words() -> dict[str, Words]:
    """All languages. Raises: ValueError if one lacks something that another has."""
    text = resources.files(__package__).joinpath("payer.toml").read_text("utf-8")
    found = msgspec.convert(tomllib.loads(text), dict[str, Words])
    first = found[FIRST]
    for words in found.values():
        for one in ("fields", "choices", "rules"):
            if getattr(words, one).keys() != getattr(first, one).keys():
                raise ValueError(f"payer.toml: {words.name} differs in {one}")
    return found


def choose(asked: str | None, accepted: str) -> str:
    """The language of a page: `asked` by the address, `accepted` by the browser."""
    known = load_words()
    if asked in known:
        return asked
    wishes = []
    for place, part in enumerate(accepted[:512].split(",")):
        match = _PART.fullmatch(part)
        if match is not None and match.group(1).lower() in known:
            wishes.append((-float(match.group(2) or "1"), place, match.group(1).lower()))
    best = min(wishes, default=None)
    return FIRST if best is None or best[0] == 0 else best[2]

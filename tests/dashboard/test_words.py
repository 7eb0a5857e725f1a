"""Every text is said in all three languages, and every amount exactly as the API gives it."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawback.claims.moves import TABLES
from clawback.claims.preflight import WAITS as PREFLIGHT_WAITS
from clawback.claims.reviews import FINDINGS
from clawback.currencies import EXPONENTS
from clawback.dashboard import claims, figures, home, keys, payments, sandbox, webhooks
from clawback.dashboard.books import TYPES
from clawback.dashboard.roles import ROLES
from clawback.dashboard.words import LANGUAGES, Speech, catalogue, choose

COUNTED: Final = re.compile(
    r'\b(?:_n|_CUT: Final =|_BROKEN: Final =)\s*\(\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"'
)
HERE: Final = Path(home.__file__).parent
TEXT: Final = re.compile(r'\b_\(\s*"((?:[^"\\]|\\.)*)"')
SAID: Final = re.compile(r'\b(?:_|fault=|show\(visit, None,|PersonRefused\(|Fault\()\s*"([^"]+)"')


def texts() -> Iterator[str]:
    """Every text of the templates and those that pages hand to them."""
    for template in (HERE / "templates").glob("*.html"):
        yield from TEXT.findall(template.read_text())
        yield from (form for both in COUNTED.findall(template.read_text()) for form in both)
    for module in ("exporting.py", "keys.py", "team.py", "terms.py"):
        yield from SAID.findall((HERE / module).read_text())
        yield from (form for both in COUNTED.findall((HERE / module).read_text()) for form in both)
    yield from PREFLIGHT_WAITS.values()


def words() -> Iterator[str]:
    """Words of the wire that pages show."""
    moves = [move for table in TABLES.values() for move in table]
    yield from (state for move in moves for state in (move.source, move.target) if state)
    yield from (move.movement for move in moves if move.movement)
    yield from (move.event.split(".")[1] for move in moves)
    yield from (*payments.STATUSES, *claims.KINDS, *claims.STATUSES, *claims.REASONS, *TYPES)
    yield from (*claims.EVIDENCE, *webhooks.STATUSES, *sandbox.ACTIONS, *sandbox.OPERATIONS)
    yield from (reason for reason in home.WORK if reason != "review")
    yield from figures.AGES
    yield from (*ROLES, *FINDINGS, "auto", "light", "dark", *keys.RATES)


def shown(name: str) -> str:
    """The English form of a word, before any catalogue."""
    return Speech("en").word(name)


@pytest.mark.parametrize("language", ["es", "pt"])
def test_every_text_is_there(language: str) -> None:
    known = catalogue(language)
    assert sorted(set(texts()) - set(known)) == []
    assert sorted({shown(word) for word in words()} - set(known)) == []


def test_both_languages_say_the_same_things() -> None:
    spanish, portuguese = catalogue("es"), catalogue("pt")
    assert set(spanish) == set(portuguese)
    place = re.compile(r"\{[a-z]+\}")
    for text, said in (*spanish.items(), *portuguese.items()):
        assert sorted(place.findall(text)) == sorted(place.findall(said)), text
        assert said.strip(), text


def test_a_text_that_lacks_is_found() -> None:
    assert "Where the money is" in set(texts())
    assert "Your role cannot hand on these scopes." in set(texts())
    assert "Nowhere said" not in catalogue("es")


@given(
    st.integers(-(10**15), 10**15),
    st.integers(0, 4),
    st.sampled_from(sorted(EXPONENTS)),
    st.sampled_from(sorted(LANGUAGES)),
)
def test_no_digit_is_lost_or_made(units: int, scale: int, currency: str, language: str) -> None:
    amount = Decimal(units).scaleb(-scale)
    text = Speech(language).number(amount, currency)
    point, group = (".", ",") if language != "pt" else (",", ".")
    plain = text.replace(group, "").replace(point, ".").replace("\u2212", "-")
    assert Decimal(plain) == amount
    least = EXPONENTS[currency]
    assert len(plain.partition(".")[2]) == max(least, scale)


@pytest.mark.parametrize(
    ("wanted", "accepted", "found"),
    [(None, "pt-BR,pt;q=0.9,en;q=0.8", "pt"), ("es", "en", "es"), ("xx", "en", "en"),
     (None, "", "en"), (None, "de,es;q=0.3", "es"), (None, "x" * 9000, "en")],
)  # fmt: skip
def test_languages(wanted: str | None, accepted: str, found: str) -> None:
    assert choose(wanted, accepted) == found

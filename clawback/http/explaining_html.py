"""A claim in plain words as HTML: of escaped parts, in the languages of the payer's page.

Refunds and disputes have words of their own; what waits inside the merchant's house is not told
apart. Every status that a claim can have has its words, or the start is stopped.
"""

import tomllib
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from html import escape
from importlib import resources
from typing import Final

import msgspec

from clawback import clock
from clawback.claims.details import WAITS
from clawback.claims.moves import CHARGEBACK, INQUIRY, MED, REFUND, TABLES
from clawback.http.payer_html import amount_text, date_text, whole_page
from clawback.http.payer_words import load_words
from clawback.lanes.records import Claim

ASKED: Final = "asked"
"""What a refund is, instead of pending, while its payer has to name an account."""
_DISPUTES: Final = (INQUIRY, CHARGEBACK, MED)


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Refunds or disputes: by state its name, where the money is then, what comes next."""

    title: str
    number: str
    state: dict[str, str]
    where: dict[str, str]
    next: dict[str, str]
    step: dict[str, str]
    """What has happened when a claim has come to a status."""


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language."""

    test: str
    comes: str
    happened: str
    expected: str
    account_by: str
    reference: str
    until: str
    busy: tuple[str, str]
    refund: Case
    dispute: Case


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, when it came to which status, and until when the link shows it."""

    claim: Claim
    steps: tuple[tuple[datetime, str], ...]
    is_test: bool
    until: datetime


@cache
def load_texts() -> dict[str, Texts]:
    """All languages. Raises: ValueError if one lacks a status, or is lacking."""
    text = resources.files(__package__).joinpath("explaining.toml").read_text("utf-8")
    found = msgspec.convert(tomllib.loads(text), dict[str, Texts])
    if found.keys() != load_words().keys():
        raise ValueError("explaining.toml: not the languages of the payer's page")
    for lang, texts in found.items():
        check(lang, texts.refund, statuses(REFUND), {ASKED})
        check(lang, texts.dispute, statuses(*_DISPUTES), set())
    return found


def statuses(*kinds: str) -> set[str]:
    """Every status that claims of these kinds can have."""
    return {move.target for kind in kinds for move in TABLES[kind]}


def check(lang: str, case: Case, known: set[str], more: set[str]) -> None:
    """Raises: ValueError unless a case has words for just these statuses; `more`: not as steps."""
    for said, wanted in (
        (case.state, known | more),
        (case.where, known | more),
        (case.next, known | more),
        (case.step, known),
    ):
        if said.keys() != wanted:
            raise ValueError(f"explaining.toml: {lang}, {case.title}: not the statuses there are")


def told_page(told: Told, lang: str) -> str:
    """The page."""
    texts, claim = load_texts()[lang], told.claim
    case = texts.refund if claim.kind == REFUND else texts.dispute
    state = ASKED if claim.pending_reason == WAITS else claim.status
    is_paid = claim.status == "released" and claim.released_minor > 0
    amount_minor = claim.released_minor if is_paid else claim.amount_minor
    test = f'<p class="wrong">{escape(texts.test)}</p>' if told.is_test else ""
    body = (
        f"<h1>{escape(case.title)}</h1>{test}"
        f'<p class="big">{escape(amount_text(amount_minor, claim.currency, lang))}</p>'
        f'<p class="state">{escape(case.state[state])}</p>'
        f"<p>{escape(case.where[state])}</p>"
        f"<h2>{escape(texts.comes)}</h2><p>{escape(case.next[state])}</p>"
        f"<dl>{''.join(_facts(told, texts, case, lang))}</dl>"
        f"<h2>{escape(texts.happened)}</h2><ol>{''.join(_steps(told, case, lang))}</ol>"
        f'<p class="quiet">{escape(texts.until.format(date=date_text(told.until, lang)))}</p>'
    )
    return whole_page(lang, case.title, body)


def _facts(told: Told, texts: Texts, case: Case, lang: str) -> Iterable[str]:
    claim = told.claim
    is_coming = claim.status in {"approved", "released"}
    if claim.pending_reason == WAITS and claim.payer_details_due_at is not None:
        yield _fact(texts.account_by, date_text(claim.payer_details_due_at, lang))
    if is_coming and claim.expected_by is not None:
        yield _fact(texts.expected, date_text(claim.expected_by, lang))
    if claim.rail_reference is not None:
        yield _fact(texts.reference, claim.rail_reference)
    yield _fact(case.number, claim.claim_id)


def _fact(name: str, value: str) -> str:
    return f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _steps(told: Told, case: Case, lang: str) -> Iterable[str]:
    for at, status in told.steps:
        time = f"{date_text(at, lang)}, {at:%H:%M} UTC"
        yield (
            f'<li><time datetime="{clock.wire_time(at)}">{time}</time> '
            f"{escape(case.step[status])}</li>"
        )

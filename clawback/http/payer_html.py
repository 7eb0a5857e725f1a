"""The payer's page as HTML: made of escaped parts, without inline script or style.

Everything that comes from data goes through `escape`, in texts and in attributes. It is a plain
form that works without script; the script only says early what the server would say.
"""

from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Final

import msgspec

from clawback.claims.payees import ACCOUNT_TYPES, DOCUMENTS, REQUIRED
from clawback.currencies import Currency, exponent
from clawback.http.payer_words import Words, load_words
from clawback.money import major_text

ORDER: Final = ("holderName", "documentType", "documentId", "bankCode", "accountType", "account")
LONGEST: Final = {"holderName": 120, "documentId": 32, "bankCode": 8, "account": 128}
NUMERIC: Final = frozenset({"spei", "bank_co"})
POINT_CURRENCIES: Final = frozenset({"MXN", "PEN", "USD"})


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is about. `amount_minor` in local minor units."""

    lang: str
    merchant: str
    amount_minor: int
    currency: Currency
    rail: str
    until: datetime
    needed: tuple[str, ...]

    @property
    def words(self) -> Words:
        """The page's language."""
        return load_words()[self.lang]

    @property
    def amount(self) -> str:
        """The amount as people of that language write it."""
        return amount_text(self.amount_minor, self.currency, self.lang)


def amount_text(minor: int, currency: Currency, lang: str) -> str:
    """An amount with all its decimals, grouped, with its currency."""
    places = exponent(currency)
    whole, _, part = major_text(minor, places).partition(".")
    text = f"{int(whole):,}" + (f".{part.ljust(places, '0')}" if places else "")
    if lang != "en" and currency not in POINT_CURRENCIES:
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{text} {currency}"


def date_text(at: datetime, lang: str) -> str:
    """A day in UTC, as people of that language write it."""
    return f"{at:%Y-%m-%d}" if lang == "en" else f"{at:%d/%m/%Y}"


def message_page(lang: str, message: tuple[str, str], **filled: str) -> str:
    """A page that says one thing."""
    heading, text = message
    body = f"<h1>{escape(heading)}</h1><p>{escape(text.format(**filled))}</p>"
    return whole_page(lang, heading, body)


def form_page(shown: Shown, given: dict[str, str], faults: dict[str, str]) -> str:
    """The form, with what was given and, by field, the rule that it breaks."""
    words = shown.words
    filled = {"merchant": shown.merchant, "amount": shown.amount}
    names = [name for name in ORDER if name in REQUIRED[shown.rail] or name in shown.needed]
    if "documentId" in names and "documentType" not in names:
        names.insert(names.index("documentId"), "documentType")
    fields = "".join(_field(shown, name, given.get(name, ""), faults.get(name)) for name in names)
    wrong = f'<p class="wrong" role="alert">{escape(words.wrong)}</p>' if faults else ""
    until = words.until.format(date=date_text(shown.until, shown.lang))
    body = (
        f"<h1>{escape(words.title)}</h1><p>{escape(words.intro.format(**filled))}</p>{wrong}"
        f'<form method="post" action="?lang={shown.lang}" novalidate autocomplete="off">{fields}'
        f'<button type="submit">{escape(words.send)}</button></form>'
        f'<p class="quiet">{escape(until)}</p>'
    )
    return whole_page(shown.lang, words.title, body, with_script=True)


def _field(shown: Shown, name: str, value: str, fault: str | None) -> str:
    words = shown.words
    rail = words.of_rail(shown.rail)
    label = words.fields[name]
    hint = ""
    if name == "account":
        label, hint = rail.account, rail.hint
    elif name == "accountType" and rail.account_type is not None:
        label = rail.account_type
    control = (
        _select(shown, name, value, fault)
        if name in {"accountType", "documentType"}
        else _input(shown, name, value, fault)
    )
    said = words.rules.get(fault, words.rules["other"]) if fault else ""
    shown_hint = f'<span class="hint" id="{name}-hint">{escape(hint)}</span>' if hint else ""
    return (
        f'<div class="field"><label for="{name}">{escape(label)}</label>{shown_hint}{control}'
        f'<span class="fault" id="{name}-fault" aria-live="polite">{escape(said)}</span></div>'
    )


def _described(name: str, fault: str | None, *, has_hint: bool) -> str:
    described = f"{name}-hint {name}-fault" if has_hint else f"{name}-fault"
    return f' aria-describedby="{described}"' + (' aria-invalid="true"' if fault else "")


def _input(shown: Shown, name: str, value: str, fault: str | None) -> str:
    words = shown.words
    more = _described(name, fault, has_hint=name == "account")
    if name == "account" and shown.rail in NUMERIC:
        more += ' inputmode="numeric"'
    if name == "account":
        said = {rule: words.rules[rule] for rule in ("check_digit", "length", "good")}
        more += f' data-rail="{shown.rail}"' + "".join(
            f' data-{rule.replace("_", "-")}="{escape(text)}"' for rule, text in said.items()
        )
    return (
        f'<input id="{name}" name="{name}" value="{escape(value)}" required'
        f' maxlength="{LONGEST[name]}" spellcheck="false"{more}>'
    )


def _select(shown: Shown, name: str, value: str, fault: str | None) -> str:
    known = ACCOUNT_TYPES[shown.rail] if name == "accountType" else tuple(DOCUMENTS[shown.rail])
    options = "".join(_options(shown.words, ("", *known), value))
    more = _described(name, fault, has_hint=False)
    return f'<select id="{name}" name="{name}" required{more}>{options}</select>'


def _options(words: Words, known: Iterable[str], value: str) -> Iterable[str]:
    for one in known:
        chosen = " selected" if one == value else ""
        yield f'<option value="{one}"{chosen}>{escape(words.choices.get(one, one))}</option>'


def whole_page(lang: str, title: str, body: str, *, with_script: bool = False) -> str:
    """A page around `body`, which is HTML already, with its languages to choose from."""
    script = '<script src="/static/payer.js" defer></script>' if with_script else ""
    languages = "".join(_language(one, is_chosen=one == lang) for one in load_words())
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/static/payer.css">{script}'
        f"</head><body><nav>{languages}</nav><main>{body}</main></body></html>"
    )


def _language(lang: str, *, is_chosen: bool) -> str:
    current = ' aria-current="true"' if is_chosen else ""
    name = escape(load_words()[lang].name)
    return f'<a href="?lang={lang}" hreflang="{lang}" lang="{lang}"{current}>{name}</a>'

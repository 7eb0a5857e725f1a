"""What the dashboard says, in English, Spanish and Portuguese; numbers and times in their manner.

A text is looked up by its English form, so that templates can be read; a text that a catalogue
lacks is said in English, and a test finds it. What is counted has two forms, each a text. Amounts
are shown exactly as the API gives them, with the digits that they have and at least those of their
currency.
"""

import re
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Final

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from clawback import clock, money
from clawback.currencies import exponent

LANGUAGES: Final = {"en": "English", "es": "Español", "pt": "Português"}
FIRST: Final = "en"
_LOCALES: Final = {"en": "en", "es": "es_MX", "pt": "pt_BR"}
_PART: Final = re.compile(r"\s*([a-z]{2})(?:-[a-z0-9]{1,8})?\s*(?:;[^,]*)?", re.IGNORECASE)
_MOST: Final = 500
NOTHING: Final = "\N{EN DASH}"
_NEAR: Final = 4
_DAY: Final = 86_400
_HOUR: Final = 3_600
_MINUTE: Final = 60


@cache
def catalogue(language: str) -> dict[str, str]:
    """The texts of a language, by their English form."""
    if language == FIRST:
        return {}
    text = resources.files(__package__).joinpath(f"words/{language}.toml").read_text("utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text).items()}


def choose(wanted: str | None, accepted: str) -> str:
    """The language asked for, else the first of the browser's that there is, else English."""
    if wanted in LANGUAGES:
        return wanted
    for part in accepted[:_MOST].split(","):
        found = _PART.fullmatch(part)
        if found and found[1].lower() in LANGUAGES:
            return found[1].lower()
    return FIRST


class Speech:
    """One language, as templates use it."""

    def __init__(self, language: str) -> None:
        """`language`: one of LANGUAGES."""
        self.language = language
        self._locale = _LOCALES[language]
        self._plural = Locale.parse(self._locale).plural_form
        self._texts = catalogue(language)

    def say(self, text: str, **values: object) -> str:
        """The text in this language; `{name}` stands for a value."""
        said = self._texts.get(text, text)
        for name, value in values.items():
            said = said.replace(f"{{{name}}}", str(value))
        return said

    def count(self, one: str, several: str, many: int, **values: object) -> str:
        """The text for so many things, which `{many}` stands for; each form is a text of its own.

        Which form a number takes is the language's: none is one in Portuguese, several elsewhere.
        """
        form = one if self._plural(many) == "one" else several
        return self.say(form, many=self.number(many), **values)

    def word(self, name: object) -> str:
        """A word of the wire for people: `awaiting_funds` is "Awaiting funds"."""
        if name is None:
            return NOTHING
        plain = str(name).replace("_", " ").replace(".", " ")
        return self.say(plain[:1].upper() + plain[1:])

    def number(self, value: Decimal | int, currency: str = "") -> str:
        """A number with all the digits it has; an amount with those of its currency at least."""
        exact = Decimal(value)
        power = exact.as_tuple().exponent
        assert isinstance(power, int), "amounts are finite"
        places = max(exponent(currency) if currency else 0, -power)
        pattern = "#,##0" + ("." + "0" * places if places else "")
        return str(format_decimal(exact, format=pattern, locale=self._locale))

    @staticmethod
    def usd(amount_e4: int) -> Decimal:
        """A stored amount in 1/10,000 USD, in USD."""
        return usd_of(amount_e4)

    def time(self, text: str) -> str:
        """A time of the API, in UTC, to the minute; with its year if that is not this one."""
        at = read_time(text)
        form = "d MMM HH:mm" if at.year == clock.real_now().year else "d MMM y HH:mm"
        return str(format_datetime(at, form, locale=self._locale))

    @property
    def tag(self) -> str:
        """The name that a browser knows this manner of numbers by."""
        return self._locale.replace("_", "-")

    def day(self, day: date) -> str:
        """A day of the last twelve months."""
        return str(format_date(day, "d MMM", locale=self._locale))

    def moment(self, at: datetime | None) -> str:
        """A stored time, in UTC, to the minute."""
        return NOTHING if at is None else self.time(at.isoformat())

    def left(self, until: str, now: datetime) -> str:
        """How long it is until then, in its largest units; negative where it is past."""
        seconds = int((read_time(until) - now).total_seconds())
        sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
        days, rest = divmod(seconds, _DAY)
        hours, minutes = rest // _HOUR, rest % _HOUR // _MINUTE
        if days:
            return f"{sign}{days} d {hours} h" if days < _NEAR else f"{sign}{days} d"
        return f"{sign}{hours} h {minutes} min" if hours else f"{sign}{minutes} min"


def usd_of(amount_e4: int) -> Decimal:
    """An amount in 1/10,000 USD as the API writes it."""
    return Decimal(bytes(money.usd(amount_e4)).decode())


def read_time(text: str) -> datetime:
    """A time as the API writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


@cache
def speech(language: str) -> Speech:
    """The words of a language, made once."""
    return Speech(language)

"""Where a payer's money may go: accounts, keys and documents, checked digit by digit.

Pure. Each rail has its own rules; what passes is stored in one spelling, ASCII only, so that two
ways to write a number are one number. A fault names its field and a rule, never the value: the
texts for people are the page's.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from clawback.currencies import Currency

RAILS: Final[dict[str, str]] = {"MXN": "spei", "BRL": "pix", "COP": "bank_co"}
"""The rail by which a payer of this currency can be paid."""
SANDBOX_BANK: Final = "999"
_BANKS: Final = """
001 002 006 009 012 014 019 021 030 036 042 044 058 059 060 062 072 102 103 106 108 110
112 113 124 126 127 128 129 130 132 133 135 136 137 138 140 141 143 145 147 148 150 151
152 154 155 156 157 158 159 160 166 167 168 600 601 602 605 606 608 613 614 616 617 620
623 630 631 634 636 637 638 642 646 648 649 652 653 655 656 659 661 670 674 677 679 680
683 684 685 686 688 689 699 703 706 710 715 721 722 723 728 729 730 732 734 901 902 903
"""
MEXICAN_BANKS: Final = frozenset(_BANKS.split())
"""Codes that a CLABE may begin with: banks and payment institutions of the central bank's list."""

_SEPARATORS: Final = str.maketrans("", "", " .-/()")
_CLABE_WEIGHTS: Final = (3, 7, 1) * 6
_NIT_WEIGHTS: Final = (3, 7, 13, 17, 19, 23, 29, 37, 41, 43, 47, 53, 59, 67, 71)
_CURP_ALPHABET: Final = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
_EMAIL: Final = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII | re.IGNORECASE
)
_EVP: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_PHONE: Final = re.compile(r"\+55[1-9][0-9]{9,10}", re.ASCII)
_CURP: Final = re.compile(r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]", re.ASCII)
_RFC: Final = re.compile(r"[A-Z&\u00d1]{3,4}[0-9]{6}[0-9A-Z]{3}")
_LONGEST_EMAIL: Final = 77
_LAST_SMALL: Final = 10
_TWO: Final = 2


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Payer details as they were given."""

    rail: str
    holder_name: str | None = None
    account: str | None = None
    account_type: str | None = None
    bank_code: str | None = None
    document_type: str | None = None
    document_id: str | None = None


class Fault(msgspec.Struct, frozen=True, order=True):
    """A field and the rule that it breaks.

    Rules: required, not_taken, rail, characters, length, check_digit, bank, type, form.
    """

    field: str
    rule: str


class Checked(msgspec.Struct, frozen=True):
    """Details in their one spelling, by wire name; `faults` says what is wrong with them."""

    fields: dict[str, str]
    faults: tuple[Fault, ...]


Rule = Callable[[str], str]
"""Takes a text to its one spelling; raises `_Broken` with the rule that it breaks."""


class _Broken(ValueError):
    pass


def _digits(text: str, length: int | tuple[int, int]) -> str:
    text = text.translate(_SEPARATORS)
    low, high = (length, length) if isinstance(length, int) else length
    if not (text.isascii() and text.isdigit()):
        raise _Broken("characters")
    if not low <= len(text) <= high:
        raise _Broken("length")
    return text


def clabe(text: str, *, is_test: bool) -> str:
    """A CLABE: 18 digits, a bank, a check digit. `is_test`: the sandbox's bank is one too."""
    text = _digits(text, 18)
    if text[:3] not in MEXICAN_BANKS and not (is_test and text[:3] == SANDBOX_BANK):
        raise _Broken("bank")
    total = sum(
        int(digit) * weight % 10 for digit, weight in zip(text, _CLABE_WEIGHTS[:17], strict=False)
    )
    if int(text[17]) != (10 - total % 10) % 10:
        raise _Broken("check_digit")
    return text


def _mod_11(values: list[int], weights: Iterable[int]) -> int:
    rest = sum(value * weight for value, weight in zip(values, weights, strict=True)) % 11
    return 0 if rest < _TWO else 11 - rest


def cpf(text: str) -> str:
    """A Brazilian person's number: 11 digits, two of them checks, not all the same."""
    text = _digits(text, 11)
    values = [int(digit) for digit in text]
    first = _mod_11(values[:9], range(10, 1, -1))
    second = _mod_11(values[:10], range(11, 1, -1))
    if len(set(text)) == 1 or values[9:] != [first, second]:
        raise _Broken("check_digit")
    return text


def cnpj(text: str) -> str:
    """A Brazilian company's number: 12 digits or letters and two check digits."""
    text = text.translate(_SEPARATORS).upper()
    if not (text.isascii() and text.isalnum()):
        raise _Broken("characters")
    if len(text) != 14:  # noqa: PLR2004 - the form
        raise _Broken("length")
    if not text[12:].isdigit():
        raise _Broken("characters")
    values = [ord(one) - ord("0") for one in text]
    weights = (*range(5, 1, -1), *range(9, 1, -1))
    first = _mod_11(values[:12], weights)
    second = _mod_11(values[:13], (6, *weights))
    if len(set(text)) == 1 or values[12:] != [first, second]:
        raise _Broken("check_digit")
    return text


def email(text: str) -> str:
    """An e-mail address as a PIX key: lower case, at most 77 characters."""
    text = text.strip().lower()
    if len(text) > _LONGEST_EMAIL:
        raise _Broken("length")
    if not _EMAIL.fullmatch(text):
        raise _Broken("form")
    return text


def phone(text: str) -> str:
    """A Brazilian telephone number in E.164."""
    text = text.translate(_SEPARATORS)
    if not _PHONE.fullmatch(text):
        raise _Broken("form")
    return text


def evp(text: str) -> str:
    """A random PIX key: a UUID in lower case."""
    text = text.strip().lower()
    if not _EVP.fullmatch(text):
        raise _Broken("form")
    return text


def nit(text: str) -> str:
    """A Colombian company's number: 9 or 10 digits of which the last is a check digit."""
    text = _digits(text, (9, 10))
    total = sum(
        int(digit) * weight for digit, weight in zip(text[-2::-1], _NIT_WEIGHTS, strict=False)
    )
    rest = total % 11
    if int(text[-1]) != (rest if rest < _TWO else 11 - rest):
        raise _Broken("check_digit")
    return text


def curp(text: str) -> str:
    """A Mexican person's register number: 18 characters, the last a check digit."""
    text = text.strip().upper()
    if not _CURP.fullmatch(text):
        raise _Broken("form")
    total = sum((18 - place) * _CURP_ALPHABET.index(one) for place, one in enumerate(text[:17]))
    if int(text[17]) != -total % _LAST_SMALL:
        raise _Broken("check_digit")
    return text


def rfc(text: str) -> str:
    """A Mexican tax number: 12 or 13 characters; its check digit is not reliable and not held."""
    text = text.translate(_SEPARATORS).upper()
    if not _RFC.fullmatch(text):
        raise _Broken("form")
    return text


def _identity(text: str) -> str:
    return _digits(text, (2, 15))


PIX_KEYS: Final[dict[str, Rule]] = {
    "CPF": cpf, "CNPJ": cnpj, "EMAIL": email, "PHONE": phone, "EVP": evp,
}  # fmt: skip
DOCUMENTS: Final[dict[str, dict[str, Rule]]] = {
    "spei": {"RFC": rfc, "CURP": curp},
    "pix": {"CPF": cpf, "CNPJ": cnpj},
    "bank_co": {"CC": _identity, "CE": _identity, "NIT": nit},
}
ACCOUNT_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "pix": tuple(PIX_KEYS),
    "bank_co": ("CHECKING", "SAVINGS"),
}
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "spei": ("account", "holderName"),
    "pix": ("account", "accountType"),
    "bank_co": ("account", "accountType", "bankCode", "holderName"),
}
"""What a rail cannot do without; a claim may ask for more."""
NOT_TAKEN: Final[dict[str, tuple[str, ...]]] = {
    "spei": ("accountType", "bankCode"),
    "pix": ("bankCode",),
    "bank_co": (),
}


def check(given: Given, *, is_test: bool) -> Checked:
    """All that is wrong with the details, and their one spelling. Bug: a rail not in `RAILS`."""
    rail = given.rail
    texts = {
        name: value.strip()
        for name, value in (
            ("account", given.account),
            ("accountType", given.account_type),
            ("bankCode", given.bank_code),
            ("documentId", given.document_id),
            ("documentType", given.document_type),
            ("holderName", given.holder_name),
        )
        if value is not None and value.strip()
    }
    required = set(REQUIRED[rail])
    if "documentId" in texts or "documentType" in texts:
        required |= {"documentId", "documentType"}
    faults = {name: Fault(name, "required") for name in required if name not in texts}
    faults |= {name: Fault(name, "not_taken") for name in NOT_TAKEN[rail] if name in texts}
    fields = {"rail": rail}
    for name, text in texts.items():
        if name in faults:
            continue
        try:
            fields[name] = _spelt(rail, name, text, texts, is_test=is_test)
        except _Broken as broken:
            faults[name] = Fault(name, str(broken))
    return Checked(fields, tuple(sorted(faults.values())))


def _spelt(rail: str, name: str, text: str, texts: dict[str, str], *, is_test: bool) -> str:
    match name:
        case "holderName":
            if not text.isprintable():
                raise _Broken("characters")
            return text
        case "accountType":
            return _one_of(text, ACCOUNT_TYPES[rail])
        case "documentType":
            return _one_of(text, tuple(DOCUMENTS[rail]))
        case "bankCode":
            return _digits(text, (3, 4))
        case "documentId":
            rule = DOCUMENTS[rail].get(texts.get("documentType", ""))
            return text if rule is None else rule(text)
        case _:
            return _account(rail, text, texts.get("accountType", ""), is_test=is_test)


def _account(rail: str, text: str, kind: str, *, is_test: bool) -> str:
    if rail == "spei":
        return clabe(text, is_test=is_test)
    if rail == "bank_co":
        return _digits(text, (5, 20))
    rule = PIX_KEYS.get(kind)
    return text if rule is None else rule(text)


def _one_of(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise _Broken("type")
    return text


def rail_of(currency: Currency) -> str | None:
    """The rail by which payers of this currency are paid; None where there is none."""
    return RAILS.get(currency)

"""The currencies that the books can hold, and how many decimals each one has.

Exponents follow ISO 4217. USD is kept in 1/10,000 inside the books, so that the USD value of a
small part of a payment keeps four decimals; on the wire a payment's own USD amount has two.
A currency that is not listed here is refused before it reaches a book.
"""

from typing import Final, NewType

Currency = NewType("Currency", str)

USD: Final = Currency("USD")
USD_E4: Final = 4
"""Decimals of every USD figure inside the books: 1 USD is 10,000."""

EXPONENTS: Final[dict[str, int]] = {
    "ARS": 2,
    "BRL": 2,
    "CLP": 0,
    "COP": 2,
    "MXN": 2,
    "PEN": 2,
    "USD": 2,
}


def exponent(currency: str) -> int:
    """Decimals of a local amount in this currency (ISO 4217). Bug: an unlisted currency."""
    return EXPONENTS[currency]


def book_exponent(currency: str) -> int:
    """Decimals that the ledger keeps for this currency: four for USD, else ISO 4217."""
    return USD_E4 if currency == USD else EXPONENTS[currency]

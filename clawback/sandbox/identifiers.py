"""Names and numbers that the sandbox's rails give out, in the forms that real rails use.

CLABE with a right check digit under bank code 999, SPEI tracking keys, PIX end-to-end and return
ids of 32 characters, BR Codes with their checksum, ARNs of 23 digits. All are made from a running
number and the book's date, so none repeats within one record.
"""

from datetime import datetime, timedelta
from typing import Final

from clawback.ids import base36

_INSTITUTION: Final = "99999999"
_CLABE_WEIGHTS: Final = (3, 7, 1)
_SATURDAY: Final = 5


def clabe_check_digit(first_17: str) -> str:
    """Last digit of a CLABE: weights 3-7-1, each product modulo 10."""
    total = sum(int(d) * _CLABE_WEIGHTS[i % 3] % 10 for i, d in enumerate(first_17))
    return str(-total % 10)


def clabe(number: int) -> str:
    """An account at the sandbox's bank: bank 999, city 180, eleven digits of account."""
    first_17 = f"999180{number % 10**11:011d}"
    return first_17 + clabe_check_digit(first_17)


def tracking_key(number: int, at: datetime) -> str:
    """SPEI tracking key: `SBX`, the date, and a number of at least six digits."""
    return f"SBX{at:%Y%m%d}{number:06d}"


def pix_id(kind: str, number: int, at: datetime) -> str:
    """PIX id of 32 characters: kind `E` (payment) or `D` (return), institution, minute, number."""
    return f"{kind}{_INSTITUTION}{at:%Y%m%d%H%M}{base36(number, 11)}"


def arn(number: int, at: datetime) -> str:
    """Acquirer reference number: 23 digits, the last one a Luhn check."""
    year_and_day = f"{at.year % 10}{at.timetuple().tm_yday:03d}"
    first_22 = f"7999999{year_and_day}{number % 10**11:011d}"
    return first_22 + _luhn(first_22)


def _luhn(digits: str) -> str:
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def after_business_days(at: datetime, days: int) -> datetime:
    """The same time of day, so many weekdays later; the sandbox keeps no holidays."""
    while days > 0:
        at += timedelta(days=1)
        days -= at.weekday() < _SATURDAY
    return at


def br_code(*, amount_minor: int, merchant_name: str, number: int) -> str:
    """The text of a PIX QR code (EMV), amount in centavos, with its CRC-16."""
    account = _field("00", "br.gov.bcb.pix") + _field("01", f"sandbox-{number}@pix.example")
    name = merchant_name.encode("ascii", "ignore").decode()[:25].strip() or "SANDBOX"
    text = (
        _field("00", "01")
        + _field("26", account)
        + _field("52", "0000")
        + _field("53", "986")
        + _field("54", f"{amount_minor // 100}.{amount_minor % 100:02d}")
        + _field("58", "BR")
        + _field("59", name)
        + _field("60", "SAO PAULO")
        + _field("62", _field("05", f"SBX{number}"))
        + "6304"
    )
    return text + f"{_crc16(text.encode('ascii')):04X}"


def _field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"


def _crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, as BR Code asks."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
    return crc & 0xFFFF

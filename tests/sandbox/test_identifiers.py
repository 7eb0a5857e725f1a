"""Identifiers in the forms of their rails, each against a sum worked out apart."""

from datetime import UTC, datetime

import pytest

from clawback.sandbox import identifiers

AT = datetime(2026, 5, 12, 20, 27, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    "clabe",
    # The contract's own example, and two that are widely published.
    ["999180000000100177", "032180000118359719", "002010077777777771"],
)
def test_the_check_digit_is_the_one_that_banks_use(clabe: str) -> None:
    assert identifiers.clabe_check_digit(clabe[:17]) == clabe[17]


def test_clabes_are_of_the_sandbox_bank_and_all_different() -> None:
    clabes = {identifiers.clabe(number) for number in range(1, 1000)}
    assert len(clabes) == 999
    assert all(len(clabe) == 18 and clabe.startswith("999180") for clabe in clabes)


def test_a_tracking_key_carries_the_date_and_six_digits() -> None:
    assert identifiers.tracking_key(17, AT) == "SBX20260512000017"
    assert len(identifiers.tracking_key(10**12, AT)) <= 30


@pytest.mark.parametrize("kind", ["E", "D"])
def test_pix_ids_have_32_characters(kind: str) -> None:
    pix_id = identifiers.pix_id(kind, 17, AT)
    assert len(pix_id) == 32
    assert pix_id.startswith(f"{kind}99999999202605122027")


def test_an_arn_has_23_digits_and_a_luhn_sum_of_zero() -> None:
    arn = identifiers.arn(17, AT)
    assert len(arn) == 23
    assert arn.isdecimal()
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(arn))]
    assert sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


@pytest.mark.parametrize(("day", "arrives"), [(12, 14), (14, 18), (15, 19), (16, 19)])
def test_business_days_pass_over_weekends(day: int, arrives: int) -> None:
    at = AT.replace(day=day)
    assert identifiers.after_business_days(at, 2) == AT.replace(day=arrives)


def test_a_br_code_ends_in_its_checksum() -> None:
    code = identifiers.br_code(amount_minor=26975, merchant_name="Loja São João", number=17)
    assert "5406269.75" in code
    assert "5802BR" in code
    # CRC-16/CCITT-FALSE of "123456789" is 29B1 by definition.
    assert identifiers._crc16(b"123456789") == 0x29B1
    assert code[-8:-4] == "6304"
    assert code[-4:] == f"{identifiers._crc16(code[:-4].encode()):04X}"

"""The catalogue of payment methods: the contract's figures, read strictly."""

from pathlib import Path

import pytest

from clawback import currencies
from clawback.money import major_text, rounded_ratio
from clawback.providers import methods
from clawback.providers.methods import load_methods, read_methods

TEXT = Path(methods.__file__).with_name("methods.toml").read_text()


def test_the_sandbox_methods_are_those_of_the_contract() -> None:
    table = load_methods()
    rows = [(m.id, m.slug, m.channel, m.countries, m.expires_seconds) for m in table.all]
    assert rows == [
        ("sbx_spei", "spei", "ONLINE", ("MX",), 86400),
        ("sbx_oxxo", "oxxo", "CASH", ("MX",), 7 * 86400),
        ("sbx_pix", "pix", "ONLINE", ("BR",), 3600),
        ("sbx_pse", "pse", "ONLINE", ("CO",), 1800),
        ("sbx_card", "card", "CREDIT_CARD", ("MX", "BR", "CO", "CL", "AR", "PE", "US"), None),
    ]
    for method in table.all:
        assert (method.min_usd_e4, method.max_usd_e4) == (100, 1_000_000_000)
        is_card = method.slug == "card"
        assert (method.fee_bps, method.fee_fixed_usd_e4) == ((290, 3000) if is_card else (0, 0))
    assert table.settlement.delay_seconds == 48 * 3600
    assert table.settlement.dispute_fee_usd_e4["chargeback"] == 15 * 10_000


@pytest.mark.parametrize(
    ("currency", "local"),
    [("MXN", "861.18"), ("BRL", "269.75"), ("COP", "200625"), ("CLP", "47108"), ("ARS", "69250"),
     ("PEN", "187.4"), ("USD", "50")],
)  # fmt: skip
def test_fifty_usd_is_what_the_contract_says(currency: str, local: str) -> None:
    rate_e4 = load_methods().rate_e4[currencies.Currency(currency)]
    exponent = currencies.exponent(currency)
    minor = rounded_ratio(50 * rate_e4 * 10**exponent, 10_000)
    assert major_text(minor, exponent) == local


def test_methods_are_found_by_id_and_by_slug_with_country() -> None:
    table = load_methods()
    card = table.by_id("sbx_card")
    assert card is table.by_slug("card", "AR")
    assert card is not None
    assert table.currencies_of(card)[4] == "ARS"
    assert table.by_id("nothing") is None
    assert table.by_slug("spei", "BR") is None
    assert (table.alpha2("MEX"), table.alpha2("MX"), table.alpha2("XX")) == ("MX", "MX", None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('slug = "spei"', 'slug = "spei"\ncolour = "red"'),
        ('id = "sbx_pix"', 'id = "sbx_spei"'),
        ('countries = ["CO"]', 'countries = ["FR"]'),
        ('rail = "pse"', 'rail = "gold"'),
        ("MXN = 172_236", "MXN = 17.2236"),
        ("MXN = 172_236\n", ""),
        ('alpha2 = "MX"', 'alpha2 = "mx"'),
        ("fee_bps = 290", "fee_bps = -1"),
    ],
)
def test_a_catalogue_with_a_flaw_stops_the_start(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match=r"."):
        read_methods(TEXT.replace(old, new, 1))

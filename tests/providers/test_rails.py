"""The rail table: read strictly, exact rules first, unknown never read as yes."""

from datetime import date

import msgspec
import pytest

from clawback.providers import rails
from clawback.providers.rails import Window, load_rails, read_rails, rule_for

RULE = """
[[rule]]
match = { provider = "p", rail = "r", country = "MX", product = "any" }
refund = { full = "yes", partial = "no", multiple = "unknown" }
window = { days = 90, from = "settled" }
payer_fields = []
call = { settles = "async", idempotent = "unknown", lookup = "none" }
balance_short = "unknown"
disputes = []
exponent = { MXN = 2 }
arrival = { min_days = 0, max_days = 1, business = true }
evidence = { source = "https://x.example", checked_on = 2026-11-23, mark = "A" }
"""
SANDBOX = {
    # rail: country, partial, multiple, max, days, payer fields (contract, section 6.3)
    "spei": ("MX", "yes", "yes", None, 180, ()),
    "oxxo": ("MX", "yes", "yes", None, 365, ("account", "holderName")),
    "pix": ("BR", "yes", "yes", None, 90, ()),
    "pse": ("CO", "no", "no", 1, 90, None),
    "card": ("PE", "yes", "yes", 20, 180, ()),
}


@pytest.mark.parametrize("rail", SANDBOX)
def test_the_sandbox_rules_are_those_of_the_contract(rail: str) -> None:
    country, partial, multiple, most, days, fields = SANDBOX[rail]
    rule = rule_for("sandbox", rail, country)
    assert rule is not None
    assert (rule.refund.full, rule.refund.partial, rule.refund.multiple) == (
        "yes",
        partial,
        multiple,
    )
    assert rule.refund.max == most
    assert rule.window == Window(days=days, from_="captured")
    assert fields in {None, rule.payer_fields}
    assert rule.call.can_resend
    assert rule.is_confirmed


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        (("mercadopago", "card", "BR", "debit"), 1),
        (("mercadopago", "card", "BR", "qr_order"), 360),
        (("iugu", "card", "BR", "any"), 180),
        (("pagarme", "pix", "BR", "any"), 90),
        (("nobody", "pix", "BR", "any"), 90),
    ],
)
def test_the_most_exact_rule_wins(asked: tuple[str, str, str, str], days: int) -> None:
    rule = rule_for(*asked)
    assert rule is not None
    assert isinstance(rule.window, Window)
    assert rule.window.days == days


def test_provider_counts_more_than_rail_and_rail_more_than_country() -> None:
    def rule(provider: str, rail: str, country: str) -> str:
        match = f'provider = "{provider}", rail = "{rail}", country = "{country}"'
        return RULE.replace('provider = "p", rail = "r", country = "MX"', match)

    table = read_rails(
        rule("p", "any", "any") + rule("any", "r", "MX") + rule("p", "r", "any")
        + rule("p", "any", "MX")
    )  # fmt: skip
    found = table.rule_for("p", "r", "MX")
    assert found is not None
    assert (found.match.provider, found.match.rail, found.match.country) == ("p", "r", "any")
    found = table.rule_for("p", "x", "MX")
    assert found is not None
    assert (found.match.rail, found.match.country) == ("any", "MX")
    found = table.rule_for("q", "r", "MX")
    assert found is not None
    assert found.match.provider == "any"
    assert table.rule_for("q", "x", "MX") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('country = "MX"', 'country = "MX", colour = "red"'),
        ("balance_short", "balance_shorts"),
        ('source = "https://x.example", ', ""),
        ('source = "https://x.example"', 'source = ""'),
        ('source = "https://x.example"', 'source = "hearsay"'),
        ("checked_on = 2026-11-23, ", ""),
        (', mark = "A"', ""),
        ('mark = "A"', 'mark = "D"'),
        ('full = "yes"', 'full = "maybe"'),
        ('full = "yes"', "full = true"),
        ("days = 90, ", ""),
        ('from = "settled"', 'from = "tomorrow"'),
        ("MXN = 2", "MXN = 2.0"),
        ("payer_fields = []", ""),
        ('balance_short = "unknown"', ""),
    ],
)
def test_a_table_with_a_flaw_stops_the_start(old: str, new: str) -> None:
    assert old in RULE
    with pytest.raises(ValueError, match=r"."):
        read_rails(RULE.replace(old, new, 1))


def test_two_rules_for_one_match_stop_the_start() -> None:
    with pytest.raises(ValueError, match="two rules"):
        read_rails(RULE + RULE)


def test_every_rule_of_this_release_has_evidence_and_is_frozen() -> None:
    for rule in load_rails().rules:
        assert rule.evidence.checked_on >= date(2026, 11, 23)
        with pytest.raises(AttributeError):
            rule.note = "changed"  # type: ignore[misc] # that it is refused is the point


def test_no_resend_where_a_repeat_could_pay_twice() -> None:
    for idempotent in ("no", "unknown"):
        for lookup in ("none", "unknown"):
            call = msgspec.convert(
                {"settles": "async", "idempotent": idempotent, "lookup": lookup}, rails.CallRules
            )
            assert not call.can_resend

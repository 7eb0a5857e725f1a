"""References that carry claim, shard and generation, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawback.providers import port
from clawback.providers.sandbox import SandboxProvider

NAMES = st.from_regex(r"[0-9A-Z]{8}-[0-9A-Z]{4}", fullmatch=True)
SMALL = st.integers(0, 36**2 - 1)


@given(name=NAMES, shard=SMALL, generation=SMALL)
def test_a_reference_says_what_it_was_made_of(name: str, shard: int, generation: int) -> None:
    reference = port.refund_reference(f"CLM-{name}", shard, generation)
    assert len(reference) <= 20
    assert reference.isascii()
    assert reference.isalnum()
    assert reference == reference.upper()
    assert port.parse_refund_reference(reference) == port.RefundReference(
        claim_id=f"CLM-{name}", shard=shard, generation=generation
    )
    assert port.parse_charge_reference(reference) is None
    charge = port.charge_reference(f"TXN-{name}", shard)
    assert port.parse_charge_reference(charge) == (f"TXN-{name}", shard)


def test_the_form_is_the_one_that_was_agreed() -> None:
    assert port.refund_reference("CLM-MP331G7R-9F49", 1, 1) == "CLMMP331G7R9F490101"


@pytest.mark.parametrize(
    "reference",
    ["", "CLM", "CLMMP331G7R9F4901", "CLMMP331G7R9F49010", "clmMP331G7R9F490101",
     "CLMMP331G7R9F490101\n", "XXXMP331G7R9F490101", "CLMMP331G7R9F49010\u0661"],
)  # fmt: skip
def test_what_is_no_reference_of_ours_is_none(reference: str) -> None:
    assert port.parse_refund_reference(reference) is None
    assert port.parse_charge_reference(reference) is None


@pytest.mark.parametrize(("shard", "generation"), [(-1, 1), (1296, 1), (1, 1296)])
def test_a_number_that_does_not_fit_is_a_bug(shard: int, generation: int) -> None:
    with pytest.raises(AssertionError):
        port.refund_reference("CLM-MP331G7R-9F49", shard, generation)


def test_the_sandbox_adapter_fills_the_port() -> None:
    adapter: port.Sandbox = SandboxProvider("http://127.0.0.1:1", "secret")
    assert adapter.name == "sandbox"

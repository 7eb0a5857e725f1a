"""One thing and several are said apart, in every language by its own rule."""

import re
from pathlib import Path
from typing import Final

import pytest

from clawback.dashboard import words
from clawback.dashboard.words import LANGUAGES, Speech
from tests.dashboard.visitor import Staff, Visitor
from tests.support.shops import Shop

pytestmark = pytest.mark.timeout(120)

ONE: Final = "Give back {many} refund, just as shown"
SEVERAL: Final = "Give back {many} refunds, just as shown"
LONE: Final = re.compile(r'(?:_|say)\(\s*"[^"]*\{many\}')
"""A counted text with one form only."""


@pytest.mark.parametrize(
    ("language", "many", "said"),
    [("en", 0, "Give back 0 refunds, just as shown"),
     ("en", 1, "Give back 1 refund, just as shown"),
     ("en", 1234, "Give back 1,234 refunds, just as shown"),
     ("es", 0, "Devolver 0 reembolsos, tal como se muestran"),
     ("es", 1, "Devolver 1 reembolso, tal como se muestra"),
     ("es", 2_000_000, "Devolver 2,000,000 reembolsos, tal como se muestran"),
     ("pt", 0, "Devolver 0 reembolso, exatamente como mostrado"),
     ("pt", 1, "Devolver 1 reembolso, exatamente como mostrado"),
     ("pt", 1234, "Devolver 1.234 reembolsos, exatamente como mostrado")],
)  # fmt: skip
def test_each_language_counts_by_its_own_rule(language: str, many: int, said: str) -> None:
    assert Speech(language).count(ONE, SEVERAL, many) == said


def test_other_values_are_filled_in_too() -> None:
    both = ("{used} of {many} refund used", "{used} of {many} refunds used")
    for language in LANGUAGES:
        texts = {many: Speech(language).count(*both, many, used=1) for many in (1, 5)}
        assert texts[1] != texts[5].replace("5", "1"), "the two forms differ"
        assert all("{" not in text for text in texts.values())


def test_what_is_counted_has_both_forms() -> None:
    """Templates count by both forms; only what is always many may have one."""
    lone = [(file.name, found) for file in Path(words.__file__).parent.rglob("templates/*.html")
            for found in LONE.findall(file.read_text())]  # fmt: skip
    assert [name for name, _ in lone] == ["parts.html"], "the newest 10,000 are never one"
    assert LONE.findall('{{ _("Send {many} pieces", many=2) }}'), "the control"
    assert not LONE.findall('{{ _n("Send {many} piece", "Send {many} pieces", 2) }}')


def test_a_batch_of_one_is_one_refund(staff: Staff, owner: Visitor, shop: Shop) -> None:
    names, texts = [shop.take_payment() for _ in range(2)], {}
    for many in (1, 2):
        lines = "\n".join(f"{name},1" for name in names[:many])
        form = {"csv": f"transactionId,amount\n{lines}"}
        page = owner.post(f"{staff.book()}/batches/preview", form)
        texts[many] = re.findall(r"Give back \d+ refunds?, just as shown|\d of \d rows?", page.text)
    assert texts[1] == ["1 of 1 row", "Give back 1 refund, just as shown"]
    assert texts[2] == ["2 of 2 rows", "Give back 2 refunds, just as shown"]

"""The page that explains a claim, in a real browser: made by hand, read on a small telephone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.windows import AXE, NOBODY, SMALL, aside, barriers, fits, opened, signed_in
from tests.dashboard.visitor import Staff
from tests.security.payer import waiting
from tests.support.shops import other_shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(180)]

MERCHANT = "MCH-EXPLAINED"
PAGE = r"http://127\.0\.0\.1:\d+/(claim/|static/payer\.css|favicon)"


def test_a_link_is_made_by_hand_and_read_by_everybody(
    browser: Browser, tree: Tree, pictures: Path
) -> None:
    shop = other_shop(tree, MERCHANT)
    claim, _ = aside(lambda: waiting(shop))
    staff = aside(lambda: Staff(tree, MERCHANT))
    person = aside(lambda: staff.hire("explainer@test.example", test="operator"))
    home = str(tree.dev["url"])
    with opened(browser, signed_in(browser, home + aside(lambda: staff.link(person)))) as page:
        page.goto(f"{home}{staff.book()}/claims/{claim}")
        page.get_by_text("Explain it to the payer").click()
        page.get_by_role("button", name="Make the link").click()
        url = page.locator(".fresh code").inner_text()
        assert fits(page)
    for locale, words in (("es-MX", "Su devolución"), ("pt-BR", "A sua devolução")):
        with opened(
            browser, NOBODY, SMALL, ours=PAGE, harmless="status of 404", locale=locale,
            java_script_enabled=locale != "pt-BR",
        ) as page:  # fmt: skip
            page.goto(url)
            expect(page.get_by_role("heading", level=1)).to_have_text(words)
            assert fits(page)
            assert page.context.cookies() == []
            page.screenshot(path=str(pictures / f"explained-{locale}.png"), full_page=True)
            if locale == "es-MX":
                assert barriers(page, AXE.read_text()) == []
                page.evaluate("document.body.append(document.createElement('img'))")
                found = {one[1] for one in barriers(page, AXE.read_text())}
                assert "image-alt" in found, "the control"

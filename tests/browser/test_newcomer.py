"""Somebody's first minute: from the link that `clawback dev` prints to a refund, by hand alone.

No address is typed but the link, and nothing is known that the pages do not say.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.windows import NOBODY, PATIENCE, SMALL, opened
from tests.support.shops import demo_shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree of which nobody has used the link."""
    with Tree(tmp_path_factory.mktemp("newcomer") / ".clawback") as made:
        yield made


def test_a_newcomer_refunds_within_a_minute(browser: Browser, tree: Tree, pictures: Path) -> None:
    printed = re.search(r"http://\S+/dashboard/enter/\S+", tree.said)
    assert printed is not None, tree.said
    with opened(browser, NOBODY) as page:
        page.goto(printed[0])
        page.screenshot(path=str(pictures / "newcomer-1-door.png"))
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Where the money is")
        page.screenshot(path=str(pictures / "newcomer-2-home.png"))
        page.get_by_role("link", name="Sandbox").click()
        page.get_by_role("button", name="Make it").click()
        page.wait_for_url("**/payments/TXN-*")
        payment = page.url.rpartition("/")[2]
        page.screenshot(path=str(pictures / "newcomer-3-payment.png"))
        if page.locator("h1 .is-pending").count():
            page.get_by_role("button", name="Let something happen").click()
            page.get_by_role("button", name="Let it happen").click()
            page.wait_for_url(f"**/payments/{payment}")
        expect(page.locator("h1 .badge")).to_have_text("Completed")
        page.screenshot(path=str(pictures / "newcomer-4-paid.png"))
        page.keyboard.press("r")
        expect(page.locator("#dialog input[name=amount]")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("12.34")
        page.screenshot(path=str(pictures / "newcomer-5-refund.png"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Give back 12.34")).to_be_focused()
        page.screenshot(path=str(pictures / "newcomer-6-confirm.png"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/claims/CLM-*")
        expect(page.locator("h1")).to_contain_text("Released")
        page.screenshot(path=str(pictures / "newcomer-7-released.png"), full_page=True)
        page.set_viewport_size(SMALL)  # type: ignore[arg-type]  # a plain dict here
        page.screenshot(path=str(pictures / "newcomer-7-released-small.png"), full_page=True)
    (claim,) = demo_shop(tree).claims_of(payment)
    assert (claim["amount"], claim["status"]) == (12.34, "released")

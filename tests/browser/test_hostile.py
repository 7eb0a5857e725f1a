"""A book full of scripts in a real browser: none runs, nothing is asked of strangers, none reports.

The last test is the control: one page is sent without its escaping, and all of that is noticed.
"""

import html
from typing import Final

import pytest
from playwright.sync_api import Browser, Route, StorageState, expect

from tests.browser.windows import aside, opened, signed_in
from tests.dashboard.payloads import Planted, batch, crowd, plant, raw
from tests.dashboard.visitor import Staff
from tests.support.shops import other_shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MERCHANT: Final = "MCH-HOSTILE"
LISTS: Final = ("/payments", "/claims", "/events", "/webhooks", "/settings")
RAN: Final = "window.hit === undefined && parent.hit === undefined"


@pytest.fixture(scope="module")
def planted(tree: Tree, browser: Browser) -> Planted:
    """A merchant whose every text is hostile."""
    shop = other_shop(tree, MERCHANT)
    return aside(lambda: plant(shop))


@pytest.fixture(scope="module")
def staff(tree: Tree, planted: Planted) -> Staff:
    """Its people, who are called by them too."""
    found = aside(lambda: Staff(tree, MERCHANT))
    aside(lambda: crowd(found))
    return found


@pytest.fixture(scope="module")
def state(browser: Browser, tree: Tree, staff: Staff) -> StorageState:
    """Its owner, signed in."""
    owner = aside(lambda: staff.hire("boss@hostile.example", test="owner"))
    return signed_in(browser, f"{tree.dev['url']}{aside(lambda: staff.link(owner))}")


@pytest.mark.long
def test_no_script_runs(
    browser: Browser, tree: Tree, staff: Staff, state: StorageState, planted: Planted
) -> None:
    base = f"{tree.dev['url']}{staff.book()}"
    many = (planted.payments, planted.claims, planted.inquiries, planted.endpoints)
    paths = [path for kind in many for path in kind]
    with opened(browser, state) as page:
        for path in (*paths, *LISTS):
            page.goto(base + path)
            assert page.evaluate(RAN), path
        page.goto(f"{base}/batches")
        page.locator("textarea[name=csv]").fill(batch())
        page.get_by_role("button", name="Try it; nothing moves").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        assert page.evaluate(RAN)
        page.goto(f"{base}/payments")
        page.locator("[data-search]").fill("<img src=x onerror=hit=1>")
        page.wait_for_url("**q=*")
        expect(page.locator("#live")).to_contain_text("Nothing here.")
        assert page.evaluate(RAN)


@pytest.mark.long
def test_a_page_without_escaping_is_noticed(
    browser: Browser, tree: Tree, staff: Staff, state: StorageState, planted: Planted
) -> None:
    url = f"{tree.dev['url']}{staff.book()}{planted.payments[0]}"

    def bare(route: Route) -> None:
        answer = route.fetch()
        text = html.unescape(answer.text())
        assert raw(text), "the control of the control"
        route.fulfill(response=answer, body=text)

    def look() -> None:
        with opened(browser, state) as page:
            page.route(url, bare)
            page.goto(url)
            page.wait_for_timeout(300)
            assert page.evaluate("window.hit === undefined"), "the policy is a second wall"

    with pytest.raises(AssertionError, match="Content Security Policy"):
        look()

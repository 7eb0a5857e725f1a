"""The pictures of the dashboard in a real browser: seen in both colours, on a small telephone too.

What they show is compared with the API in tests/dashboard; here it is that they can be seen, read
by everybody, and follow what happens.
"""

from pathlib import Path
from typing import Final

import asyncpg
import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.windows import (
    AXE,
    PATIENCE,
    SMALL,
    WIDE,
    aside,
    barriers,
    fits,
    opened,
    signed_in,
)
from tests.dashboard.visitor import Staff
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

MERCHANT: Final = "MCH-PICTURES"

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def shop(tree: Tree, browser: Browser) -> Shop:
    """A merchant with fees, a reserve and a credit line, so that money goes many ways."""
    made = other_shop(tree, MERCHANT)
    aside(lambda: tree.told("books", "set", MERCHANT, "reserve=10", "credit-line=500",
                            "dispute-fee=15", "fee.sbx_spei=2.9+0.30"))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def staff(tree: Tree, shop: Shop) -> Staff:
    """Its people."""
    return aside(lambda: Staff(tree, MERCHANT))


@pytest.fixture(scope="module")
def state(browser: Browser, tree: Tree, staff: Staff) -> StorageState:
    """Its owner, signed in."""
    owner = aside(lambda: staff.hire("boss@pictures.example", test="owner"))
    return signed_in(browser, f"{tree.dev['url']}{aside(lambda: staff.link(owner))}")


@pytest.fixture(scope="module")
def base(tree: Tree, staff: Staff) -> str:
    """Where its pages begin."""
    return f"{tree.dev['url']}{staff.book()}"


async def _made_older(connection: asyncpg.Connection, book_id: str) -> None:
    """Claims stand as if they had been opened hours and days ago: no two the same."""
    await connection.execute(
        "UPDATE claims SET created_at = created_at - amount_usd_e4 * interval '0.7 s'"
        " WHERE book_id = $1",
        book_id,
    )


@pytest.fixture(scope="module")
def payment(shop: Shop, staff: Staff) -> str:
    """A payment that was refunded in part and is disputed; others beside."""
    name = shop.take_payment(usd=120)
    shop.post(f"/payments/{name}/refund", {"amount": 433.33})
    shop.post(f"/payments/{shop.take_payment(usd=35)}/refund", {})
    shop.wait_until_settled(60)
    shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
    other = shop.take_payment(usd=1234)
    shop.post(f"/payments/{other}/simulate", {"action": "inquiry"}, 200)
    aside(lambda: staff.run(_made_older, staff.places["test"].book_id))
    return name


def painted(page: Page, selector: str) -> list[str]:
    """The colours of the shapes that have a size."""
    found: list[str] = page.evaluate(
        "(selector) => [...document.querySelectorAll(selector)].filter((one) => {"
        " const box = one.getBoundingClientRect(); return box.width > 0 && box.height > 0; })"
        ".map((one) => getComputedStyle(one).fill)",
        selector,
    )
    return found


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, SMALL], ids=["wide", "small"])
def test_pictures_are_seen_by_everybody(
    browser: Browser, state: StorageState, base: str, payment: str, pictures: Path,
    colours: str, size: dict[str, int],
) -> None:  # fmt: skip
    name = f"{colours}-{size['width']}"
    with opened(browser, state, size, color_scheme=colours) as page:
        page.goto(f"{base}/days")
        page.wait_for_selector("[data-drawn=yes]")
        expect(page.locator("#days .buckets")).to_contain_text("Refund rate")
        assert painted(page, "#ages rect.s-one")
        assert painted(page, "#times rect.s-two")
        assert fits(page)
        page.screenshot(path=str(pictures / f"figures-{name}.png"), full_page=True)
        page.goto(f"{base}/payments/{payment}")
        shapes = painted(page, "#flow rect")
        assert len(shapes) >= 6
        assert len(set(shapes)) >= 4, "places are told apart by colour too"
        assert "rgb(0, 0, 0)" not in shapes, "none is left unpainted"
        expect(page.locator("#flow svg")).to_contain_text("Back with the payer")
        assert fits(page)
        for text in page.locator("#flow text").all():
            box, whole = text.bounding_box(), page.locator("#flow svg").bounding_box()
            assert box is not None
            assert whole is not None
            assert box["x"] >= whole["x"] - 1
            assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1
        page.screenshot(path=str(pictures / f"payment-{name}.png"), full_page=True)


def test_pictures_have_no_barriers(
    browser: Browser, state: StorageState, base: str, payment: str
) -> None:
    script, told = AXE.read_text(), []
    with opened(browser, state) as page:
        for path in ("/", "/days", f"/payments/{payment}"):
            page.goto(base + path)
            if path != f"/payments/{payment}":
                page.wait_for_selector("[data-drawn=yes]")
            for summary in page.locator("#days-table summary, #flow-table summary").all():
                summary.click()
            told += [(path, *one) for one in barriers(page, script)]
        name = page.locator("#flow svg").get_attribute("aria-label") or ""
        assert name.startswith("Captured 120.00")
        assert "Back with the payer 25." in name
    assert told == []


def test_figures_follow_and_stay_open(
    browser: Browser, state: StorageState, base: str, shop: Shop, payment: str, pictures: Path
) -> None:
    """News redraws them without folding up what somebody reads; numbers are in its manner."""
    with opened(browser, state) as page:
        page.goto(f"{base}/")
        page.wait_for_selector("[data-drawn=yes]")
        page.wait_for_selector("body[data-heard]")
        page.locator("#days-table summary").click()
        shown = page.locator("#days .bucket").first
        before = shown.inner_text()
        shop.take_payment(usd=77)
        expect(shown).not_to_have_text(before, use_inner_text=True)
        page.wait_for_selector("[data-drawn=yes]")
        expect(page.locator("#days-table tbody tr")).to_have_count(30)
        expect(page.locator("#days-table tbody tr").first).to_be_visible()
        assert page.evaluate("Object.keys(Chart.instances).length") == 2, "the old ones are gone"
        assert page.evaluate("Object.values(Chart.instances)[0].options.locale") == "en"
        page.screenshot(path=str(pictures / "home-figures.png"), full_page=True)


def test_without_script_figures_are_there(
    browser: Browser, state: StorageState, base: str, payment: str
) -> None:
    with opened(browser, state, java_script_enabled=False) as page:
        page.goto(f"{base}/")
        page.locator("noscript a").click()
        expect(page.locator("#ages tbody tr")).to_have_count(6)
        page.locator("#days-table summary").click()
        expect(page.locator("#days-table tbody tr").first).to_be_visible()

"""The payer's page in a real browser: at 360 px, without script, with it, in three languages."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import windows
from tests.browser.windows import fits
from tests.security.payer import waiting
from tests.support.counts import sampled
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CLABE = "999180000000100177"


@pytest.fixture(scope="module")
def shop(tree: Tree, browser: Browser) -> Shop:
    """A merchant whose payers are asked."""
    return other_shop(tree, "MCH-BROWSER")


@contextmanager
def opened(
    browser: Browser, url: str, *, locale: str = "es-MX", script: bool = True
) -> Iterator[Page]:
    """The page as it stands, on a small telephone."""
    home = url.split("/payer/", maxsplit=1)[0]
    with windows.opened(
        browser, windows.NOBODY, windows.SMALL, ours=re.escape(home),
        harmless="status of 4(10|22)|favicon", locale=locale, java_script_enabled=script,
    ) as page:  # fmt: skip
        page.goto(url)
        yield page


@pytest.mark.parametrize(
    ("method", "country", "locale"),
    sampled([("sbx_oxxo", "MX", "es-MX"), ("sbx_oxxo", "MX", "en-US"),
             ("sbx_pse", "CO", "es-CO"), ("sbx_pse", "CO", "pt-BR")], every=2),
)  # fmt: skip
def test_it_fits_a_small_telephone(
    browser: Browser, shop: Shop, pictures: Path, method: str, country: str, locale: str
) -> None:
    _, url = waiting(shop, method, country)
    with opened(browser, url, locale=locale) as page:
        assert fits(page)
        assert page.locator("html").get_attribute("lang") == locale[:2]
        for label in page.locator("label").all():
            name = label.get_attribute("for")
            assert page.locator(f"#{name}").is_visible()
        box = page.locator("button").bounding_box()
        assert box is not None
        assert box["height"] >= 44, "large enough for a finger"
        page.screenshot(path=str(pictures / f"form-{method}-{locale}.png"), full_page=True)


def test_without_script_it_goes_all_the_way(browser: Browser, shop: Shop, pictures: Path) -> None:
    claim, url = waiting(shop)
    with opened(browser, url, script=False) as page:
        page.fill("#holderName", '<b onclick=alert(1)>"Ana" & Co')
        page.fill("#account", CLABE[:-1] + "8")
        page.click("button")
        assert "Un dígito no coincide" in page.locator("#account-fault").inner_text()
        assert page.locator("#account").get_attribute("aria-invalid") == "true"
        assert page.locator("#holderName").input_value() == '<b onclick=alert(1)>"Ana" & Co'
        page.screenshot(path=str(pictures / "wrong-without-script.png"), full_page=True)
        page.fill("#account", CLABE)
        page.click("button")
        assert page.locator("h1").inner_text() == "Gracias"
        page.screenshot(path=str(pictures / "thanks.png"), full_page=True)
        page.goto(url)
        assert page.locator("h1").inner_text() == "Este enlace ya no sirve"
        page.screenshot(path=str(pictures / "used.png"), full_page=True)
    shown = shop.get(f"/claims/{claim}")["payerDetails"]
    assert shown["holderName"] == '<b onclick=alert(1)>"Ana" & Co'


def test_digits_are_checked_while_they_are_typed(
    browser: Browser, shop: Shop, pictures: Path
) -> None:
    _, url = waiting(shop)
    with opened(browser, url, locale="en-US") as page:
        said = page.locator("#account-fault")
        page.locator("#account").press_sequentially(CLABE[:-1])
        assert said.inner_text() == ""
        page.locator("#account").press_sequentially("8")
        assert said.inner_text() == "A digit does not match: please check the number."
        page.screenshot(path=str(pictures / "typing-wrong.png"), full_page=True)
        page.locator("#account").press("Backspace")
        page.locator("#account").press_sequentially("7")
        assert said.inner_text() == "The number is right."
        assert page.locator("#account").get_attribute("aria-invalid") is None
        page.screenshot(path=str(pictures / "typing-right.png"), full_page=True)
        page.fill("#account", "12")
        page.locator("#account").blur()
        assert said.inner_text() == "It does not have the right number of characters."


def test_the_switch_changes_the_language(browser: Browser, shop: Shop) -> None:
    _, url = waiting(shop)
    with opened(browser, url) as page:
        page.click("text=Português")
        assert page.locator("html").get_attribute("lang") == "pt"
        assert page.locator("h1").inner_text() == "Para onde enviamos o seu dinheiro?"
        page.click("text=English")
        assert page.locator("html").get_attribute("lang") == "en"


def test_a_planted_script_would_not_run(browser: Browser, shop: Shop) -> None:
    """The policy is a second wall: even a script in the page itself is not run."""
    _, url = waiting(shop)
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    page.evaluate(
        "() => { const s = document.createElement('script');"
        " s.textContent = 'window.planted = 1'; document.body.append(s); }"
    )
    assert page.evaluate("window.planted") is None
    assert any("Content Security Policy" in text for text in said)
    context.close()


def test_a_window_that_asks_elsewhere_is_noticed(browser: Browser, shop: Shop) -> None:
    _, url = waiting(shop)
    elsewhere = url.replace("127.0.0.1", "localhost")
    with pytest.raises(AssertionError, match="localhost"), opened(browser, url) as page:
        page.goto(elsewhere)

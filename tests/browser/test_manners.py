"""Colours and languages in a real browser, chosen in the page's own form.

The same refund is walked in each language. What is read on the way is held against the catalogue
and against the English page: nothing is said in English that has to be said in Spanish.
"""

import re
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from clawback.dashboard.words import catalogue
from tests.browser.desks import Desk, open_desk, station
from tests.browser.windows import PATIENCE, opened
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE)

CHOSEN: Final[tuple[tuple[str, Literal["dark", "light"]], ...]] = (
    ("dark", "light"),
    ("light", "dark"),
    ("auto", "dark"),
    ("auto", "light"),
)
"""Colours as chosen, and as the system has them."""
SAID: Final = """() => {
    const data = 'code, pre, data, datalist, abbr, kbd, script, .side .books, .who summary';
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        if (!walk.currentNode.parentElement.closest(data)) found.push(walk.currentNode.data);
    }
    for (const one of document.querySelectorAll('[placeholder], [aria-label], [alt], [data-fresh]'))
        found.push(one.placeholder || '', one.getAttribute('aria-label') || '', one.alt || '',
                   one.dataset.fresh || '');
    return found.map((one) => one.replace(/\\s+/g, ' ').trim()).filter((one) => one);
}"""
"""Every text of the page that is no data, hidden ones and those of attributes too."""
PAGES: Final = ("/", "/days", "/payments", "/claims", "/work", "/books", "/books/entries",
                "/books/proof", "/events", "/webhooks", "/keys", "/sandbox", "/batches",
                "/settings", "/settings/book")  # fmt: skip
THE_SAME: Final = re.compile(
    r"[^A-Za-z]*|[\W\d_]*(USD|MXN|BRL|COP|PEN|ARS|CLP|UTC)[\W\d_]*|MXN/USD|[A-Z]{2}"
    r"|(TXN|CLM|MCH|evt|key|usr)[-_].*|CSV|PDF, PNG, JPEG|MED|API|Clawback .*|English|Español"
    r"|Português|[a-z_]+\.[a-z_.]+|.*@.*|[-+]?[\d ]+ (d|h|min|s|B)( \d+ (h|min))?|https?:.*"
    r"|(Sandbox|Card|PIX|PSE|SPEI|OXXO|sbx_[a-z]+)( · [A-Z]{2})?|[a-z_]+(:[a-z]+)?|Main"
    r"|Shop of .*|secret \*|0 %, 90 d|transactionId,amount.*|Goods or services not received"
)
"""What is the same in every language: codes, amounts, names, accounts, addresses."""


@pytest.fixture(scope="module")
def desk(tree: Tree, browser: Browser) -> Desk:
    """A merchant."""
    return open_desk(tree, browser, "MCH-MANNERS")


@pytest.fixture(scope="module")
def state(desk: Desk) -> StorageState:
    """Its owner, signed in."""
    return desk.comes_in(desk.hire("owner", test="owner"))


def choose(page: Page, name: str, value: str) -> None:
    """Choose a language or colours in the form that every page has."""
    page.locator(".who summary").click()
    page.locator(f".who select[name={name}]").select_option(value)
    with page.expect_navigation():
        page.locator(".who form button").first.click()


def colour_of(page: Page, part: str) -> tuple[int, ...]:
    """A computed colour of the page, as red, green, blue."""
    told = page.evaluate(f"getComputedStyle(document.documentElement).{part}")
    return tuple(int(float(one)) for one in re.findall(r"[\d.]+", told)[:3])


@pytest.mark.long
def test_colours_are_chosen_in_the_page(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    """Whatever the system wants: who chose has it so; `auto` follows the system again."""
    with opened(browser, state) as page:
        page.goto(f"{desk.base}/payments")
        for theme, system in CHOSEN:
            page.emulate_media(color_scheme=system, reduced_motion="reduce")
            choose(page, "theme", theme)
            page.wait_for_url(f"{desk.base}/payments")
            dark = theme == "dark" or (theme == "auto" and system == "dark")
            ground, ink = colour_of(page, "backgroundColor"), colour_of(page, "color")
            assert (sum(ground) < sum(ink)) == dark, (theme, system, ground, ink)
            page.screenshot(path=str(pictures / f"colours-{theme}-{system}.png"))


def walk(page: Page, desk: Desk, payment: str, pictures: Path | None, name: str) -> list[list[str]]:
    """Refund 10 of a payment in dialogs, then look at every page; what was read at each station."""
    read: list[list[str]] = []

    def look(place: str) -> None:
        read.append(page.evaluate(SAID))
        if pictures is not None:
            station(page, pictures, f"{name}-{place}")

    page.goto(f"{desk.base}/payments/{payment}")
    look("payment")
    page.keyboard.press("r")
    page.locator("#dialog input[name=amount]").fill("10")
    look("refund")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.locator("#dialog input[name=amount]").fill("10")
    page.keyboard.press("Enter")
    page.locator("#dialog form[method=post] button").wait_for()
    look("confirm")
    assert "requested_by" not in page.locator("#dialog .pairs").inner_text()
    page.locator("#dialog form[method=post] button").click()
    page.wait_for_url("**/claims/CLM-*")
    page.locator("h1 .is-released").wait_for()
    look("released")
    for path in PAGES:
        page.goto(desk.base + path)
        read.append(page.evaluate(SAID))
    return read


def left_in_english(texts: list[str], language: str) -> set[str]:
    """Texts that the catalogue says otherwise in this language."""
    known = catalogue(language)
    others = {text for text, said in known.items() if text != said} - set(known.values())
    plain = {one for one in texts if one in others}
    forms = [re.sub(r"\\\{[a-z]+\\\}", ".+", re.escape(one)) for one in others if "{" in one]
    return plain | {one for one in texts for form in forms if re.fullmatch(form, one)}


@pytest.mark.long
def test_a_refund_is_walked_in_every_language(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    case = desk.shop.take_payment(method="sbx_card")
    desk.shop.post(f"/payments/{case}/simulate", {"action": "chargeback"}, 200)
    desk.shop.post("/webhooks", {"events": ["*"], "description": "·"})
    read: dict[str, list[list[str]]] = {}
    titles = {
        "en": "Where the money is",
        "es": "Dónde está el dinero",
        "pt": "Onde está o dinheiro",
    }
    with opened(browser, state) as page:
        for language, title in titles.items():
            page.goto(f"{desk.base}/")
            choose(page, "language", language)
            expect(page.locator("h1")).to_have_text(title)
            expect(page.locator("html")).to_have_attribute("lang", language)
            payment = desk.shop.take_payment()
            read[language] = walk(page, desk, payment, pictures, f"in-{language}")
        page.goto(f"{desk.base}/")
        choose(page, "language", "en")
    english = {text for texts in read["en"] for text in texts}
    for language in ("es", "pt"):
        said = {text for texts in read[language] for text in texts}
        assert left_in_english(sorted(said), language) == set()
        known = catalogue(language)
        same = {one.removesuffix(" USD") for one in english & said if not THE_SAME.fullmatch(one)}
        assert same - set(known.values()) == set(), language
        assert len(left_in_english(sorted(english), language)) > 200, "the control"

"""The dashboard in a real browser: the life of a refund, by keys and by hand, live, for everybody.

Each test looks at the console too: a script that was stopped, a style that was refused or a request
that left for elsewhere fails it.
"""

import re
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Route, StorageState, expect

from clawback.clock import milliseconds, real_now
from clawback.dashboard.passwords import STEP_SECONDS, code_at
from tests.browser.windows import AXE, NOBODY, PATIENCE, SMALL, barriers, fits, opened
from tests.support.shops import Shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PAGES: Final = ("/", "/payments", "/claims", "/work", "/books", "/books/entries", "/events",
                "/webhooks", "/keys", "/sandbox", "/batches", "/settings",
                "/settings/book")  # fmt: skip

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def shop(tree: Tree, browser: Browser) -> Shop:
    """The demo merchant's own software."""
    return Shop(tree.address, str(tree.dev["secretKey"]))


@pytest.fixture(scope="module")
def state(tree: Tree, browser: Browser) -> StorageState:
    """The demo owner, signed in by the link that the demo prints."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(str(tree.dev["dashboardUrl"]))
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where the money is")
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture(scope="module")
def base(tree: Tree, browser: Browser, state: StorageState) -> str:
    """Where the test book's pages begin."""
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    page.goto(f"{tree.dev['url']}/dashboard/")
    found = page.url.rstrip("/")
    context.close()
    return found


def test_the_life_of_a_refund(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
    pictures: Path,
) -> None:
    name = shop.take_payment()
    with opened(browser, state) as page:
        page.goto(f"{base}/")
        page.keyboard.press("/")
        page.wait_for_url("**/payments#search")
        page.locator("[data-search]").fill(name)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/payments/{name}")
        page.keyboard.press("r")
        dialog = page.locator("#dialog")
        amount = dialog.locator("input[name=amount]")
        expect(amount).to_be_focused()
        amount.fill("10")
        page.screenshot(path=str(pictures / "refund-dialog.png"))
        page.keyboard.press("Enter")
        give = dialog.get_by_role("button", name="Give back 10.00 MXN")
        expect(give).to_be_focused()
        expect(dialog).to_contain_text("0.5806")
        expect(dialog).to_contain_text("the payer, who gave no name")
        page.screenshot(path=str(pictures / "refund-confirm.png"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/claims/CLM-*")
        expect(page.locator("h1")).to_contain_text("Released", timeout=PATIENCE)
        expect(page.locator(".timeline > li")).to_have_count(3)
        for word in ("Freeze", "Resolve approved", "Release"):
            expect(page.locator(".timeline")).to_contain_text(word)
        page.screenshot(path=str(pictures / "claim-released.png"), full_page=True)
    (claim,) = shop.claims_of(name)
    assert (claim["amount"], claim["status"]) == (10, "released")


def charged_back(shop: Shop) -> tuple[str, str]:
    """A payment, and the chargeback that was opened on it."""
    name = shop.take_payment()
    told = shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)
    return name, str(told["claimId"])


def win(shop: Shop, payment: str) -> None:
    """The network decides for the merchant."""
    shop.post(f"/payments/{payment}/simulate", {"action": "chargeback_won"}, 200)


def test_news_comes_while_somebody_types(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    name, claim = charged_back(shop)
    with opened(browser, state) as page:
        page.goto(f"{base}/claims/{claim}")
        page.wait_for_selector("body[data-heard]")
        field = page.locator("textarea[name=text]")
        field.fill("It was delivered on")
        win(shop, name)
        expect(page.locator("h1")).to_contain_text("Rejected")
        expect(field).to_have_value("It was delivered on")
        expect(field).to_be_focused()
        expect(page.locator("#said")).to_have_text("Updated")


def test_news_of_before_the_stream_is_news(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    """A claim that ends between the page's reads and the first word of its stream."""
    name, claim = charged_back(shop)

    def meanwhile(route: Route) -> None:
        win(shop, name)
        route.continue_()

    with opened(browser, state) as page:
        page.route("**/live", meanwhile)
        page.goto(f"{base}/claims/{claim}")
        expect(page.locator("h1")).to_contain_text("Rejected")


@pytest.mark.long
def test_keys_lead_through_a_list(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    for _ in range(2):
        shop.take_payment()
    with opened(browser, state) as page:
        page.goto(f"{base}/payments")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        rows = page.locator("[data-row]")
        expect(rows.nth(0)).to_have_class(re.compile("at"))
        link = rows.nth(0).locator("a").first
        expect(link).to_be_focused()
        wanted = link.inner_text()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/payments/{wanted}")
        page.keyboard.press("?")
        expect(page.locator("#keys-help")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#keys-help")).to_be_hidden()


@pytest.mark.long
def test_filters_stay_in_the_address(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    shop.take_payment(action="failed")
    with opened(browser, state) as page:
        page.goto(f"{base}/payments")
        page.locator("select[name=status]").select_option("failed")
        page.wait_for_url("**status=failed**")
        expect(page.locator("#live .badge").first).to_have_text("Failed")
        page.reload()
        expect(page.locator("select[name=status]")).to_have_value("failed")
        page.locator("[data-row] a").first.click()
        page.wait_for_url("**/payments/TXN-*")
        page.go_back()
        page.wait_for_url("**status=failed**")
        expect(page.locator("#live .badge").first).to_have_text("Failed")


@pytest.mark.long
def test_charts_are_drawn_and_said(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
    pictures: Path,
) -> None:
    shop.take_payment()
    with opened(browser, state) as page:
        page.goto(f"{base}/")
        page.wait_for_selector("[data-drawn=yes]")
        said = page.locator("#days details")
        said.locator("summary").click()
        expect(said.locator("tbody tr")).to_have_count(30)
        page.screenshot(path=str(pictures / "home.png"), full_page=True)


@pytest.mark.long
def test_nothing_moves_under_the_finger(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    """What loads late has its room already."""
    with opened(browser, state) as page:
        page.add_init_script(
            "window.shift = 0; new PerformanceObserver((list) => { for (const one of"
            " list.getEntries()) if (!one.hadRecentInput) window.shift += one.value; })"
            ".observe({ type: 'layout-shift', buffered: true });"
        )
        for path in ("/", "/payments", "/claims", "/books"):
            page.goto(base + path)
            page.wait_for_timeout(1200)
            assert page.evaluate("window.shift") < 0.1, path


@pytest.mark.long
def test_every_page_is_for_everybody(
    browser: Browser, state: StorageState, base: str, shop: Shop, tree: Tree
) -> None:
    """No barrier that axe knows, in both colours, on every kind of page there is."""
    known = tomllib.loads(AXE.with_name("VENDORED.toml").read_text())["vendored"][0]
    script = AXE.read_text()
    assert sha256(script.encode()).hexdigest() == known["sha256"]
    name = shop.take_payment(method="sbx_card")
    refund = shop.post(f"/payments/{name}/refund", {"amount": 1})["refundId"]
    case = shop.post(f"/payments/{name}/simulate", {"action": "chargeback"}, 200)["claimId"]
    hook = shop.post("/webhooks", {"events": ["*"]})["id"]
    entry = shop.get("/ledger/entries", limit=1)["data"][0]["id"]
    single = (f"/payments/{name}", f"/payments/{name}/refund", f"/claims/{refund}",
              f"/claims/{case}", f"/webhooks/{hook}", f"/books/entries/{entry}", "/books/proof",
              "/days", f"/payments/{name}/refund/confirm?amount=1", "/claims/nothing")  # fmt: skip
    told = []
    with opened(browser, state) as page:
        for path in (*PAGES, *single):
            page.goto(base + path)
            told += [(path, *one) for one in barriers(page, script)]
        page.goto(f"{base}/")
        page.evaluate("document.querySelector('main').append(document.createElement('img'))")
        assert "image-alt" in {one[1] for one in barriers(page, script)}, "the control"
    with opened(browser, NOBODY) as page:
        for path in ("/sign-in", "/enter/nothing"):
            page.goto(f"{tree.dev['url']}/dashboard{path}")
            told += [(path, *one) for one in barriers(page, script)]
    assert told == []


@pytest.mark.long
def test_every_page_fits_a_small_telephone(
    browser: Browser, state: StorageState, base: str, shop: Shop, pictures: Path
) -> None:
    name = shop.take_payment()
    claim = shop.post(f"/payments/{name}/refund", {"amount": 1})["refundId"]
    with opened(browser, state, SMALL) as page:
        for path in (*PAGES, f"/payments/{name}", f"/claims/{claim}", f"/payments/{name}/refund"):
            page.goto(base + path)
            assert fits(page), path
            short = path.strip("/").replace("/", "-") or "home"
            page.screenshot(path=str(pictures / f"small-{short}.png"))


def test_a_planted_script_is_stopped(
    browser: Browser,
    state: StorageState,
    base: str,
) -> None:
    """The policy is a second wall: markup that got into the page would still not run."""
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{base}/")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.planted = 1';"
        " document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
        " '<img src=x onerror=\"window.planted = 2\">'); }"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.planted") is None
    assert any("Content Security Policy" in text for text in said)
    context.close()


@pytest.mark.long
def test_a_second_person_comes_in_and_approves(
    browser: Browser,
    tree: Tree,
    state: StorageState,
    base: str,
    shop: Shop,
    pictures: Path,
) -> None:
    tree.told("books", "set", "MCH-NORTE", "threshold=0")
    made = tree.told("users", "create", "ana@test.example", "--name", "Ana", "--merchant",
                     "MCH-NORTE", "--role", "operator")  # fmt: skip
    name = shop.take_payment()
    claim = shop.post(f"/payments/{name}/refund", {"amount": 5})["refundId"]
    with opened(browser, NOBODY) as page:
        page.goto(str(made["link"]))
        secret = page.locator(".secret code").inner_text().replace(" ", "")
        page.screenshot(path=str(pictures / "set-up.png"))
        page.fill("input[name=password]", "a long enough sentence")
        page.fill("input[name=again]", "a long enough sentence")
        step = milliseconds(real_now()) // 1000 // STEP_SECONDS
        page.fill("input[name=code]", code_at(secret, step))
        page.get_by_role("button").click()
        page.wait_for_url("**/dashboard/bk_*/")
        page.goto(f"{base}/work?reason=awaiting_approval")
        page.get_by_role("link", name=claim).click()
        page.wait_for_url(f"**/claims/{claim}")
        page.keyboard.press("a")
        expect(page.locator(".timeline")).to_contain_text("Ana")
        expect(page.locator("h1")).to_contain_text("Released")
        page.locator(".who summary").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.go_back()
        page.wait_for_url("**/sign-in**")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    tree.told("books", "set", "MCH-NORTE", "threshold=-")


def test_without_script_it_works_too(
    browser: Browser,
    state: StorageState,
    base: str,
    shop: Shop,
) -> None:
    name = shop.take_payment()
    with opened(browser, state, java_script_enabled=False) as page:
        page.goto(f"{base}/payments?q={name}")
        page.get_by_role("button", name="Refund", exact=False).click()
        page.fill("input[name=amount]", "7.50")
        page.get_by_role("button", name="Look at it once more").click()
        page.get_by_role("button", name="Give back 7.50 MXN").click()
        page.wait_for_url("**/claims/CLM-*")
    assert [one["amount"] for one in shop.claims_of(name)] == [7.5]


def test_it_prints_without_the_frame(
    browser: Browser,
    state: StorageState,
    base: str,
    pictures: Path,
) -> None:
    with opened(browser, state) as page:
        page.goto(f"{base}/books")
        page.emulate_media(media="print")
        expect(page.locator(".side")).to_be_hidden()
        expect(page.locator("main table").first).to_be_visible()
        page.screenshot(path=str(pictures / "print.png"), full_page=True)

"""Pages for everybody: no barrier that axe knows, on paper, on a small telephone, without a jolt.

These are the pages and moments beside those that `test_dashboard.py` looks at: doors, refusals,
results, open dialogs, a live book, another role.
"""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from clawback.dashboard.people import SET_UP
from tests.browser.desks import Desk, open_desk
from tests.browser.windows import AXE, NOBODY, PATIENCE, SMALL, barriers, fits, opened
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

expect.set_options(timeout=PATIENCE)

LISTS: Final = ("/", "/payments", "/claims", "/work", "/books", "/books/entries", "/events",
                "/webhooks", "/keys", "/settings", "/batches", "/sandbox",
                "/settings/book")  # fmt: skip
LONG: Final = "Ana María de los Ángeles Fernández-Cuesta y Rodríguez de la Vega y Villalobos"
SHIFT: Final = (
    "window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries())"
    " if (!one.hadRecentInput) window.shift += one.value; })"
    ".observe({ type: 'layout-shift', buffered: true });"
)
JOLT: Final = (
    "document.querySelector('main').insertAdjacentHTML('afterbegin',"
    " `<p class=\"big\">${'<br>'.repeat(20)}</p>`)"
)


@pytest.fixture(scope="module")
def desk(tree: Tree, browser: Browser) -> Desk:
    """A merchant with something of everything, and long names."""
    made = open_desk(tree, browser, "MCH-EVERYBODY")
    body = {"amount": 100_000, "paymentMethodId": "sbx_pix", "country": "BR", "userName": LONG,
            "merchantOrderId": "ORDER-" + "9" * 100, "userEmail": f"{'a' * 60}@mail.example",
            "metadata": {"a-name-without-a-break-in-it": "x" * 200}}  # fmt: skip
    name = str(made.shop.post("/payments", body)["id"])
    made.shop.post(f"/payments/{name}/simulate", {"action": "paid"}, 200)
    made.shop.post(f"/payments/{name}/refund", {"amount": 1, "reason": "z" * 400})
    made.shop.post("/webhooks", {"events": ["*"], "description": "d" * 200})
    made.shop.post("/webhooks", {"events": ["claim.*"], "url": "http://127.0.0.1:9/" + "p" * 300})
    return made


@pytest.fixture(scope="module")
def state(desk: Desk) -> StorageState:
    """Its owner in both books, signed in."""
    return desk.comes_in(desk.hire("owner", test="owner", live="owner"))


@pytest.fixture(scope="module")
def case(desk: Desk) -> str:
    """A chargeback."""
    charged = desk.shop.take_payment()
    told = desk.shop.post(f"/payments/{charged}/simulate", {"action": "chargeback"}, 200)
    return str(told["claimId"])


@pytest.fixture(scope="module")
def singles(desk: Desk, case: str) -> list[str]:
    """Pages of one thing each."""
    shop = desk.shop
    entry = shop.get("/ledger/entries", limit=1)["data"][0]
    leg = entry["postings"][0]
    payments = shop.get("/payments")["data"]
    return [
        *(f"/payments/{one['id']}" for one in payments),
        *(f"/claims/{one['id']}" for one in shop.get("/claims")["data"]),
        *(f"/webhooks/{one['id']}" for one in shop.get("/webhooks")["data"]),
        f"/books/entries/{entry['id']}",
        f"/books/accounts/{leg['currency']}/{leg['account']}",
        "/books/proof", "/days", f"/payments/{payments[-1]['id']}/refund",
        f"/payments/{payments[-1]['id']}/refund/confirm?amount=1",
        f"/payments/{payments[-1]['id']}/refund/confirm?amount=99999999999",
    ]  # fmt: skip


def fresh_barriers(page: Page) -> list[tuple[str, ...]]:
    """What axe finds, the page left as it is."""
    return barriers(page, AXE.read_text())


@pytest.mark.long
def test_doors_are_for_everybody(browser: Browser, desk: Desk, pictures: Path) -> None:
    """Setting up with each fault, signing in with a wrong word, a one-time link."""
    url = desk.tree.dev["url"]
    told: list[Any] = []
    with opened(browser, NOBODY, SMALL) as page:
        page.goto(url + desk.link(desk.hire("new", test="read-only"), SET_UP))
        told += fresh_barriers(page)
        assert fits(page)
        for password, again in (("a long enough sentence", "another sentence altogether"),
                                ("a long enough sentence", "a long enough sentence")):  # fmt: skip
            page.fill("input[name=password]", password)
            page.fill("input[name=again]", again)
            page.fill("input[name=code]", "000000")
            page.get_by_role("button").click()
            expect(page.locator("[role=alert]")).to_be_visible()
            told += fresh_barriers(page)
        page.screenshot(path=str(pictures / "set-up-refused.png"), full_page=True)
        page.goto(url + desk.link(desk.hire("other", test="read-only")))
        told += fresh_barriers(page)
        page.goto(f"{url}/dashboard/sign-in")
        page.fill("input[name=login]", "nobody")
        page.fill("input[name=password]", "nothing")
        page.fill("input[name=code]", "000000")
        page.get_by_role("button").click()
        expect(page.locator("[role=alert]")).to_be_visible()
        told += fresh_barriers(page)
        assert fits(page)
        page.screenshot(path=str(pictures / "sign-in-refused.png"), full_page=True)
    assert told == []


@pytest.mark.long
def test_results_and_refusals_are_for_everybody(
    browser: Browser, desk: Desk, state: StorageState, case: str, pictures: Path
) -> None:
    """What a form comes to: a batch, a key made, and a 422 of each kind."""
    payment = desk.shop.take_payment()
    told: list[Any] = []
    with opened(browser, state) as page:
        for number, (path, button, fields) in enumerate(sent_forms(payment, case)):
            if path:
                page.goto(desk.base + path)
            for folded in page.locator("main details:has(form)").all():
                folded.evaluate("(one) => { one.open = true; }")
            for name, value in fields.items():
                page.locator(f"main [name={name}]").first.fill(value)
            with page.expect_navigation():
                page.locator("main button", has_text=button).last.click()
            told += [(number, page.url, *one) for one in fresh_barriers(page)]
            page.screenshot(path=str(pictures / f"result-{number}.png"), full_page=True)
    assert told == []


def sent_forms(payment: str, case: str) -> list[tuple[str, str, dict[str, str]]]:
    """Forms: where they stand, or on the page that is shown; what is pressed, what is filled in."""
    rows = f"transactionId,amount\n{payment},5\nTXN-00000000-0000,5\n"
    return [
        ("/batches", "Try it", {"csv": rows}),
        ("", "just as shown", {}),
        ("/batches", "Try it", {"csv": "a,b\n1,2"}),
        ("/keys", "Make a key", {"maxClaimUsd": "500"}),
        ("/keys", "Make a key", {"maxClaimUsd": "much"}),
        ("/webhooks", "Make it", {"url": "https://10.0.0.1/"}),
        ("/sandbox", "Let it happen", {"payment": "TXN-00000000-0000"}),
        ("/settings/book", "Save", {"reserve": "a lot", "dispute-fee": "x"}),
        ("/settings", "Bring in", {"login": "an-other@mch.example", "name": "Somebody"}),
        (f"/claims/{case}", "Send 0 pieces", {}),
    ]


@pytest.mark.long
def test_open_dialogs_are_for_everybody(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    payment = desk.shop.take_payment()
    told: list[Any] = []
    for size, name in (({"width": 1280, "height": 860}, "wide"), (SMALL, "small")):
        with opened(browser, state, size) as page:
            page.goto(f"{desk.base}/payments/{payment}")
            page.keyboard.press("?")
            expect(page.locator("#keys-help")).to_be_visible()
            told += fresh_barriers(page)
            page.screenshot(path=str(pictures / f"dialog-keys-{name}.png"))
            page.keyboard.press("Escape")
            expect(page.locator("#keys-help")).to_be_hidden()
            page.locator("[data-key=r]").click()
            page.locator("#dialog input[name=amount]").fill("3")
            told += fresh_barriers(page)
            page.screenshot(path=str(pictures / f"dialog-refund-{name}.png"))
            page.keyboard.press("Enter")
            page.locator("#dialog form[method=post] button").wait_for()
            told += fresh_barriers(page)
            assert fits(page)
            page.screenshot(path=str(pictures / f"dialog-confirm-{name}.png"))
    assert told == []


@pytest.mark.long
def test_a_live_book_and_another_role_are_for_everybody(
    browser: Browser, desk: Desk, state: StorageState, singles: list[str], pictures: Path
) -> None:
    live = f"{desk.tree.dev['url']}{desk.staff.book('live')}"
    told: list[Any] = []
    with opened(browser, state) as page:
        for path in LISTS:
            if path == "/sandbox":
                continue
            page.goto(live + path)
            told += [(path, *one) for one in fresh_barriers(page)]
        expect(page.locator("header.mode")).to_contain_text("Real money.")
        page.screenshot(path=str(pictures / "live-settings.png"))
    with opened(browser, desk.comes_in(desk.hire("reader", test="read-only"))) as page:
        for path in (*LISTS, *singles):
            page.goto(desk.base + path)
            told += [(path, *one) for one in fresh_barriers(page)]
    assert told == []


@pytest.mark.long
def test_an_account_is_for_everybody(
    browser: Browser, desk: Desk, state: StorageState, singles: list[str]
) -> None:
    """The owner's pages of one thing that the other test of pages does not have."""
    with opened(browser, state) as page:
        for path in singles:
            page.goto(desk.base + path)
            assert [(path, *one) for one in fresh_barriers(page)] == []


@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_claim_is_printed(
    browser: Browser, desk: Desk, case: str, pictures: Path, theme: str
) -> None:
    """Light, whole, without what leads elsewhere; whether the page chose dark or the system."""
    state = desk.comes_in(desk.hire(f"printer-{theme}", test="owner"))
    with opened(browser, state) as page:
        page.emulate_media(color_scheme="dark")
        page.goto(f"{desk.base}/claims/{case}")
        if theme == "dark":
            page.locator(".who summary").click()
            page.locator(".who select[name=theme]").select_option("dark")
            with page.expect_navigation():
                page.locator(".who form button").first.click()
        page.emulate_media(media="print", color_scheme="dark")
        for part in (".side", "form", "main button", ".decide details"):
            for one in page.locator(part).all():
                expect(one).to_be_hidden()
        for part in ("header.mode strong", ".big", ".timeline li", ".timeline table", ".pairs"):
            expect(page.locator(f"{part} >> nth=0")).to_be_visible()
        assert_light(page)
        page.screenshot(path=str(pictures / f"printed-claim-{theme}.png"), full_page=True)
        (pictures / f"printed-claim-{theme}.pdf").write_bytes(page.pdf(format="A4"))
        page.goto(f"{desk.base}/events")
        expect(page.locator("details.body pre").first).to_be_visible()
        assert_light(page)
        page.screenshot(path=str(pictures / f"printed-events-{theme}.png"), full_page=True)
        page.emulate_media(media="screen")
        expect(page.locator("details.body pre").first).to_be_hidden()


def assert_light(page: Page) -> None:
    """Every text of the page is dark ink, on a ground that is light."""
    wrong = page.evaluate(
        """() => {
            const light = (text) => {
                const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
                return a === 0 ? null : (r + g + b) / 3;
            };
            const shown = [...document.querySelectorAll('body *')].filter((one) =>
                one.checkVisibility() && !one.closest('svg, canvas'));
            return [document.documentElement, ...shown].filter((one) => {
                const style = getComputedStyle(one);
                const ground = light(style.backgroundColor);
                return light(style.color) > 130 || (ground !== null && ground < 190);
            }).map((one) => one.outerHTML.slice(0, 90));
        }"""
    )
    assert wrong == []


@pytest.mark.long
def test_no_page_runs_out_of_a_small_telephone(
    browser: Browser, desk: Desk, state: StorageState, singles: list[str], pictures: Path
) -> None:
    """Whatever is long has a name of its own to scroll in."""
    wide = []
    with opened(browser, state, SMALL) as page:
        for path in (*LISTS, *singles):
            page.goto(desk.base + path)
            page.wait_for_timeout(50)
            if not fits(page):
                wide.append(path)
            for one in page.locator("main details").all():
                one.evaluate("(one) => { one.open = true; }")
            if not fits(page):
                wide.append(f"{path}, unfolded")
            name = path.split("?")[0].strip("/").replace("/", "-").replace(":", "-") or "home"
            page.screenshot(path=str(pictures / f"narrow-{name[:60]}.png"), full_page=True)
        page.goto(f"{desk.base}/")
        page.evaluate("document.querySelector('main').style.width = '700px'")
        assert not fits(page), "the control"
    assert wide == []


@pytest.mark.long
@pytest.mark.parametrize("size", [{"width": 1280, "height": 860}, SMALL])
def test_no_list_moves_while_it_comes(
    browser: Browser, desk: Desk, state: StorageState, size: dict[str, int]
) -> None:
    with opened(browser, state, size) as page:
        page.add_init_script(SHIFT)
        moved = []
        for path in LISTS:
            page.goto(desk.base + path)
            page.wait_for_timeout(1000)
            if page.evaluate("window.shift") >= 0.1:
                moved.append((path, page.evaluate("window.shift")))
        assert moved == []
        page.evaluate(JOLT)
        page.wait_for_timeout(500)
        assert page.evaluate("window.shift") >= 0.1, "the control"

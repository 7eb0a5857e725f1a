"""Whole walks in a real browser: a chargeback, a batch, a webhook, a key, from first to last.

At each station what the page shows is held against what the API says, to the last digit, and the
page is looked at on a desk and on a telephone.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from clawback.clock import real_now
from tests.browser.desks import Desk, amounts, open_desk, station
from tests.browser.receivers import Receiver
from tests.browser.windows import PATIENCE, opened
from tests.support.shops import Shop
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def desk(tree: Tree, browser: Browser) -> Desk:
    """A merchant that nothing has happened to."""
    return open_desk(tree, browser, "MCH-WALKS")


@pytest.fixture(scope="module")
def state(desk: Desk) -> StorageState:
    """Its owner, signed in."""
    return desk.comes_in(desk.hire("owner", test="owner"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """What webhooks are sent to."""
    with Receiver() as made:
        yield made


def let_happen(page: Page, desk: Desk, payment: str, action: str) -> None:
    """Play what a network would do, on the sandbox page."""
    page.goto(f"{desk.base}/sandbox?payment={payment}")
    page.locator("select[name=action]").select_option(action)
    page.get_by_role("button", name="Let it happen").click()
    page.wait_for_url("**/claims/CLM-*")


class Case:
    """A chargeback, and the four pages on which its money is seen."""

    def __init__(self, page: Page, desk: Desk, payment: str, pictures: Path) -> None:
        """The page stands on the claim."""
        self.page, self.desk, self.payment, self.pictures = page, desk, payment, pictures
        self.claim = page.url.rpartition("/")[2]

    def is_seen(self, state: str, name: str) -> None:
        """Claim, payment, books and home show the state and the API's amounts."""
        self._claim(state, name)
        self._payment(state, name)
        page, desk = self.page, self.desk
        page.goto(f"{desk.base}/books")
        accounts = desk.told("/ledger/accounts")["data"]
        assert {one["balance"].lstrip("-") for one in accounts} <= amounts(page)
        expect(page.locator("main .is-failed")).to_have_count(0)
        station(page, self.pictures, f"chargeback-{name}-books")
        page.goto(f"{desk.base}/")
        balance = desk.told("/me/balance")["balance"]
        for bucket in ("pending", "available", "frozen", "inTransit", "reserve"):
            shown = page.locator(f".b-{bucket} data")
            expect(shown).to_have_attribute("value", balance[bucket])
        page.wait_for_selector("[data-drawn=yes]")
        station(page, self.pictures, f"chargeback-{name}-home")

    def _claim(self, state: str, name: str) -> None:
        self.page.goto(f"{self.desk.base}/claims/{self.claim}")
        told = self.desk.told(f"/claims/{self.claim}")
        expect(self.page.locator("h1")).to_contain_text(state)
        for field in ("amount", "amountUsd", "frozenUsd", "missingUsd", "inTransitUsd",
                      "amountReleased", "amountReleasedUsd"):  # fmt: skip
            assert told[field] in amounts(self.page), field
        station(self.page, self.pictures, f"chargeback-{name}-claim")

    def _payment(self, state: str, name: str) -> None:
        self.page.goto(f"{self.desk.base}/payments/{self.payment}")
        told = self.desk.told(f"/payments/{self.payment}")
        row = self.page.locator("[data-row]").filter(has_text=self.claim)
        expect(row).to_contain_text(state)
        for field in ("amountLocal", "remaining", "amountRefunded", "amountChargedBack"):
            assert told[field] in amounts(self.page), field
        station(self.page, self.pictures, f"chargeback-{name}-payment")

    def holds(self, field: str) -> str:
        """An amount of the claim, now."""
        return str(self.desk.told(f"/claims/{self.claim}")[field])


@pytest.mark.long
def test_a_chargeback_is_won_then_lost(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    payment = desk.shop.take_payment(method="sbx_card")
    with opened(browser, state) as page:
        let_happen(page, desk, payment, "chargeback")
        case = Case(page, desk, payment, pictures)
        case.is_seen("Pending", "opened")
        page.goto(f"{desk.base}/work?reason=awaiting_evidence")
        page.get_by_role("link", name=case.claim).click()
        page.wait_for_url(f"**/claims/{case.claim}")
        page.locator("textarea[name=text]").fill("It was delivered on 3 May and signed for.")
        page.get_by_role("button", name="Add").first.click()
        expect(page.locator(".decide td.wrap")).to_contain_text("signed for")
        page.locator("summary", has_text="Send the evidence").click()
        page.get_by_role("button", name="Send 1 piece").click()
        expect(page.locator("#live .pairs")).to_contain_text("Evidence sent")
        expect(page.locator("textarea[name=text]")).to_have_count(0)
        case.is_seen("Pending", "answered")
        let_happen(page, desk, payment, "chargeback_won")
        case.is_seen("Rejected", "won")
        assert case.holds("frozenUsd") == "0"
        let_happen(page, desk, payment, "chargeback_reopened")
        case.is_seen("Pending", "reopened")
        let_happen(page, desk, payment, "chargeback_lost")
        case.is_seen("Released", "lost")
        assert (case.holds("amountReleased"), case.holds("frozenUsd")) == (
            case.holds("amount"),
            "0",
        )
        page.goto(f"{desk.base}/payments/{payment}")
        expect(page.locator("h1")).to_contain_text("Chargeback")
        expect(page.locator("main .actions")).to_contain_text("Why no refund?")


@pytest.mark.long
def test_a_batch_is_tried_shown_and_done(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    first, second = desk.shop.take_payment(), desk.shop.take_payment()
    with opened(browser, state) as page:
        page.goto(f"{desk.base}/")
        page.get_by_role("link", name="Batch refunds").click()
        page.locator("textarea[name=csv]").fill(
            "transactionId,amount,reason,reference\n"
            f"{first},10.5,duplicate,row-one\n{second},861.18,other,row-two\n"
            f"{second},1,other,row-three\nTXN-00000000-0000,5,other,row-four\n"
        )
        page.get_by_role("button", name="Try it; nothing moves").click()
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(4)
        for number, word in enumerate(("10.50", "861.18", "refund_exceeds_remaining", "not_found")):
            expect(rows.nth(number)).to_contain_text(word)
        station(page, pictures, "batch-tried")
        assert (desk.shop.claims_of(first), desk.shop.claims_of(second)) == ([], [])
        page.get_by_role("button", name="Give back 2 refunds, just as shown").click()
        expect(page.locator("h2").first).to_contain_text("Done")
        made = rows.locator("a[href*='/claims/CLM-']")
        expect(made).to_have_count(2)
        station(page, pictures, "batch-done")
        names = [made.nth(number).inner_text() for number in range(2)]
        for name, payment, amount in zip(names, (first, second), ("10.50", "861.18"), strict=True):
            page.goto(f"{desk.base}/claims/{name}")
            expect(page.locator(".big")).to_contain_text(amount)
            expect(page.locator("h1")).to_contain_text("Released")
            page.goto(f"{desk.base}/payments/{payment}")
            told = desk.told(f"/payments/{payment}")
            assert {told["amountRefunded"], told["remaining"]} <= amounts(page)
        station(page, pictures, "batch-refunded")


@pytest.mark.long
def test_a_webhook_fails_and_is_sent_again(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path, receiver: Receiver
) -> None:
    receiver.status = 500
    with opened(browser, state) as page:
        page.goto(f"{desk.base}/webhooks")
        page.fill("input[name=url]", receiver.url)
        page.fill("input[name=events]", "payment.completed")
        page.fill("input[name=description]", "The shop")
        page.get_by_role("button", name="Make it").click()
        expect(page.locator(".fresh code")).to_contain_text("whsec_")
        secret = page.locator(".fresh code").inner_text()
        station(page, pictures, "webhook-made")
        for _ in range(3):
            desk.shop.take_payment()
        receiver.until(3)
        page.get_by_role("link", name="The shop").click()
        rows = page.locator("tr[data-row]")
        expect(rows).to_have_count(3)
        waiting = page.locator("tr[data-row] .is-failed, tr[data-row] .is-pending")
        reload_until(page, lambda: waiting.count() == 3)
        expect(rows.first).to_contain_text("500")
        assert secret not in page.content()
        station(page, pictures, "webhook-failing")
        receiver.status = 200
        with page.expect_navigation():
            rows.first.get_by_role("button", name="Send again").click()
        receiver.until(4)
        reload_until(page, lambda: page.locator("tr[data-row] .is-succeeded").count() == 1)
        expect(rows.first.locator(".badge")).to_have_class(re.compile("is-succeeded"))
        station(page, pictures, "webhook-one-sent")
        page.locator("summary", has_text="Send again").click()
        page.fill("input[name=since]", (real_now() - timedelta(days=1)).date().isoformat())
        with page.expect_navigation():
            page.locator("main details[open] button").click()
        receiver.until(6)
        done = page.locator("tr[data-row] .is-succeeded")
        reload_until(page, lambda: done.count() == rows.count() > 1)
        station(page, pictures, "webhook-all-sent")
    names = [one["webhook-id"] for one in receiver.headers]
    assert [names.count(name) for name in names[:3]] == [2, 2, 2], "an event keeps its name"


def reload_until(page: Page, look: Callable[[], bool]) -> None:
    """Load the page anew until it is so."""
    for _ in range(60):
        page.reload()
        if look():
            return
        page.wait_for_timeout(250)
    raise AssertionError(page.locator("main").inner_text())


@pytest.mark.long
def test_a_key_is_changed_for_another(
    browser: Browser, desk: Desk, state: StorageState, pictures: Path
) -> None:
    with opened(browser, state) as page:
        page.goto(f"{desk.base}/")
        page.get_by_role("link", name="API keys").click()
        name, old = make_key(page)
        station(page, pictures, "key-made")
        page.goto(f"{desk.base}/keys")
        assert old not in page.content(), "it is shown once"
        _, new = make_key(page)
        expect(page.locator("tr[data-row]")).to_have_count(3)  # the shop's own, and two more
        assert (knock(desk, old), knock(desk, new)) == (200, 200)
        page.goto(f"{desk.base}/keys")
        row = page.locator("tr[data-row]").filter(has_text=name)
        row.locator("summary").click()
        station(page, pictures, "key-to-revoke")
        row.get_by_role("button", name="Revoke for good").click()
        expect(row).to_contain_text("Revoked")
        station(page, pictures, "key-revoked")
    desk.tree.until("the old one opens nothing", lambda: knock(desk, old) == 401, 10)
    assert knock(desk, new) == 200


def make_key(page: Page) -> tuple[str, str]:
    """Another key, by the form: its name, and what is shown this once."""
    page.get_by_role("button", name="Make a key").click()
    fresh = page.locator(".fresh code")
    expect(fresh.first).to_have_text(re.compile(r"sk_test_\w{36}"))
    return fresh.nth(1).inner_text(), fresh.first.inner_text()


def knock(desk: Desk, key: str) -> int:
    """What a key opens."""
    return Shop(desk.tree.address, key).call("GET", "/ping").status

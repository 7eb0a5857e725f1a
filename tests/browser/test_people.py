"""People in a real browser: what each role sees and may do, how a second person decides by keys.

What a role may is written out here, not taken from the product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.desks import EVERY_ROLE, Desk, open_desk, station
from tests.browser.windows import PATIENCE, opened
from tests.support.trees import Tree

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE)

EVERYBODYS: Final = ["Home", "Payments", "Claims", "Work queue", "Books", "Events", "Settings"]
LINKS: Final = {
    "owner": ["Batch refunds", "Webhooks", "API keys", "Sandbox"],
    "developer": ["Webhooks", "API keys", "Sandbox"],
    "operator": ["Batch refunds"],
    "disputes": [],
    "read-only": [],
}
ON_A_PAYMENT: Final = {
    "Refund": {"owner", "operator"},
    "Let something happen": {"owner", "developer"},
}
ON_A_CHARGEBACK: Final = {
    "Add": {"owner", "disputes"},
    "Send the evidence": {"owner", "disputes"},
    "Give in": {"owner", "disputes"},
}
ON_A_REFUND: Final = {
    "Approve": {"owner", "operator"},
    "Reject": {"owner", "operator"},
    "Cancel this refund": {"owner", "operator"},
}
IN_SETTINGS: Final = {"Bring somebody in": {"owner"}, "Change settings": {"owner"}}
PAGES: Final = {
    "/batches": {"owner", "operator"},
    "/webhooks": {"owner", "developer"},
    "/keys": {"owner", "developer"},
    "/sandbox": {"owner", "developer"},
    "/settings/book": {"owner"},
}
POSTED: Final = """async ([path, fields]) => {
    const token = document.querySelector('[name=formToken]').value;
    const body = new URLSearchParams({ ...fields, formToken: token });
    const answer = await fetch(path, { method: 'POST', body, redirect: 'manual' });
    return answer.type === 'opaqueredirect' ? 303 : answer.status;
}"""


@pytest.fixture(scope="module")
def desk(tree: Tree, browser: Browser) -> Desk:
    """A merchant whose refunds wait for a second person."""
    made = open_desk(tree, browser, "MCH-PEOPLE")
    tree.told("books", "set", "MCH-PEOPLE", "threshold=0")
    return made


class Crew(dict[str, StorageState]):
    """One person of each role, signed in when first asked for."""

    def __init__(self, desk: Desk) -> None:
        """Nobody yet."""
        super().__init__()
        self._desk = desk

    def __missing__(self, role: str) -> StorageState:
        self[role] = self._desk.comes_in(self._desk.hire(role, test=role))
        return self[role]


@pytest.fixture(scope="module")
def states(desk: Desk) -> Crew:
    """The merchant's people."""
    return Crew(desk)


def asked(desk: Desk) -> str:
    """A refund that waits for a second person."""
    payment = desk.shop.take_payment()
    return str(desk.shop.post(f"/payments/{payment}/refund", {"amount": 7})["refundId"])


class Things:
    """What there is to be looked at: a payment, a refund that waits, a chargeback."""

    def __init__(self, desk: Desk) -> None:
        """Made anew."""
        self.payment = desk.shop.take_payment()
        self.refund = asked(desk)
        charged = desk.shop.take_payment()
        told = desk.shop.post(f"/payments/{charged}/simulate", {"action": "chargeback"}, 200)
        self.case = str(told["claimId"])


@pytest.fixture(scope="module")
def things(desk: Desk) -> Things:
    """Looked at by everybody."""
    return Things(desk)


def offered(page: Page, wanted: dict[str, set[str]]) -> set[str]:
    """Which of these links, buttons and folded forms the page has."""
    texts = page.locator("main a, main button, main summary").all_inner_texts()
    return {one for one in wanted if any(text.startswith(one) for text in texts)}


def allowed(wanted: dict[str, set[str]], role: str) -> set[str]:
    """Which of them the role may have."""
    return {one for one, roles in wanted.items() if role in roles}


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_a_role_sees_what_it_may_do_and_does_no_more(
    browser: Browser,
    desk: Desk,
    states: Crew,
    things: Things,
    pictures: Path,
    role: str,
) -> None:
    places = (
        (f"/payments/{things.payment}", ON_A_PAYMENT),
        (f"/claims/{things.case}", ON_A_CHARGEBACK),
        (f"/claims/{things.refund}", ON_A_REFUND),
        ("/settings", IN_SETTINGS),
    )
    with opened(browser, states[role]) as page:
        page.goto(f"{desk.base}/")
        assert sorted(page.locator(".pages a").all_inner_texts()) == sorted(
            EVERYBODYS + LINKS[role]
        )
        station(page, pictures, f"role-{role}-home")
        for number, (path, wanted) in enumerate(places):
            page.goto(desk.base + path)
            assert offered(page, wanted) == allowed(wanted, role), path
            station(page, pictures, f"role-{role}-{number}")
        for path, roles in PAGES.items():
            page.goto(desk.base + path)
            refused = page.locator("#error[data-code=forbidden]")
            expect(refused).to_have_count(0 if role in roles else 1)
        if role not in PAGES["/settings/book"]:
            station(page, pictures, f"role-{role}-refused")
        page.goto(f"{desk.base}/")
        assert _posted_anyway(page, desk, things, role) == []
    assert desk.shop.get(f"/claims/{things.refund}")["status"] == "pending"
    assert desk.shop.get(f"/claims/{things.case}")["evidence"] == []


def _posted_anyway(page: Page, desk: Desk, things: Things, role: str) -> list[tuple[str, int]]:
    """What a role may not do and yet did, by sending the form that it is not shown.

    Each answer to who may is a refusal of the API's own, so that nothing here changes anything.
    """
    forms: tuple[tuple[set[str], str, dict[str, str]], ...] = (
        ({"owner", "operator"}, f"/payments/{things.payment}/refund", {"amount": "0"}),
        ({"owner", "operator"}, f"/claims/{things.case}/approve", {}),
        ({"owner", "operator"}, f"/claims/{things.case}/reject", {"reason": "x"}),
        ({"owner", "operator"}, f"/claims/{things.case}/cancel", {}),
        ({"owner", "operator"}, "/batches/preview", {"csv": "a,b"}),
        (
            {"owner", "disputes"},
            f"/claims/{things.refund}/evidence",
            {"type": "other", "text": "x"},
        ),
        ({"owner", "disputes"}, f"/claims/{things.refund}/accept", {}),
        ({"owner", "developer"}, "/webhooks", {"events": "*", "url": "http://10.0.0.1/"}),
        ({"owner", "developer"}, "/sandbox/payments", {"amount": "0"}),
        ({"owner", "developer"}, "/keys", {"kind": "secret"}),
        ({"owner"}, "/team", {"login": "!", "name": "x", "role": "owner"}),
        ({"owner"}, "/settings/book", {"reserve": "x", "lookedAt": ""}),
    )
    wrong = []
    for roles, path, fields in forms:
        status = page.evaluate(POSTED, [desk.base + path, fields])
        if (status == 403) != (role not in roles) or status < 400:
            wrong.append((path, status))
    return wrong


@contextmanager
def by_keys_on(browser: Browser, state: StorageState, desk: Desk, claim: str) -> Iterator[Page]:
    """A window in which somebody got to a claim from the work queue by keys alone."""
    with opened(browser, state) as page:
        page.goto(f"{desk.base}/work?reason=awaiting_approval")
        for _ in range(20):
            page.keyboard.press("j")
            if page.evaluate("document.activeElement.innerText") == claim:
                break
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/claims/{claim}")
        yield page


def test_a_second_person_approves_and_rejects_by_keys(
    browser: Browser, desk: Desk, states: Crew, pictures: Path
) -> None:
    good, bad = asked(desk), asked(desk)
    state = states["operator"]
    with by_keys_on(browser, state, desk, good) as page:
        page.keyboard.press("a")
        expect(page.locator(".timeline")).to_contain_text("operator@")
        expect(page.locator("h1")).to_contain_text("Released")
        page.screenshot(path=str(pictures / "approved-by-keys.png"), full_page=True)
    with by_keys_on(browser, state, desk, bad) as page:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "reason":
                break
        page.keyboard.type("Sent twice by mistake")
        page.screenshot(path=str(pictures / "rejecting-by-keys.png"), full_page=True)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("Rejected")
        expect(page.locator(".timeline")).to_contain_text("Sent twice by mistake")
        page.screenshot(path=str(pictures / "rejected-by-keys.png"), full_page=True)
    assert desk.shop.get(f"/claims/{good}")["approval"]["by"].startswith("user:operator@")
    assert desk.shop.get(f"/claims/{bad}")["status"] == "rejected"

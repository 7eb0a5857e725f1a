"""A merchant of a test's own: its software, its people in windows, and stations along a walk.

At a station the page is looked at in both sizes: a picture of each is kept, and nothing may run out
of a small telephone's window sideways.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser, Page, StorageState

from tests.browser.windows import SMALL, WIDE, aside, fits, signed_in
from tests.dashboard.visitor import Person, Staff, decoded
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

EVERY_ROLE: Final = ("owner", "developer", "operator", "disputes", "read-only")


class Desk(NamedTuple):
    """One merchant, in its test book unless a page of the live one is named."""

    tree: Tree
    browser: Browser
    shop: Shop
    staff: Staff

    @property
    def base(self) -> str:
        """Where the test book's pages begin."""
        return f"{self.tree.dev['url']}{self.staff.book()}"

    def hire(self, name: str, **roles: str) -> Person:
        """Somebody new, with a role in the `test` or `live` book."""
        login = f"{name}@{self.staff.merchant.lower()}.example"
        return aside(lambda: self.staff.hire(login, **roles))

    def comes_in(self, person: Person) -> StorageState:
        """The state of a window in which the person has signed in."""
        return signed_in(self.browser, f"{self.tree.dev['url']}{self.link(person)}")

    def link(self, person: Person, *kind: str) -> str:
        """The path of a one-time link for the person."""
        return aside(lambda: self.staff.link(person, *kind))

    def told(self, path: str) -> dict[str, Any]:
        """What the API says, its numbers as they are written."""
        found = self.shop.call("GET", path)
        assert found.status == 200, (path, found)
        said: dict[str, Any] = decoded(found.body.decode())
        return said


def open_desk(tree: Tree, browser: Browser, merchant: str) -> Desk:
    """A new merchant."""
    shop = other_shop(tree, merchant)
    return Desk(tree, browser, shop, aside(lambda: Staff(tree, merchant)))


def station(page: Page, pictures: Path, name: str) -> None:
    """Look at the page as it stands on a desk and on a telephone."""
    page.screenshot(path=str(pictures / f"{name}.png"), full_page=True)
    page.set_viewport_size(SMALL)  # type: ignore[arg-type]  # a plain dict here
    page.wait_for_timeout(50)  # charts follow
    assert fits(page), f"{name} runs out of a small telephone"
    page.screenshot(path=str(pictures / f"{name}-small.png"), full_page=True)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]  # the same


def amounts(page: Page) -> set[str]:
    """Every amount on the page, as a machine reads it."""
    return set(page.locator("data").evaluate_all("(all) => all.map((one) => one.value)"))

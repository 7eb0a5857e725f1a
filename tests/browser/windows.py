"""Windows of a real browser, and what may never happen in one.

A script that was stopped, a style that was refused, a dialog of the browser's own, or a request
that left for elsewhere fails the test that had the window open.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from playwright.sync_api import Browser, BrowserContext, Page, StorageState

AXE: Final = Path(__file__).with_name("vendored") / "axe.min.js"
WIDE: Final = {"width": 1280, "height": 860}
SMALL: Final = {"width": 360, "height": 740}
PATIENCE: Final = 30_000
NOBODY: Final[StorageState] = {"cookies": [], "origins": []}
DASHBOARD: Final = r"http://127\.0\.0\.1:\d+/dashboard/"
HARMLESS: Final = "status of 4|^Clear-Site-Data header on"

Found = TypeVar("Found")


@contextmanager
def opened(
    browser: Browser,
    state: StorageState,
    size: dict[str, int] = WIDE,
    *,
    ours: str = DASHBOARD,
    harmless: str = HARMLESS,
    **more: Any,  # noqa: ANN401 - what a window takes
) -> Iterator[Page]:
    """A window; nothing may be asked but what is `ours`, nothing said but what is `harmless`."""
    context: BrowserContext = browser.new_context(
        storage_state=state,
        viewport=size,  # type: ignore[arg-type]  # a plain dict here
        **more,
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    try:
        yield page
    finally:
        context.close()
    strangers = [one for one in asked if not re.match(ours, one)]
    told = [text for text in wrong if not re.search(harmless, text)]
    assert (strangers, told) == ([], []), f"asked of {strangers}, told {told}"


def fits(page: Page) -> bool:
    """Whether nothing runs out of the window sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def barriers(page: Page, script: str) -> list[tuple[str, ...]]:
    """What axe finds on the page in light, and in dark as far as colours go.

    `script`: axe; the page's policy binds the page's own scripts, not the debugger's.
    """
    page.emulate_media(color_scheme="light", reduced_motion="reduce")  # else colours fade over
    page.evaluate(script)
    told = _violations(page, "axe.run()")
    page.emulate_media(color_scheme="dark")
    told += _violations(page, "axe.run({ runOnly: ['color-contrast', 'link-in-text-block'] })")
    return told


def _violations(page: Page, run: str) -> list[tuple[str, ...]]:
    return [
        (one["impact"], one["id"], node["html"][:160], node["failureSummary"][:200])
        for one in page.evaluate(f"{run}.then((done) => done.violations)")
        for node in one["nodes"]
    ]


def aside(work: Callable[[], Found]) -> Found:
    """Do something on a thread of its own: the browser holds this one's event loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


def signed_in(browser: Browser, url: str) -> StorageState:
    """The state of a window that came in by a one-time link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button").click()
    page.wait_for_url("**/dashboard/bk_*/")
    kept = context.storage_state()
    context.close()
    return kept

"""A real browser for pages: Debian's Chromium. Where there is none the tests are skipped, aloud."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.trees import Tree

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, without a window. It holds the thread's loop, so it ends with its module."""
    if CHROMIUM is None:
        pytest.skip("pages were not looked at: install Chromium (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree that serves all windows."""
    with Tree(tmp_path_factory.mktemp("browser") / ".clawback") as made:
        yield made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are put, to be looked at: SCREENSHOTS, or nowhere kept."""
    named = os.environ.get("SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Pages in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: As wide as a small phone.
PHONE = 360


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser; skip where there is none.

    No longer than a module's tests: while it runs, asyncio takes this thread for its own, and
    no flow can.
    """
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("NO BROWSER: chromium is not on the PATH (Debian: apt-get install chromium)")
    # It takes longer to start than what most tests need.
    from playwright.sync_api import sync_playwright

    # Chromium has no sandbox for root, whom containers run as.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@contextmanager
def opened(
    browser: Browser,
    page: Path,
    *,
    width: int = 1200,
    colours: Literal["light", "dark"] = "light",
) -> Iterator[tuple[Page, list[str]]]:
    """Give a file as a browser shows it, and the addresses that it asked for so far.

    Args:
        browser: of the fixture.
        page: an HTML file.
        width: of the window, in pixels.
        colours: what the user prefers.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=colours, reduced_motion="reduce"
    )
    try:
        tab = context.new_page()
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(page.resolve().as_uri())
        yield tab, requests
    finally:
        context.close()

"""The browser that some tests open pages in; they are skipped where there is none."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
]
# A busy machine may need this long for what takes a second.
_PATIENCE_MILLISECONDS = 300_000


@contextlib.contextmanager
def new_page(width: int, height: int, **options: Any) -> Iterator[Any]:
    """An empty page of Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_FLAGS, timeout=_PATIENCE_MILLISECONDS
        )
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(_PATIENCE_MILLISECONDS)
        yield page
        browser.close()

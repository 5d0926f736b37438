"""A real browser without a window, for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'
MISSING = (
    'No Chromium or Chrome to test the page in: install one, by `.venv/bin/playwright install chromium` or '
    '`apt-get install chromium`'
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open the browser of this machine; without one, a test is skipped, or fails in continuous integration."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)
        if path is None:
            (pytest.fail if os.environ.get('CI') == 'true' else pytest.skip)(MISSING)
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()

"""A real browser without a window, for tests of pages, and for a picture of the browser page:

python tests/browser.py http://127.0.0.1:7860 resources/scene.png resources/page.png
"""

import os
import shutil
import sys
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


def draw_page(address: str, image: str, picture: str):
    """Predict with the first task of a page that is being served, and write a picture of the page."""
    with open_browser() as browser:
        page = browser.new_page(viewport=dict(width=960, height=720))
        page.goto(address)
        page.locator('#file input[type=file]').set_input_files(image)
        page.locator('#input img').wait_for()
        page.get_by_role('button', name='Predict').click()
        for place in ('#prediction-0 img', '#files-0 a'):
            page.locator(place).first.wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=picture, animations='disabled')


if __name__ == '__main__':
    draw_page(*sys.argv[1:])

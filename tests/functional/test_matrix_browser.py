# SPDX-License-Identifier: Apache-2.0
"""The page of the matrix in a real browser; skipped where there is none."""

import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from consumer_guard.analysis.access import CALLER_CLASSES
from tests.commands import Commands

playwright = pytest.importorskip('playwright.sync_api')

#: A Chromium of the system, or the one that playwright installs.
_BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    with playwright.sync_playwright() as started:
        if path is None and not os.path.exists(started.chromium.executable_path):
            pytest.skip('no Chromium: apt-get install chromium')
        made = started.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield made
        made.close()


@pytest.fixture
def address(tmp_path: pathlib.Path) -> str:
    conf = tmp_path / 'consumer-guard.conf'
    conf.write_text('[consumer_guard]\nconnection = sqlite:////nowhere/placement.db\n')
    page = tmp_path / 'page.html'
    run = Commands(conf).run('matrix', '--html', str(page))
    assert run.status == 0, run.err
    return page.as_uri()


class View:
    """The page, and all that went wrong or was asked for."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on('console', lambda said: self.complaints.append(said.text))
        self.page.on('pageerror', lambda error: self.complaints.append(str(error)))
        self.page.on('request', lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def read(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1400, 420])
def test_it_is_whole_and_quiet(
    browser: Any, address: str, scheme: str, width: int
) -> None:
    view = View(
        browser,
        address,
        color_scheme=scheme,
        viewport={'width': width, 'height': 900},
    )
    assert view.complaints == []
    assert view.requests == [address]
    assert view.read('document.querySelectorAll(".matrix tbody tr").length') == len(
        CALLER_CLASSES
    )
    # Wide content scrolls in its box, never the page.
    assert view.read('document.documentElement.scrollWidth') <= width
    luminance = view.read(
        '(getComputedStyle(document.body).backgroundColor.match(/\\d+/g) || [])'
        '.slice(0, 3).reduce((sum, part) => sum + Number(part), 0)'
    )
    assert (luminance < 200) is (scheme == 'dark')
    view.page.close()


def test_a_click_shows_reason_and_rule(browser: Any, address: str) -> None:
    view = View(browser, address)
    view.page.get_by_role(
        'button', name='reader of the project, allocations:list, foreign: refused'
    ).click()
    shown = view.page.locator('#detail').inner_text()
    assert 'the rule does not allow the caller for this owner' in shown
    assert '403' in shown
    assert 'rule:consumer_guard:owner_reader' in shown
    view.page.keyboard.press('Escape')
    assert view.page.locator('#detail').inner_text() == ''
    assert view.complaints == []
    view.page.close()


def test_arrow_keys(browser: Any, address: str) -> None:
    """One tab stop for the table; arrows go on from there."""
    view = View(browser, address)
    assert (
        view.read('document.querySelectorAll("button[tabindex=\\"0\\"]").length') == 1
    )
    view.page.locator('.matrix button').first.focus()
    for key in ('ArrowDown', 'ArrowRight', 'ArrowLeft', 'ArrowLeft', 'Enter'):
        view.page.keyboard.press(key)
    label = view.read('document.activeElement.getAttribute("aria-label")')
    assert label.startswith('service, allocations:list, owned')
    assert 'by role' in view.page.locator('#detail').inner_text()
    view.page.close()


def test_paper(browser: Any, address: str) -> None:
    """All columns are on an A4 page in landscape."""
    view = View(browser, address, viewport={'width': 1047, 'height': 720})
    view.page.emulate_media(media='print')
    assert view.read('document.querySelector(".matrix").offsetWidth') <= 1047
    assert view.read('document.documentElement.scrollWidth') <= 1047
    view.page.close()

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real browser, and what it can tell of a page."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from selenium import webdriver

# Texts whose contrast with the page is below 4.5:1 (WCAG 2.1, 1.4.3).
CONTRAST = """
const parts = color => color.match(/[\\d.]+/g).slice(0, 3).map(part => {
  const c = part / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
});
const light = color => {
  const [r, g, b] = parts(color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const page = light(getComputedStyle(document.body).backgroundColor);
const texts = document.querySelectorAll("h1, h2, p, td, th, li, label, output, code, summary");
return [...texts].filter(it => {
  const own = light(getComputedStyle(it).color);
  return (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05) < 4.5;
}).map(it => it.outerHTML.slice(0, 80));
"""


@pytest.fixture
def browser(tmp_path: pathlib.Path) -> t.Iterator[webdriver.Chrome]:
    """A browser without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # What a browser asks for by itself is not there, and root has no sandbox.
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'browser'}",
    ):
        options.add_argument(flag)
    # Errors. A browser on a busy machine also says that it is slow.
    options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    with webdriver.Chrome(options, service) as driver:
        yield driver


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """Have pages shown ``light`` or ``dark``."""
    feature = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})

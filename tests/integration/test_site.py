# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site that `make docs` builds, in a real browser."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t
import urllib.parse

import pytest
from ansible_collections.closure.nixos.tests.integration._browser import CONTRAST, prefer
from selenium import webdriver

COLLECTION = pathlib.Path(__file__).parents[2]
PICTURES = COLLECTION / "tests/output"
WIDTHS = (400, 1400)
# Pages that nobody is led to: they are there for scripts.
_BY_SCRIPT = {"search.html"}

# Where the links of a page lead, and what can be led to in it.
LINKS = """
return [
  [...document.querySelectorAll("a[href], img[src], link[rel=stylesheet]")]
    .map(it => it.href || it.src),
  [...document.querySelectorAll("[id]")].map(it => it.id),
];
"""
# What is wider than its page, and does not scroll in itself.
WIDE = """
const page = document.documentElement;
if (page.scrollWidth <= page.clientWidth) return [];
return [...document.querySelectorAll("main *")]
  .filter(it => it.getBoundingClientRect().right > page.clientWidth)
  .map(it => it.outerHTML.slice(0, 100)).slice(0, 3).concat(page.scrollWidth);
"""
TEXT_SIZE = "return parseFloat(getComputedStyle(document.querySelector('article')).fontSize)"
BRIGHT = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] > 127"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The site; a warning of Sphinx, as of a reference to nothing, is a failure."""
    directory = tmp_path_factory.mktemp("site")
    # Of those of a test run, antsibull-docs would take Ansible's settings.
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    built = subprocess.run(
        [sys.executable, COLLECTION / "tests/docs/build", directory],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return directory / "html"


def crawl(browser: webdriver.Chrome, site: pathlib.Path) -> dict[str, tuple[set[str], set[str]]]:
    """Follow all links from the first page; return links and names of each page by its address."""
    pages: dict[str, tuple[set[str], set[str]]] = {}
    to_see = {(site / "index.html").as_uri()}
    while to_see:
        page = to_see.pop()
        browser.get(page)
        links, names = browser.execute_script(LINKS)
        pages[page] = set(links), set(names)
        here = {urllib.parse.urldefrag(it).url for it in links if it.startswith("file:")}
        to_see |= {it for it in here if it.endswith(".html")} - pages.keys()
    return pages


def broken(pages: t.Mapping[str, tuple[set[str], set[str]]]) -> list[str]:
    """The links that lead to no file, or to nothing in a page."""
    found = []
    for page, (links, _names) in pages.items():
        for link in (it for it in links if it.startswith("file:")):
            url, name = urllib.parse.urldefrag(link)
            there = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).exists()
            if not there or (name and urllib.parse.unquote(name) not in pages[url][1]):
                found.append(f"{page}: {link}")
    return found


@pytest.mark.soak
def test_each_page_of_the_site_is_reached_whole_and_readable(
    site: pathlib.Path, browser: webdriver.Chrome
) -> None:
    """One test, because building the site takes half a minute."""
    pages = crawl(browser, site)
    there = {it.as_uri() for it in site.rglob("*.html") if it.name not in _BY_SCRIPT}
    assert there - pages.keys() == set()
    assert broken(pages) == []
    assert browser.get_log("browser") == []
    faults: list[tuple[object, ...]] = []
    for page in sorted(pages):
        browser.get(page)
        for scheme in ("light", "dark"):
            prefer(browser, scheme)
            for width in WIDTHS:
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                if wide := browser.execute_script(WIDE):
                    faults.append((page, scheme, width, wide))
                if page.endswith(("start.html", "nixos_switch_module.html", "/index.html")):
                    PICTURES.mkdir(exist_ok=True)
                    name = "-".join([*pathlib.Path(page).parts[-2:], scheme, str(width)])
                    browser.save_screenshot(str(PICTURES / f"site-{name}.png"))
            assert browser.execute_script(BRIGHT) == (scheme == "light")
            if poor := browser.execute_script(CONTRAST):
                faults.append((page, scheme, poor[:3]))
        if (size_of_text := browser.execute_script(TEXT_SIZE)) < 14:
            faults.append((page, size_of_text))
    assert faults == []
    assert browser.get_log("browser") == []

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a fleet, its page in a real browser, and what has drifted."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._browser import CONTRAST, prefer
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    PROFILE_SET,
    build,
    difference,
    playbook,
    switch,
    trace,
    write_systems,
)
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

COLLECTION = pathlib.Path(__file__).parents[2]
PICTURES = COLLECTION / "tests/output"
STATUS = COLLECTION / "playbooks/status.yml"
DRIFT = COLLECTION / "playbooks/drift.yml"
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_ssh_retries": 0}


def shown(browser: webdriver.Chrome) -> list[str]:
    """The hosts of the rows that are to be seen, in their order."""
    rows = browser.find_elements(By.CSS_SELECTOR, "tbody tr:not([hidden]) > th")
    return [row.text for row in rows]


COMMON: dict[str, t.Any] = {
    "state": "ok",
    "system": "nixos",
    "hash": "abc",
    "version": "26.05",
    "since": "2026-11-02T10:00:00Z",
    "by": "ann",
    "revision": "8a2b1c0d9e8f",
    "result": "confirmed",
    "behind": None,
    "generation": 2,
    "nix_free": 3 << 30,
    "boot_free": None,
} | {name: [] for name in ("reboot", "failed_units", "notes", "drift", "generations", "history")}


def row(host: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"host": host} | COMMON | fields


EVIL = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'//"
NINTH = {"number": 9, "path": EVIL, "date": None, "current": True, "booted": False}
ROWS = [
    row("web10", generation=10, notes=[EVIL], version=EVIL, state="drift"),
    row(
        "web9",
        generation=9,
        generations=[NINTH],
        history=[EVIL],
        behind=True,
    ),
    row("db1", generation=None, state="unreachable", version="", notes=["no route"], nix_free=None),
]


def write_page(directory: pathlib.Path, environment: dict[str, str]) -> pathlib.Path:
    page, play = directory / "fleet.html", directory / "play.yml"
    task = {
        "ansible.builtin.template": {
            "src": str(COLLECTION / "playbooks/templates/status.html.j2"),
            "dest": str(page),
            "mode": "0644",
        }
    }
    variables = {"__status_rows": ROWS}
    text = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
    play.write_text(json.dumps(text))
    # As data, as what hosts say is.
    (directory / "rows.json").write_text(json.dumps(variables))
    subprocess.run(
        ["ansible-playbook", str(play), "-e", f"@{directory / 'rows.json'}"],
        env=os.environ | environment,
        check=True,
    )
    return page


def test_the_page_finds_sorts_and_hides_and_runs_nothing_of_a_host(
    environment: dict[str, str], tmp_path: pathlib.Path, browser: webdriver.Chrome
) -> None:
    browser.get(write_page(tmp_path, environment).as_uri())
    assert browser.title == "The fleet: 3 hosts"
    assert shown(browser) == ["web10", "web9", "db1"]
    assert EVIL in browser.find_element(By.CSS_SELECTOR, "tbody tr li").text
    assert not browser.find_elements(By.CSS_SELECTOR, "img")
    titles = [it.text for it in browser.find_elements(By.CSS_SELECTOR, "thead th")]
    cells = browser.find_elements(By.CSS_SELECTOR, "tbody tr:nth-child(2) > *")
    said = dict(zip(titles, [cell.text for cell in cells], strict=True))
    assert (said["Revision"], said["Configuration"]) == ("8a2b1c0d9e", "behind")
    assert said["Last result"] == "confirmed"
    parts = browser.find_elements(By.CSS_SELECTOR, ".bar span")
    spread = {it.get_attribute("title"): it.value_of_css_property("flex-grow") for it in parts}
    assert spread == {EVIL: "1", "26.05": "1", "unknown": "1"}
    legend = browser.find_elements(By.CSS_SELECTOR, "[aria-labelledby=spread] li")
    assert {it.text for it in legend} == {f"{version}: 1 of 3" for version in spread}
    for closed in browser.find_elements(By.CSS_SELECTOR, "summary"):
        closed.click()
    assert [it.text for it in browser.find_elements(By.CSS_SELECTOR, "details")] == [
        f"1 generations\n9, , current\n{EVIL}",
        f"1 deployment\n{EVIL}",
    ]

    sort_by = {it.text: it for it in browser.find_elements(By.CSS_SELECTOR, "thead button")}
    sort_by["Generation"].click()
    assert shown(browser) == ["db1", "web9", "web10"]
    # By the keyboard, and the other way round.
    sort_by["Generation"].send_keys(Keys.ENTER)
    assert shown(browser) == ["web10", "web9", "db1"]
    header = browser.find_element(By.CSS_SELECTOR, "[aria-sort=descending]")
    assert header.text.startswith("Generation")

    search = browser.find_element(By.ID, "search")
    search.send_keys("WEB")
    assert shown(browser) == ["web10", "web9"]
    assert browser.find_element(By.ID, "count").text == "2 of 3 hosts"
    search.clear()
    search.send_keys(Keys.SPACE, Keys.BACKSPACE)
    Select(browser.find_element(By.ID, "state")).select_by_visible_text("unreachable")
    assert shown(browser) == ["db1"]
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read(
    environment: dict[str, str],
    tmp_path: pathlib.Path,
    browser: webdriver.Chrome,
    scheme: str,
) -> None:
    prefer(browser, scheme)
    browser.get(write_page(tmp_path, environment).as_uri())
    for width in (400, 1400):
        browser.set_window_size(width, 900)
        PICTURES.mkdir(exist_ok=True)
        browser.save_screenshot(str(PICTURES / f"status-{scheme}-{width}.png"))
        # Of a table that is wider than the screen, what there is to do is seen first.
        notes = browser.find_element(By.CSS_SELECTOR, "tbody td.notes").rect
        assert width < 1000 or notes["x"] + notes["width"] <= width
        # The table scrolls in itself, the page does not.
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= browser.execute_script("return window.innerWidth")
    poor = browser.execute_script(CONTRAST)
    assert poor == []


def test_status_and_drift_of_real_hosts(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path)
    deployed = play(playbook(build(file), COPY, PROFILE_SET, switch("switch")))
    assert deployed.rc == 0, deployed.text
    named = ("-e", f"nixos_file={file}")
    drift = play(DRIFT, *named)
    assert drift.rc == 0, drift.text
    assert drift.result("node1", "Evaluate the systems of all hosts")["path"]

    # The configuration goes on: only node1 is behind it, and node3 does not evaluate.
    text = file.read_text().replace("{ }) {", '{ environment.etc.new.text = "new"; }) {', 1)
    file.write_text(text.replace('"node3" = { imports', '"node3" = { nothing = 1; imports'))
    behind = play(DRIFT, *named, "-e", f"drift_metrics={tmp_path / 'behind.prom'}")
    failed = {host: behind.stats[host]["failed"] for host in HOSTS}
    assert failed == {"node1": 1, "node2": 0, "node3": 0}, behind.text
    words = "node1: its configuration builds another system now"
    assert behind.result("node1")["msg"] == words
    assert "as it was deployed; " in (said := behind.result("node3")["msg"])
    assert "does not evaluate: The option `nothing' does not exist" in said
    assert 'host_behind{host="node1"} 1' in (tmp_path / "behind.prom").read_text()

    # By hand, and not for ever: the system that the host was seeded with.
    older = "$(readlink -f /nix/var/nix/profiles/system-1-link)"
    fleet.exec("node2", f"{older}/bin/switch-to-configuration test")
    before = {host: trace(fleet, host) for host in HOSTS}
    written = {name: tmp_path / name for name in ("fleet.json", "fleet.html", "drift.prom")}
    lost = tmp_path / "lost.yml"
    lost.write_text(json.dumps({"all": {"hosts": {"lost": NOWHERE}}}))
    status = play(
        STATUS,
        *("-i", str(lost), *named),
        *("-e", f"status_json={written['fleet.json']} status_page={written['fleet.html']}"),
    )
    assert status.rc == 0, status.text
    rows = {it["host"]: it for it in json.loads(written["fleet.json"].read_text())}
    assert {host: it["state"] for host, it in rows.items()} == {
        "node1": "behind",
        "node2": "drift",
        "node3": "ok",
        "lost": "unreachable",
    }
    assert "4 hosts: 1 unreachable, 1 drift, 1 behind, 1 ok" in status.text
    assert [rows[host]["behind"] for host in HOSTS] == [True, True, None]
    assert any("does not evaluate" in note for note in rows["node3"]["notes"])
    assert ">node2</th>" in written["fleet.html"].read_text()

    drift = play(DRIFT, "-i", str(lost), "-e", f"drift_metrics={written['drift.prom']}")
    assert drift.rc != 0
    assert {host: counts["failed"] for host, counts in drift.stats.items()} == {
        "node1": 0,
        "node2": 1,
        "node3": 0,
        "lost": 1,
    }
    said = drift.result("node2")["msg"]
    assert "was deployed last" in said
    assert (
        'closure_nixos_host_state{host="node2",state="drift"} 1'
        in written["drift.prom"].read_text()
    )
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of the user's around a deployment: a load balancer that loses no request, and failures."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import re
import threading
import typing as t
import urllib.request

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    running,
    started,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    DEPLOY,
    FAILED,
    at,
    options,
)

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/haproxy"
WEB = ("node1", "node2")
BALANCER = "node3"
HOOKS = [f"{when}_{what}" for when in ("before", "after") for what in ("run", "batch", "host")]

# A page that takes a while, so that there always is a request that a restart would cut.
SERVER = """{ pkgs, ... }: { systemd.services.t-web = {
  wantedBy = [ "multi-user.target" ];
  script = ''
    mkdir -p /run/t-web/cgi-bin; cd /run/t-web; echo up >index.html
    {
      echo '#!/bin/sh'
      echo 'sleep 0.2; printf "Content-Type: text/plain\\r\\n\\r\\n@version@"'
    } >/var/lib/t-page
    chmod +x /var/lib/t-page; ln -sfn /var/lib/t-page cgi-bin/page
    exec ${pkgs.busybox}/bin/httpd -f -p 8080 -h /run/t-web
  '';
}; }"""


def write_servers(directory: pathlib.Path, version: str) -> pathlib.Path:
    """The systems of the web servers, whose page says that version."""
    return write_systems(directory, SERVER.replace("@version@", version), hosts=WEB)


class Visitors:
    """Clients that ask for the page again and again, each as soon as it has its answer."""

    def __init__(self, url: str, number: int) -> None:
        self.answers: collections.Counter[str] = collections.Counter()
        self._url, self._over = url, threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _thread in range(number)]

    def _visit(self) -> None:
        while not self._over.is_set():
            try:
                with urllib.request.urlopen(self._url, timeout=20) as page:
                    self.answers[page.read().decode()] += 1
            except OSError as error:  # and HTTPError
                self.answers[f"lost: {error}"] += 1

    @contextlib.contextmanager
    def around(self) -> t.Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


@pytest.fixture
def balancer(fleet: Fleet) -> t.Iterator[str]:
    """HAProxy before the web servers, with the example's configuration; the address of the page."""
    text = (EXAMPLE / "haproxy.cfg").read_text()
    for number, host in enumerate(WEB, 1):
        address = fleet.hosts[host]["ansible_host"]
        text = re.sub(rf"web{number} [\d.]+", f"{host} {address}", text)
    fleet.exec(BALANCER, f"cat >/run/t-haproxy.cfg <<'E'\n{text}E\nmkdir -p /run/haproxy")
    fleet.exec(BALANCER, "systemd-run -q --unit=t-haproxy haproxy -W -f /run/t-haproxy.cfg")
    yield f"http://{fleet.hosts[BALANCER]['ansible_host']}/cgi-bin/page"
    fleet.exec(BALANCER, "systemctl stop t-haproxy")


@pytest.fixture
def hooks(tmp_path: pathlib.Path) -> dict[str, list[str]]:
    """Each hook writes a line into ``log``: its name, its host and what it is told of hosts."""
    log = tmp_path / "log"
    log.touch()
    for name in HOOKS:
        said = (
            "{{ (deploy_results if name is search('run|batch') else {'it': deploy_result}).values()"
        )
        said = (
            said.replace("name", f"'{name}'") + " | map(attribute='status') | sort | join(' ') }}"
        )
        line = f"{name} {{{{ inventory_hostname }}}} {said if 'after' in name else ''}"
        task = {
            "name": f"Write {name}",
            "ansible.builtin.shell": f"echo '{line}' >>{log}",
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local"},
        }
        stop = {
            "name": f"Refuse {name}",
            "ansible.builtin.fail": {"msg": "the hook fails"},
            "when": f"inventory_hostname + '.{name}' in refused | default([])",
        }
        (tmp_path / f"{name}.yml").write_text(json.dumps([task, stop]))
    return {f"deploy_{name}": [str(tmp_path / f"{name}.yml")] for name in HOOKS}


def logged(directory: pathlib.Path) -> list[str]:
    """What the hooks have written since the last time."""
    log = directory / "log"
    lines = [line.strip() for line in log.read_text().splitlines()]
    log.write_text("")
    return lines


@pytest.mark.soak
def test_a_load_balancer_loses_no_request(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, hooks: dict[str, list[str]], balancer: str
) -> None:
    inventory = tmp_path / "inventory.json"
    group = {"hosts": {host: {} for host in WEB}, "vars": {"haproxy_host": BALANCER}}
    inventory.write_text(json.dumps({"all": {"children": {"web": group}}}))
    first = play(
        *(DEPLOY, "-i", str(inventory), "--limit", "web"),
        *options(write_servers(tmp_path, "old"), **hooks, deploy_rollback_scope="batch"),
    )
    assert first.rc == 0, first.text
    # One batch: what is for all its hosts runs on the first of them.
    lines = logged(tmp_path)
    assert [line for line in lines if not line.split()[0].endswith("_host")] == [
        *("before_run node1", "before_batch node1"),
        *("after_batch node1 deployed deployed", "after_run node1 deployed deployed"),
    ]
    before = {host: started(fleet, host, "t-web.service") for host in WEB}

    around = {name: files for name, files in hooks.items() if not name.endswith("_host")}
    visitors = Visitors(balancer, 3)
    with visitors.around():
        played = play(
            *(EXAMPLE / "deploy.yml", "-i", str(inventory)),
            *options(write_servers(tmp_path, "new"), **around),
        )
    assert played.rc == 0, played.text
    assert set(visitors.answers) == {"old", "new"}, visitors.answers
    after = {host: started(fleet, host, "t-web.service") for host in WEB}
    assert all(after[host] not in ("", before[host]) for host in WEB)
    # Batches: the run begins and ends once, and its end knows of all of them.
    assert logged(tmp_path) == [
        *("before_run node1", "before_batch node1", "after_batch node1 deployed"),
        *("before_batch node2", "after_batch node2 deployed deployed"),
        "after_run node2 deployed deployed",
    ]


def test_hooks_that_fail_and_hooks_of_hosts_that_fail(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, hooks: dict[str, list[str]]
) -> None:
    # node1 is not taken out, and node2 is put back in vain; node3 is held.
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"node3": {"deploy_hold": "Ann"}}}}))
    common = (DEPLOY, "-i", str(inventory))
    before = {host: running(fleet, host) for host in WEB}
    file = write_servers(tmp_path, "newer")
    batch = play(*common, *options(file, refused=["node1.before_batch"], **hooks))
    assert {host: running(fleet, host) for host in WEB} == before
    assert [batch.stats[host]["failed"] for host in (*WEB, BALANCER)] == [1, 1, 0], batch.text
    assert "Refuse before_batch: the hook fails" in batch.result("node1", FAILED)["msg"]
    words = "deploy_before_batch failed on node1, so this host is as it was"
    assert words in batch.result("node2", FAILED)["msg"]
    assert sorted(logged(tmp_path)) == [
        *("after_batch node1 failed failed held", "after_host node1 failed"),
        *("after_host node2 failed", "after_run node1 failed failed held"),
        *("before_batch node1", "before_run node1"),
    ]

    hosts = play(
        *common, *options(file, refused=["node1.before_host", "node2.after_host"], **hooks)
    )
    assert running(fleet, "node1") == before["node1"]
    assert at(fleet, ["node2"])["node2"] != before["node2"]
    said = [hosts.result(host, FAILED)["msg"] for host in WEB]
    assert "Refuse before_host: the hook fails" in said[0], said
    assert re.search(
        r"deploy_after_host failed: Refuse after_host: the hook fails \(the host stays switched "
        r"\d+ -> \d+\)",
        said[1],
    ), said
    lines = logged(tmp_path)
    assert "after_host node1 failed" in lines and "after_host node2 deployed" in lines
    assert lines[-1] == "after_run node1 failed failed held", lines

    # Host after host: the first one fails, which ends the play, and with it the run.
    (tmp_path / "check.yml").write_text(
        json.dumps([{"name": "Check", "ansible.builtin.fail": {"msg": "the page is white"}}])
    )
    file = write_servers(tmp_path, "bad")
    variables = {"deploy_serial": 1, "deploy_checks": [str(tmp_path / "check.yml")]}
    ended = play(*common, "--limit", "node1,node2", *options(file, **variables, **hooks))
    assert running(fleet, "node1") == before["node1"]
    assert "node2" not in ended.stats and ended.stats["node1"]["failed"] == 1, ended.text
    assert logged(tmp_path) == [
        *("before_run node1", "before_batch node1", "before_host node1"),
        *("after_host node1 failed", "after_batch node1 failed", "after_run node1 failed"),
    ]
    # Nothing runs where nothing changes.
    checked = play(*common, "--check", *options(file, **hooks))
    assert checked.rc == 0 and logged(tmp_path) == [], checked.text

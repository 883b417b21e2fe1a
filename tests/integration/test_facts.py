# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixos_facts on real hosts: what it says is what the host says."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    PROFILE,
    PROFILE_SET,
    build,
    difference,
    module,
    playbook,
    quartet,
    recorded,
    running,
    switch,
    trace,
    write_systems,
)

FACTS = module("nixos_facts", {})
UNIT = "nixos-rebuild-switch-to-configuration.service"


def facts(played: Played, host: str) -> dict[str, t.Any]:
    found = played.result(host, "nixos_facts")["ansible_facts"]["nixos"]
    return t.cast(dict[str, t.Any], found)


def test_the_facts_are_the_hosts_own(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    deployed = play(playbook(*quartet(write_systems(tmp_path))))
    assert deployed.rc == 0, deployed.text
    before = {host: trace(fleet, host) for host in HOSTS}
    for options in (["--check"], ["-e", "ansible_user=deploy"], []):
        played = play(playbook(FACTS), *options)
        assert played.stats["node1"]["changed"] == 0
        root = facts(played, "node1")["user"] == "root"
        assert (facts(played, "node1")["deployment"] is not None) == root
        assert ("Only root sees a system on trial" in played.text) != root
    private = "find /var/lib/closure-nixos ! -type l -printf '%U %m %y\\n' | sort -u"
    for host in HOSTS:
        assert fleet.exec(host, private) == "0 600 f\n0 700 d\n"
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3
    for host in HOSTS:
        said = facts(played, host)
        system = running(fleet, host)
        assert said["running"] == said["profile"] == said["boots"] == system
        booted = fleet.exec(host, "readlink -f /run/booted-system").strip()
        assert said["booted"] == booted
        links = fleet.exec(host, f"ls -d {PROFILE}-*-link").split()
        assert len(said["generations"]) == len(links)
        (current,) = (entry for entry in said["generations"] if entry["current"])
        assert current["path"] == recorded(fleet, host)
        assert said["version"] == "26.05.standin"
        assert said["platform"] == fleet.exec(host, "uname -m").strip() + "-linux"
        assert said["nix_version"] == fleet.exec(host, "nix --version").split()[-1]
        assert said["switching"] is False
        assert said["user"] == "root"


def test_trouble_on_a_host_is_a_fact(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> None:
    file = write_systems(tmp_path, node1='{ boot.kernelVersion = "6.99.1"; }')
    play(playbook(build(file), COPY, PROFILE_SET, switch("boot"), hosts="node1"))
    fleet.exec("node2", "systemd-run --unit=t-broken --quiet /bin/false; sleep 0.3")
    fleet.exec("node3", f"systemd-run --unit={UNIT} --collect --quiet sleep 20")
    try:
        played = play(playbook(FACTS))
    finally:
        fleet.exec("node2", "systemctl reset-failed t-broken")
        fleet.exec("node3", f"systemctl stop {UNIT}")
    node1 = facts(played, "node1")
    assert node1["boots"] == node1["profile"] != node1["running"]
    assert node1["reboot_required"] is True
    assert "kernel" in " ".join(node1["reboot_reasons"])
    assert "t-broken.service" in facts(played, "node2")["failed_units"]
    assert [facts(played, host)["switching"] for host in HOSTS] == [False, False, True]

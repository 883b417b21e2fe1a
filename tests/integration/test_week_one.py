# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that are not as one thinks: held, foreign, new, switched by others; and too few of them."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    difference,
    is_at,
    module,
    playbook,
    running,
    trace,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import DEPLOY, FAILED, options
from ansible_collections.closure.nixos.tests.integration.test_status import NOWHERE

JUDGE = "See whether the host may be deployed"
FOREIGN = {"ansible_connection": "local"}
GC = "/run/t-gc-start"


def without_a_system(fleet: Fleet, play: Play, host: str) -> dict[str, t.Any]:
    """What a host says that has not even a running system, and what it refuses."""
    path = running(fleet, host)
    tasks = [
        module("nixos_facts", {}),
        module("nixos_confirm", {}, check_mode=True),
        module("nixos_switch", {"path": path, "confirm_timeout": 60}, check_mode=True),
        module("nixos_rollback", {}, check_mode=True),
    ]
    links = "/run/current-system /run/booted-system"
    fleet.exec(host, f"mkdir /run/t-links && mv {links} /run/t-links")
    try:
        played = play(playbook(*(task | {"ignore_errors": True} for task in tasks), hosts=host))
    finally:
        fleet.exec(host, "mv /run/t-links/* /run; rmdir /run/t-links")
    said = [played.result(host, it)["msg"] for it in ("nixos_confirm", "nixos_switch")]
    assert said[0].startswith(f"{host} runs no system of NixOS, so there is none to confirm. ")
    assert said[1].startswith(f"{host} runs no system of NixOS to roll back to, so nothing can ")
    rollback = played.result(host, "nixos_rollback")["msg"]
    assert "It has no generations: deploy a system to the host first." in rollback
    assert "None" not in "".join([*said, rollback])
    facts = played.result(host, "nixos_facts")["ansible_facts"]["nixos"]
    return t.cast(dict[str, t.Any], facts)


def test_hosts_that_are_held_foreign_and_new(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    inventory = tmp_path / "inventory.json"
    hosts = {"node1": {"deploy_hold": "Ann debugs it"}, "debian": FOREIGN, "lost": NOWHERE}
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    file = write_systems(tmp_path, hosts=["node2", "node3"])
    # A new host, on which other things are at work.
    fleet.exec("node2", "rm -f /nix/var/nix/profiles/system /nix/var/nix/profiles/system-*-link")
    fleet.exec("node2", "rm -f /var/lib/closure-nixos/deployment")
    fleet.exec("node2", f"printf 'nix-collect-garbage --delete-older-than 3d' >{GC}; chmod +x {GC}")
    assert without_a_system(fleet, play, "node2")["running"] is None
    timers = (
        f"systemd-run -q --on-active=1d --unit=nix-gc {GC}; systemd-run -q --unit=comin sleep 9d"
    )
    fleet.exec("node2", timers)
    untouched = {host: trace(fleet, host) for host in ("node1", "node3")}
    few = options(file, deploy_min_healthy=5)
    common = ("-i", str(inventory), "--limit", ",".join([*HOSTS, "debian", "lost"]))
    try:
        refused = play(DEPLOY, *common, *few)
        played = play(
            *(DEPLOY, *common, "--limit", "node1,node2,debian"),
            *options(file, deploy_skip_foreign="true"),
        )
    finally:
        fleet.exec("node2", "systemctl stop comin.service nix-gc.timer")
    failed = [refused.stats[it]["failed"] for it in ("node1", "node3", "debian")]
    assert (failed, refused.stats["lost"]["unreachable"]) == ([0, 1, 1], 1)
    words = "node3: 4 of 5 hosts are up, and deploy_min_healthy asks for 5. Not up: lost."
    assert words in refused.result("node3", FAILED)["msg"]
    assert difference(untouched["node3"], trace(fleet, "node3")) == []

    assert played.rc == 0, played.text
    assert is_at(fleet, "node2", running(fleet, "node2"))
    assert "no system profile yet" in played.result("node2", JUDGE)["msg"]
    assert "comin switches it" in played.text and "nix.gc deletes generations" in played.text
    said = {host: played.result(host, FAILED)["msg"] for host in ("node1", "node2", "debian")}
    assert said["node1"] == "node1: Ann debugs it" and said["debian"] == "debian: it is not NixOS"
    assert said["node2"] == "node2: switched none -> 1"
    stats = played.custom["closure_nixos"]
    statuses = [stats[host]["status"] for host in said]
    assert statuses == ["held", "deployed", "skipped"]
    # Its options and its line, and no question to it.
    assert played.stats["node1"]["ok"] == 2
    assert difference(untouched["node1"], trace(fleet, "node1")) == []

    # A profile that was set by somebody else, and a host that is no NixOS.
    fleet.exec("node3", "rm -f /var/lib/closure-nixos/deployment")
    before = trace(fleet, "node3")
    strict = play(
        *(DEPLOY, *common, "--limit", "node3,debian"),
        *options(file, deploy_unknown_profile="refuse"),
    )
    assert "not deployed from here" in strict.result("node3", FAILED)["msg"]
    assert "debian is not NixOS: it has no /etc/NIXOS" in strict.result("debian", FAILED)["msg"]
    assert difference(before, trace(fleet, "node3")) == []

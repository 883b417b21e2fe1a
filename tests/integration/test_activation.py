# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nixos_switch decides on real hosts: live or at the next boot, and what is a failure."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    PROFILE_SET,
    booted_next,
    build,
    playbook,
    quartet,
    recorded,
    running,
    started,
    switch,
    write_systems,
)


def result(played: Played, host: str) -> dict[str, t.Any]:
    return played.result(host, "nixos_switch")


def test_auto_switches_where_the_running_host_can_take_it(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    assert play(playbook(*quartet(write_systems(tmp_path)))).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    file = write_systems(
        tmp_path,
        node1='{ boot.kernelVersion = "9.9.9"; }',
        node2='{ services.dbus.implementation = "broker"; }',
    )
    tasks = build(file), COPY, PROFILE_SET, switch("auto")
    checked, first, again = (
        play(playbook(*tasks[:2], tasks[3]), "--check"),
        *(play(playbook(*tasks)) for _ in range(2)),
    )
    for played in (first, again):
        assert played.rc == 0, played.text
    for host, actions in zip(HOSTS, (["boot"], ["boot"], ["switch"]), strict=True):
        said = result(first, host)
        assert said["actions"] == actions and said["changed"]
        assert booted_next(fleet, host) == said["path"]
        assert running(fleet, host) == (old[host] if actions == ["boot"] else said["path"])
        assert said["reboot_required"] is (actions == ["boot"])
        assert again.stats[host]["changed"] == 0 and result(again, host)["actions"] == []
    assert "kernel" in result(first, "node1")["msg"]
    assert "dbus-implementation" in result(first, "node2")["msg"]
    assert result(checked, "node3")["changed"]


def test_a_specialisation_runs_and_its_system_boots(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    sleeper = 'wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "/bin/sleep infinity";'
    special = f"systemd.services.t-special = {{ {sleeper} }};"
    text = f"{{ specialisation.night.configuration = {{ {special} }}; }}"
    file = write_systems(tmp_path, text, ["node1"])
    night = switch("switch", specialisation="night")
    unknown = switch("switch", specialisation="day") | {"ignore_errors": True}
    never = switch("boot", specialisation="night") | {"ignore_errors": True}
    tasks = build(file), COPY, PROFILE_SET, never, unknown, night, night, switch("switch")
    played = play(playbook(*tasks[:-1], hosts="node1"))
    assert played.results("node1", "nixos_switch"), played.text
    refused, absent, first, again = played.results("node1", "nixos_switch")
    path = first["path"]
    assert "action: boot knows no specialisation" in refused["msg"]
    assert absent["msg"] == f"{path} has no specialisation day. Choose one of these: night."
    assert first["actions"] == ["boot", "test"] and first["changed"], first
    assert running(fleet, "node1") == first["system_after"] != path
    assert booted_next(fleet, "node1") == path
    assert started(fleet, "node1", "t-special")
    assert (again["changed"], again["actions"]) == (False, [])

    back = play(playbook(build(file), switch("switch"), switch("test", force=True), hosts="node1"))
    home, forced = back.results("node1", "nixos_switch")
    assert home["changed"] and running(fleet, "node1") == path
    assert not started(fleet, "node1", "t-special")
    assert (forced["changed"], forced["actions"]) == (False, ["test"])
    assert forced["outcome"] == "ok" and forced["report"]["activation_began"]


BROKEN = 'wantedBy = [ "multi-user.target" ]; serviceConfig.Type = "oneshot"; script = "exit 3";'


def test_only_units_that_fail_now_and_go_on_failing_count(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    flaky = """wantedBy = [ "multi-user.target" ];
      serviceConfig = { Restart = "on-failure"; RestartSec = 3; };
      script = "test -e /run/t-tried || { touch /run/t-tried; exit 1; }; exec sleep infinity";"""
    configuration = {
        "node1": f"{{ systemd.services.t-broken = {{ {BROKEN} }}; }}",
        "node2": f"{{ systemd.services.t-flaky = {{ {flaky} }}; }}",
        "node3": f"{{ systemd.services = {{ t-a = {{ {BROKEN} }}; t-b = {{ {BROKEN} }}; }}; }}",
    }
    fleet.exec("node2", "rm -f /run/t-tried")
    chosen = "{{ {'node1': 'ignore', 'node2': 'fail', 'node3': 'warn'}[inventory_hostname] }}"
    lenient = switch("switch", failed_units=chosen, ignore_units=["t-a*"])
    file = write_systems(tmp_path, **configuration)
    first = play(playbook(build(file), COPY, PROFILE_SET, lenient))
    assert first.rc == 0, first.text
    said = [result(first, host) for host in HOSTS]
    assert [it["outcome"] for it in said] == ["failed-units"] * 3
    counted = [it["newly_failed_units"] for it in said]
    assert counted == [["t-broken.service"], [], ["t-b.service"]]
    assert said[1]["report"]["failed_units"] == ["t-flaky.service"]
    warned = [len(it.get("warnings", [])) for it in said]
    assert warned == [0, 0, 1] and "t-b.service" in said[2]["warnings"][0]

    new = write_systems(tmp_path, **configuration)
    again = play(playbook(*quartet(new), hosts="node1"))
    before = result(again, "node1")
    assert again.rc == 0 and before["outcome"] == "failed-units", again.text
    assert before["failed_units_before"] == before["failed_units"] == ["t-broken.service"]
    assert play(playbook(*quartet(write_systems(tmp_path)))).rc == 0


def test_a_full_boot_is_found_before_anything_changes(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, hosts=["node3"])
    copied = play(playbook(build(file), COPY, hosts="node3"))
    assert copied.rc == 0, copied.text
    small = "mount -t tmpfs -o size=64k tmpfs /boot && mkdir -p /boot/EFI/nixos"
    fleet.exec("node3", f"{small} && head -c 1000000 /dev/zero >/boot/full || :")
    before = recorded(fleet, "node3"), running(fleet, "node3")
    try:
        played = play(playbook(build(file), PROFILE_SET, hosts="node3"))
        after = recorded(fleet, "node3"), running(fleet, "node3")
    finally:
        fleet.exec("node3", "umount /boot")
    said = played.result("node3", "nix_profile_set")
    assert said["failed"] and said["msg"].startswith("node3: /boot has 0 bytes left"), said
    assert after == before


def test_facts_say_whom_a_host_trusts_and_what_room_it_has(fleet: Fleet, play: Play) -> None:
    facts = {"name": "nixos_facts", "closure.nixos.nixos_facts": {}}
    holder = "flock /run/nixos/switch-to-configuration.lock sleep 60"
    fleet.exec("node2", f"mkdir -p /run/nixos; systemd-run --unit=t-holder {holder}")
    try:
        rooted = play(playbook(facts))
    finally:
        fleet.exec("node2", "systemctl stop t-holder")
    plain = play(playbook(facts), "-e", "ansible_user=deploy")
    for host in HOSTS:
        said, login = (it.result(host)["ansible_facts"]["nixos"] for it in (rooted, plain))
        assert (said["nix_trusted"], login["nix_trusted"]) == (True, False)
        assert said["nix_trusted_keys"] == login["nix_trusted_keys"] != []
        assert said["nix_free"] > 0 and said["boot_free"] > 0
        assert said["kernel"] == fleet.exec(host, "uname -r").strip()
        assert said["systems"]["running"] == {
            "path": running(fleet, host),
            "version": "26.05.standin",
            "platform": said["platform"],
            "kernel": "6.12.30",
        }
        booted = {entry["path"] for entry in said["generations"] if entry["booted"]}
        assert booted == {said["booted"]}
        assert (said["switcher"] or "").endswith(f"{holder} )" if host == "node2" else "")
    assert rooted.result("node2")["ansible_facts"]["nixos"]["switching"] is True

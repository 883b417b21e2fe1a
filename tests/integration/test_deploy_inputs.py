# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role takes: flakes, finished systems, archives, reboots, specialisations, no_log."""

from __future__ import annotations

import getpass
import json
import pathlib
import re
import secrets
import signal
import subprocess
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import (
    TESTBED,
    Fleet,
    Play,
    Played,
    StartPlay,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    booted_next,
    difference,
    module,
    playbook,
    recorded,
    running,
    trace,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import DEPLOY, FAILED, at, options
from ansible_collections.closure.nixos.tests.integration.test_deploy import BUILD, paths, role

FLAKES = ("nix", "--extra-experimental-features", "nix-command flakes")
FLAKE = """{
  inputs.nixpkgs.url = "path:@nixpkgs@";
  inputs.words = { url = "path:@words@"; flake = false; };
  outputs = { self, nixpkgs, words, ... }: {
    tool = self.nixosConfigurations.node1.pkgs.runCommand "t-tool" { } "echo tool >$out";
    nixosConfigurations = builtins.mapAttrs (name: _: nixpkgs.lib.nixosSystem {
      system = "x86_64-linux";
      modules = [ { networking.hostName = name; environment.etc.nonce.text = import words; } ];
    }) { node1 = null; node2 = null; node3 = null; };
  };
}"""


def write_flake(directory: pathlib.Path) -> None:
    """A flake beside two directories that can be its input."""
    for name in ("old", "new"):
        (directory / name).mkdir()
        (directory / name / "default.nix").write_text(f'"{name} {secrets.token_hex(8)}"')
    words = {"@nixpkgs@": str(TESTBED.with_name("nixpkgs")), "@words@": str(directory / "old")}
    text = FLAKE
    for word, value in words.items():
        text = text.replace(word, value)
    (directory / "flake.nix").write_text(text)
    subprocess.run([*FLAKES, "flake", "lock", f"path:{directory}"], check=True)


def stats(played: Played) -> dict[str, t.Any]:
    """The custom stats of a run: what became of each host."""
    data = next(e["event_data"] for e in played.events if e["event"] == "playbook_on_stats")
    return t.cast(dict[str, t.Any], data["artifact_data"]["closure_nixos"])


def test_a_flake_then_its_finished_systems(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    """The flake beside the playbook is copied only; a store path and an archive are deployed.

    The one into a profile with a name, the other with its boot loader installed anew.
    """
    write_flake(tmp_path)
    (tmp_path / "site.yml").write_text(role())
    before = {host: running(fleet, host) for host in HOSTS}
    other = json.dumps({"words": "./new"})
    tool = {"attr": "tool", "name": "t-tool", "kind": "custom", "command": ["run"]}
    chosen = {
        "deploy_stop_after": "copy",
        "nixos_override_inputs": other,
        "deploy_profiles": json.dumps([tool]),
    }
    copied = play(tmp_path / "site.yml", "-e", json.dumps(chosen))
    assert copied.rc == 0, copied.text
    built = paths(copied)
    assert {host: running(fleet, host) for host in HOSTS} == before
    for host in HOSTS:
        assert fleet.exec(host, f"cat {built[host]}/etc/nonce").startswith("new ")
        assert copied.result(host, FAILED)["msg"] == f"{host}: copied"
        (profile,) = copied.result(host, "Copy what the host does not have of them")["results"]
        assert profile["path"].endswith("-t-tool"), profile
        root = "/nix/var/nix/gcroots/closure-nixos/profile-root-t-tool"
        assert fleet.exec(host, f"cat {root}; rm -rf {root}*") == "tool\n"
    archive = tmp_path / "node2.tar"
    write = {"path": built["node2"], "dest_archive": str(archive)}
    plays = json.loads(role(hosts="node1,node2"))
    plays[0]["pre_tasks"] = [
        module("nix_copy_closure", write, when="inventory_hostname == 'node2'")
    ]
    where = {"node1": built["node1"], "node2": str(archive)}
    (tmp_path / "site.yml").write_text(json.dumps(plays))
    variables = {
        "deploy_path": f"{{{{ {where}[inventory_hostname] }}}}",
        "deploy_profile": "{{ 't-role' if inventory_hostname == 'node1' else 'system' }}",
        "deploy_install_bootloader": "{{ inventory_hostname == 'node2' }}",
    }
    finished = ("-e", json.dumps(variables))
    own = {host: recorded(fleet, host) for host in where}
    for host in where:
        fleet.exec(host, "rm -f /boot/loader/installed")
    env = {"ANSIBLE_CALLBACKS_ENABLED": "closure.nixos.summary"}
    deployed, again = (play(tmp_path / "site.yml", *finished, env=env) for _time in range(2))
    for played in (deployed, again):
        assert played.rc == 0, played.text
    assert {host: running(fleet, host) for host in where} == {it: built[it] for it in where}
    assert {host: booted_next(fleet, host) for host in where} == {it: built[it] for it in where}
    assert {host: recorded(fleet, host) for host in where} == own | {"node2": built["node2"]}
    named = fleet.exec("node1", "readlink -f /nix/var/nix/profiles/system-profiles/t-role")
    assert named.strip() == built["node1"]
    installed = "test -e /boot/loader/installed && echo yes"
    said = {host: fleet.exec(host, installed, check=False) for host in where}
    assert said == {"node1": "", "node2": "yes\n"}
    for host in where:
        assert not deployed.results(host, BUILD)[-1].get("path")
        assert stats(deployed)[host]["status"] == "deployed"
        assert again.stats[host]["changed"] == 0
    lines = deployed.text[deployed.text.index("DEPLOYMENT") :].splitlines()[1:3]
    assert [line.split()[:2] for line in lines] == [[host, "switched"] for host in where]
    # Other tests find it at what its own profile holds.
    home = play(playbook(module("nixos_switch", {}), hosts="node1"))
    assert home.rc == 0 and at(fleet, ["node1"]) == {"node1": own["node1"]}, home.text
    fleet.exec("node1", "rm /nix/var/nix/profiles/system-profiles/t-role*")


def boot_ids(fleet: Fleet) -> dict[str, str]:
    """What names the boot of each host."""
    return {host: fleet.exec(host, "cat /proc/sys/kernel/random/boot_id") for host in HOSTS}


def test_a_reboot_where_one_is_required_and_a_specialisation_stays(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    kernel = '{ boot.kernelVersion = "8.8.8"; }'
    special = """{ specialisation.night.configuration = {
      environment.etc."closure-testbed/night".text = "it is night"; }; }"""
    file = write_systems(tmp_path, node1=kernel, node2=special, node3=kernel)
    boots = boot_ids(fleet)
    special_one = "{{ 'night' if inventory_hostname == 'node2' else 'keep' }}"
    first = play(DEPLOY, *options(file, deploy_specialisation=special_one))
    assert first.rc == 0, first.text
    built = paths(first)
    assert boot_ids(fleet) == boots
    night = fleet.exec("node2", f"readlink -f {built['node2']}/specialisation/night").strip()
    assert running(fleet, "node2") == night
    before = {host: trace(fleet, host) for host in HOSTS}
    # They run their systems, and node1 and node3 have not booted them.
    required = "{{ 'required' if inventory_hostname != 'node3' else 'never' }}"
    kept = play(DEPLOY, *options(file, deploy_reboot=required))
    assert kept.rc == 0, kept.text
    assert [kept.stats[host]["changed"] > 0 for host in HOSTS] == [True, False, False], kept.text
    now = boot_ids(fleet)
    assert [now[host] != boots[host] for host in HOSTS] == [True, False, False]
    assert fleet.exec("node1", "readlink -f /run/booted-system").strip() == built["node1"]
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS[1:]] == [[]] * 2
    facts = kept.result("node2", "Look at the host")["ansible_facts"]["nixos"]
    assert facts["specialisation"] == "night"
    # The playbook reboots those that need it.
    rebooted = play(pathlib.Path("closure.nixos.reboot"))
    assert rebooted.rc == 0, rebooted.text
    assert [rebooted.stats[host]["changed"] > 0 for host in HOSTS] == [False, False, True]
    assert [boot_ids(fleet)[host] != now[host] for host in HOSTS] == [False, False, True]
    assert fleet.exec("node3", "readlink -f /run/booted-system").strip() == built["node3"]
    none = play(DEPLOY, *options(file, deploy_specialisation="none"), "--limit", "node2")
    assert none.rc == 0, none.text
    assert running(fleet, "node2") == built["node2"]


def test_a_secret_of_a_check_stays_hidden_and_a_summary_names_who_was_not_begun(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    token = secrets.token_hex(8)
    check = {"name": "Log in", "ansible.builtin.fail": {"msg": token}, "no_log": True}
    (tmp_path / "check.yml").write_text(json.dumps([check]))
    words = options(write_systems(tmp_path), deploy_checks=str(tmp_path / "check.yml"))
    env = {"ANSIBLE_CALLBACKS_ENABLED": "closure.nixos.summary"}
    played = play(role(serial=1, max_fail_percentage=0), *words, env=env)
    message = played.result("node1", FAILED)["msg"]
    assert message.startswith("node1: Log in: its output is hidden, as it has no_log"), message
    # ansible-core shows the words of a failed task by itself; what is ours does not repeat them.
    for task in (FAILED, "Roll back", "Remember why"):
        assert token not in json.dumps(played.results("node1", task))
    assert token not in fleet.exec("node1", "cat /var/lib/closure-nixos/deployment")
    shown = played.text[played.text.index("DEPLOYMENT") :]
    assert "node2  not begun" in shown and "node3  not begun" in shown
    assert "node1  FAILED  Log in: " in shown


def test_an_interrupted_run_says_who_is_on_trial(
    fleet: Fleet, play: Play, start_play: StartPlay, tmp_path: pathlib.Path
) -> None:
    check = {"name": "Wait", "ansible.builtin.raw": "sleep 120"}
    (tmp_path / "check.yml").write_text(json.dumps([check]))
    old = running(fleet, "node1")
    words = options(write_systems(tmp_path), deploy_checks=str(tmp_path / "check.yml"))
    env = {"ANSIBLE_CALLBACKS_ENABLED": "closure.nixos.summary"}
    started = start_play(DEPLOY, *words, "--limit", "node1", env=env)
    until(lambda: "Wait" in started.output.read_text())
    trial = running(fleet, "node1")
    other = module("nixos_switch", {"action": "switch", "path": old, "lock_timeout": 0})
    shut_out = play(playbook(other, hosts="node1")).result("node1", "nixos_switch")["msg"]
    who = f"{re.escape(getpass.getuser())}@.*, first seen 20.*"
    assert re.fullmatch(
        r"node1 is still busy with another switch, after 0 s: a switch to nixos-system-node1-.* "
        rf"by {who}: nobody has confirmed it yet, and the host rolls back in [0-9]+ s; to end it "
        "now: ansible-playbook closure.nixos.rollback --limit node1. Run the task again when that "
        "has ended.",
        shut_out,
    ), shut_out
    assert running(fleet, "node1") == trial != old
    started.signal(signal.SIGINT)
    started.process.wait(60)
    text = " ".join(started.output.read_text().split())
    assert "node1 ON TRIAL it rolls back by itself at about" in text, text
    back = play(pathlib.Path("closure.nixos.rollback"), "--limit", "node1")
    assert back.rc == 0, back.text
    assert running(fleet, "node1") == old

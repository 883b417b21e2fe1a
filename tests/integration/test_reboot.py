# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments by a reboot: the system is booted once, and again only when it is confirmed."""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.modules import nixos_reboot
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    PROFILE,
    Task,
    build,
    module,
    playbook,
    running,
    switch,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import FAILED, at, settled
from ansible_collections.closure.nixos.tests.integration.test_module_docs import own
from ansible_collections.closure.nixos.tests.integration.test_trial import deploy

REBOOT = ("-e", "deploy_action=reboot")


def test_a_system_is_booted_once_and_stays_when_it_is_confirmed(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old = settled(fleet, play, tmp_path)
    file = write_systems(tmp_path)
    checked = deploy(play, file, "--check", *REBOOT)
    assert checked.rc == 0 and at(fleet) == old, checked.text
    # A root that is made anew at each boot keeps no record.
    record = "/var/lib/closure-nixos"
    fleet.exec("node1", f"mkdir -p -m 700 {record} && mount -t tmpfs tmpfs {record}")
    played = deploy(play, file, *REBOOT, sick=("node2",))
    new = at(fleet)
    assert [old[host] == new[host] for host in HOSTS] == [False, True, False]
    message = played.result("node2", FAILED)["msg"]
    assert "the application is sick (has booted nixos-system-" in message
    # And then the loader's files say what boots.
    fleet.exec("node1", "rm -r /var/lib/closure-nixos")
    again = deploy(play, file, *REBOOT, "--limit", "node1")
    assert again.rc == 0 and again.stats["node1"]["changed"] == 0
    for host in HOSTS:
        assert fleet.exec(host, "readlink -f /run/booted-system").strip() == new[host]


@pytest.mark.soak
def test_a_unit_that_fails_at_boot_is_not_confirmed(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    # So that there are two generations.
    assert deploy(play, write_systems(tmp_path), "--limit", "node1").rc == 0
    old = at(fleet, ["node1"])["node1"]
    unit = 'wantedBy = [ "multi-user.target" ]; script = "exit 1";'
    file = write_systems(tmp_path, node1=f"{{ systemd.services.ill = {{ {unit} }}; }}")
    assert play(playbook(put(given("old")), hosts="node1")).rc == 0
    secrets = ("-e", json.dumps({"deploy_secrets": {"t-it": {"content": "1"}} | given("new")}))
    played = deploy(play, file, *REBOOT, *secrets, "--limit", "node1")
    assert played.rc != 0
    assert at(fleet, ["node1"])["node1"] == old
    # Also on the way back a reboot loses what is in memory, and what is on a disk is as it was.
    assert fleet.exec("node1", "ls /run/keys").split() == ["t-disk", "t-it"]
    assert fleet.exec("node1", HELD) == "old old old"
    assert fleet.exec("node1", UNDO, check=False) == ""
    assert "ill.service" in played.result("node1", FAILED)["msg"]

    tried = played.result("node1", "Have the host boot the system")["path"]
    kept = f"readlink {PROFILE}-*-link; cat /boot/loader/entries/*"
    assert tried in fleet.exec("node1", kept)
    checked = play(playbook(module("nixos_rollback", {}, check_mode=True), hosts="node1"))
    assert checked.result("node1", "nixos_rollback")["to"]["path"] not in (tried, old)
    play(playbook(module("nixos_rollback", {"to": "unconfirmed"}), hosts="node1"))
    # What was never confirmed is no generation, and not in the boot menu.
    assert tried not in fleet.exec("node1", kept)
    assert at(fleet, ["node1"])["node1"] == old
    comes_back_alone(fleet, play, write_systems(tmp_path))
    assert at(fleet, ["node1"])["node1"] == old


def given(content: str) -> Task:
    """Secrets that outlive a reboot, each in its way."""
    sealed = {"content": content, "credstore": "encrypted", "with_key": "host"}
    return {"t-disk": {"content": content, "persistent": True}, "t-sealed": sealed}


def put(secrets: Task, state: str = "present") -> Task:
    return module("nixos_secrets", {"secrets": secrets, "state": state})


KEPT = "/var/lib/closure-nixos/secrets/run/keys/t-disk"
SEALED = "systemd-creds decrypt --name=t-sealed /etc/credstore.encrypted/t-sealed -"
HELD = f'echo -n "$(cat {KEPT}) $(cat /run/keys/t-disk) $({SEALED})"'
UNDO = "ls -d /run/closure-nixos/undo /var/lib/closure-nixos/undo"


def comes_back_alone(fleet: Fleet, play: Play, file: pathlib.Path) -> None:
    """A host is booted on trial and once more, and nobody looks after it."""
    seen = {"name": "seen", "ansible.builtin.raw": HELD, "changed_when": False}
    boot, reboot = switch("boot", confirm_timeout=60), module("nixos_reboot", {})
    tasks = (put(given("new"), "prepared"), boot, reboot, seen, reboot, seen)
    played = play(playbook(build(file), COPY, *tasks, hosts="node1"))
    assert played.rc == 0, played.text
    said = [it["stdout"] for it in played.results("node1", "seen")]
    assert said == ["new new new", "old old old"]
    again = play(playbook(put(given("old")), hosts="node1")).result("node1", "nixos_secrets")
    assert again["unchanged"] == ["t-disk", "t-sealed"], again
    assert fleet.exec("node1", UNDO, check=False) == ""


def test_a_reboot_waits_for_the_host(fleet: Fleet, play: Play) -> None:
    boots = {host: fleet.exec(host, "cat /proc/sys/kernel/random/boot_id") for host in HOSTS}
    task = module("nixos_reboot", {})
    # As on a host that makes its keys at each boot.
    key = "/etc/ssh/ssh_host_ed25519_key"
    fleet.exec("node3", f"mv {key} {key}.t && ssh-keygen -q -t ed25519 -N '' -f {key}")
    try:
        checked, played = play(playbook(task), "--check"), play(playbook(task))
    finally:
        fleet.exec("node3", f"mv {key}.t {key}; rm {key}.pub; systemctl restart ssh")
    assert fleet.exec("node3", "cat /proc/sys/kernel/random/boot_id") != boots["node3"]
    message = played.result("node3", "nixos_reboot")["msg"]
    assert message.startswith("node3 has come back with another host key than before: ")
    for host in HOSTS[:2]:
        said = played.result(host, "nixos_reboot")
        assert said["changed"] and said["booted"] == running(fleet, host)
        for one in (said, checked.result(host, "nixos_reboot")):
            assert own(one).keys() == yaml.safe_load(nixos_reboot.RETURN).keys()
        assert checked.result(host, "nixos_reboot")["msg"].startswith("would reboot")
        assert fleet.exec(host, "cat /proc/sys/kernel/random/boot_id") != boots[host]

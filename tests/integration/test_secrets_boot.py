# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets over a reboot, and those that a host needs before its first switch."""

from __future__ import annotations

import base64
import pathlib
import shlex

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    Task,
    module,
    playbook,
    quartet,
    write_systems,
)

HOST = "node2"
UNITS = "/etc/systemd/system.attached"
GIVEN: Task = {
    "memory": {"content": "1"},
    "volatile": {"content": "2", "credstore": "volatile"},
    "sealed": {"content": "3", "credstore": "encrypted", "with_key": "host"},
    "lasting": {"content": "4", "persistent": True, "owner": "deploy", "mode": "0440"},
}
# Started early, as a service of its own system would be.
EARLY = """[Service]
Type=oneshot
RemainAfterExit=yes
LoadCredentialEncrypted=sealed
ExecStart=/bin/sh -c 'cat /run/keys/lasting $CREDENTIALS_DIRECTORY/sealed >/run/t-early'
[Unit]
DefaultDependencies=no
After=sysinit.target
"""


def test_a_reboot_keeps_what_lasts_and_loses_what_is_in_memory(fleet: Fleet, play: Play) -> None:
    put = module("nixos_secrets", {"secrets": GIVEN})
    assert play(playbook(put, hosts=HOST)).rc == 0
    wants = f"{UNITS}/basic.target.wants"
    fleet.exec(HOST, f"mkdir -p {wants}; cat >{UNITS}/t-early.service <<'END'\n{EARLY}END\n")
    fleet.exec(HOST, f"ln -s ../t-early.service {wants}/t-early.service")
    try:
        assert play(playbook(module("nixos_reboot", {}), hosts=HOST)).rc == 0
        assert fleet.exec(HOST, "ls /run/keys; ls /run/credstore", check=False) == "lasting\n"
        assert fleet.exec(HOST, "stat -c %U:%a /run/keys/lasting") == "deploy:440\n"
        assert fleet.exec(HOST, "cat /run/t-early") == "43"
        again = play(playbook(put, hosts=HOST)).result(HOST, "nixos_secrets")
        assert again["added"] == ["memory", "volatile"]
        assert again["unchanged"] == ["lasting", "sealed"]
    finally:
        fleet.exec(HOST, f"rm -rf {UNITS}/t-early.service {wants}")
        pruned = play(playbook(module("nixos_secrets", {"prune": True}), hosts=HOST))
    assert pruned.result(HOST, "nixos_secrets")["removed"] == sorted(GIVEN)
    left = f"find {UNITS} /run/keys /var/lib/closure-nixos/secrets /etc/credstore.encrypted -type f"
    assert fleet.exec(HOST, left, check=False) == ""


def encrypted(fleet: Fleet, recipient: str) -> bytes:
    """A secret that only the recipient's key opens."""
    script = f"printf sesame | age -r {shlex.quote(recipient)} | base64 -w 0"
    return base64.b64decode(fleet.exec(HOST, script))


def test_sops_and_agenix_find_their_key_before_the_first_switch(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    recipients = tmp_path / "recipients.nix"
    # NixOS has it; the testbed makes none.
    fleet.exec(HOST, "cd /etc/ssh; ssh-keygen -y -f ssh_host_ed25519_key >ssh_host_ed25519_key.pub")
    public = fleet.exec(HOST, "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub").strip()
    age_key = fleet.exec(HOST, "age-keygen 2>/dev/null")
    recipient = fleet.exec(HOST, f"printf %s {shlex.quote(age_key)} | age-keygen -y").strip()
    (tmp_path / "ssh.age").write_bytes(encrypted(fleet, public))
    (tmp_path / "key.age").write_bytes(encrypted(fleet, recipient))
    # As their activation scripts do: the store has what only the host's keys open.
    needs = """{ system.activationScripts.age = ''
      /usr/bin/age -d -i /etc/ssh/ssh_host_ed25519_key ${./ssh.age} >/run/t-secret
      /usr/bin/age -d -i /var/lib/t-sops/key.txt ${./key.age} >>/run/t-secret
    ''; }"""
    read: Task = {
        "name": "Read the key",
        "ansible.builtin.raw": "cat /etc/ssh/ssh_host_ed25519_key.pub",
        "register": "host_key",
    }
    line = '{ "{{ inventory_hostname }}" = "{{ host_key.stdout.split()[:2] | join(" ") }}"; }\n'
    write: Task = {
        "name": "Write the recipients",
        "ansible.builtin.copy": {"content": line, "dest": str(recipients), "mode": "0644"},
        "delegate_to": "localhost",
    }
    key = {"content": age_key, "path": "/var/lib/t-sops/key.txt"}
    tasks = quartet(write_systems(tmp_path, needs, [HOST]))
    bootstrap = module("nixos_secrets", {"secrets": {"age-key": key}})
    played = play(playbook(read, write, bootstrap, *tasks, hosts=HOST))
    assert played.rc == 0, played.text
    assert recipients.read_text() == f'{{ "{HOST}" = "{public}"; }}\n'
    assert fleet.exec(HOST, "cat /run/t-secret") == "sesame" * 2
    assert fleet.exec(HOST, "stat -c %U:%a /var/lib/t-sops/key.txt") == "root:400\n"
    play(playbook(module("nixos_secrets", {"prune": True}), hosts=HOST))

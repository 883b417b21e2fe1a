# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that somebody else has made: their first deployment, and what a repository learns."""

from __future__ import annotations

import json
import pathlib
import subprocess

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    HOSTS,
    build,
    is_at,
    playbook,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import DEPLOY, options

HARDWARE, KNOWN = (pathlib.Path(f"closure.nixos.{name}") for name in ("hardware", "known_hosts"))
# nixos-generate-config is a program of nixpkgs, which does not run here.
GENERATE = r"""cat >/usr/local/bin/nixos-generate-config <<'EOF'
#!/bin/sh
[ "$*" = --show-hardware-config ] || exit 2
echo "warning: no such device" >&2
printf '{ ... }: {\n  # %s ä\n}\n' "$(uname -n)"
EOF
chmod +x /usr/local/bin/nixos-generate-config"""


# As `nixos-rebuild switch` does it, on a host that has heard nothing of us.
BY_HAND = """rm -rf /var/lib/closure-nixos /run/closure-nixos
nix-env -p /nix/var/nix/profiles/system --set {0}
{0}/bin/switch-to-configuration switch"""


def test_the_first_deployment_takes_what_somebody_made_as_the_way_back(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    theirs, ours = (write_systems(tmp_path, hosts=["node1"]) for _time in range(2))
    made = play(playbook(build(theirs), COPY, hosts="node1"))
    path = made.result("node1", "nix_copy_closure")["path"]
    fleet.exec("node1", BY_HAND.format(path))
    check = tmp_path / "check.yml"
    check.write_text(json.dumps([{"name": "Look", "ansible.builtin.fail": {"msg": "not well"}}]))
    only = ("--limit", "node1")
    refused = play(DEPLOY, *options(ours, deploy_checks=[str(check)]), *only)
    assert refused.rc != 0 and "not well" in refused.text
    assert is_at(fleet, "node1", path)

    deployed, again = (play(DEPLOY, *options(ours), *only) for _time in range(2))
    assert deployed.rc == 0, deployed.text
    assert not is_at(fleet, "node1", path)
    assert again.stats["node1"]["changed"] == 0
    back = play(pathlib.Path("closure.nixos.rollback"), *only)
    assert back.rc == 0 and is_at(fleet, "node1", path), back.text


def test_the_hardware_of_hosts_comes_to_the_repository(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    dest = ("-e", f"hardware_file='{tmp_path}/{{{{ inventory_hostname }}}}.nix'")
    files = {host: tmp_path / f"{host}.nix" for host in HOSTS}
    wrong = play(HARDWARE, *dest, "--limit", "node1")
    assert "node1 does not say what its hardware is" in wrong.text and not files["node1"].exists()
    for host in HOSTS:
        fleet.exec(host, GENERATE)
    try:
        checked = play(HARDWARE, *dest, "--check", "--diff")
        assert "# node2 ä" in checked.text and not files["node2"].exists()
        changes = [play(HARDWARE, *dest, *more) for more in ((), ("--check",), ())]
    finally:
        for host in HOSTS:
            fleet.exec(host, "rm /usr/local/bin/nixos-generate-config")
    counts = [[played.stats[host]["changed"] for host in HOSTS] for played in (checked, *changes)]
    assert counts == [[1] * 3, [1] * 3, [0] * 3, [0] * 3]
    for host, file in files.items():
        assert file.read_text(encoding="utf-8") == f"{{ ... }}: {{\n  # {host} ä\n}}\n"


def test_hosts_tell_their_keys_by_a_connection_that_is_trusted(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    known = tmp_path / "known hosts"
    # As a host that was installed anew; and one that has a key's private half alone.
    other = fleet.exec("node2", "ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key")
    known.write_text(f"{fleet.hosts['node1']['ansible_host']} {other}")
    keep = "ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key >/etc/ssh/ssh_host_ed25519_key.pub"
    fleet.exec("node3", keep)
    before = known.read_text()
    dest = ("-e", f"known_hosts_file='{known}'")
    checked = play(KNOWN, *dest, "--check", "--diff")
    assert known.read_text() == before
    first, again_checked, again = (play(KNOWN, *dest, *more) for more in ((), ("--check",), ()))
    counts = [
        {played.stats[host]["changed"] for host in HOSTS}
        for played in (checked, first, again_checked, again)
    ]
    assert counts == [{1}, {1}, {0}, {0}]
    for variables in fleet.hosts.values():
        options = {
            "UserKnownHostsFile": f'"{known}"',
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "/dev/null",
        }
        login = f"root@{variables['ansible_host']}"
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        key = str(fleet.inventory.with_name("id_ed25519"))
        done = subprocess.run(["ssh", "-F", "none", "-i", key, *words, login, "true"], check=False)
        assert done.returncode == 0

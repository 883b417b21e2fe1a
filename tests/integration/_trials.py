# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of systems on trial share: a deployment with checks, and what is left on the hosts."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    booted_next,
    module,
    playbook,
    recorded,
    running,
    write_systems,
)

DEPLOY = pathlib.Path("closure.nixos.deploy")
ON_TRIAL = "Activate the system on trial"
FAILED = "Say what happened"
BROKEN_HOME = "/run/t-broken-home"

# What a test breaks, a rollback has to repair: NixOS's own activation sets /bin/sh as well. And it
# can break itself.
GOOD = f"""{{ system.activationScripts = {{
  binsh = "ln -sfn dash /bin/sh";
  home = "! [ -e {BROKEN_HOME} ] || exit 1";
}}; }}"""


def options(file: pathlib.Path, **variables: object) -> tuple[str, str]:
    """The arguments of a deployment of the systems in a file."""
    if "deploy_confirm_timeout" in variables:
        variables = {"deploy_check_timeout": variables["deploy_confirm_timeout"]} | variables
    return "-e", json.dumps({"nixos_file": str(file)} | variables)


def on(**values: object) -> str:
    """A variable that differs by host: default, or the value of the host's name."""
    return f"{{{{ {json.dumps(values)}[inventory_hostname] | default({values['default']!r}) }}}}"


def at(fleet: Fleet, hosts: t.Collection[str] = HOSTS) -> dict[str, str]:
    """The one system that each host runs, has recorded and boots."""
    found = {host: _systems(fleet, host) for host in hosts}
    assert {host: len(systems) for host, systems in found.items()} == dict.fromkeys(hosts, 1)
    return {host: systems.pop() for host, systems in found.items()}


def settled(
    fleet: Fleet, play: Play, directory: pathlib.Path, hosts: t.Collection[str] = HOSTS
) -> dict[str, str]:
    """As :func:`at`, of hosts that an earlier test may have left between two systems."""
    open_hosts = [host for host in hosts if len(_systems(fleet, host)) > 1]
    if open_hosts:
        file = write_systems(directory)
        played = play(DEPLOY, *options(file), "--limit", ",".join(open_hosts))
        assert played.rc == 0, played.text
    return at(fleet, hosts)


def _systems(fleet: Fleet, host: str) -> set[str]:
    return {running(fleet, host), recorded(fleet, host), booted_next(fleet, host)}


def look(play: Play, **variables: object) -> dict[str, dict[str, t.Any]]:
    """What each host says of itself on a new connection."""
    facts = {"name": "nixos_facts", "closure.nixos.nixos_facts": {}}
    came_in = module("nixos_confirm", {}, check_mode=True)
    looked = play(playbook(came_in, facts), "-e", json.dumps(variables))
    assert looked.rc == 0, looked.text
    for host in HOSTS:
        assert looked.result(host, "nixos_confirm")["connection"] == "new"
    return {host: looked.result(host, "nixos_facts")["ansible_facts"]["nixos"] for host in HOSTS}


def deployment(fleet: Fleet, host: str) -> dict[str, str]:
    """What a host remembers of its last deployment."""
    text = fleet.exec(host, "cat /var/lib/closure-nixos/deployment")
    return dict(line.split("=", 1) for line in text.splitlines())


def outcome(fleet: Fleet, host: str) -> tuple[str, str]:
    """What became of a host's last deployment, and who brought it about."""
    record = deployment(fleet, host)
    return record["outcome"], record["by"]


def deploy_good(play: Play, fleet: Fleet, directory: pathlib.Path) -> dict[str, str]:
    """Deploy a good system as ever, which is all there is to do afterwards: host -> its path."""
    file = write_systems(directory, GOOD)
    first, again = play(DEPLOY, *options(file)), play(DEPLOY, *options(file))
    assert first.rc == again.rc == 0, first.text + again.text
    assert [again.stats[host]["changed"] for host in HOSTS] == [0] * 3, again.text
    return at(fleet)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller killed, or the host, between every two steps of a deployment on trial."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Started,
    StartPlay,
    soak_but,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    booted_next,
    running,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    DEPLOY,
    GOOD,
    at,
    deployment,
    on,
    options,
    outcome,
)

ACTIVATION = "testbed/nixpkgs/nixos/modules/system/activation"
LOADER = pathlib.Path(__file__).parents[1] / ACTIVATION / "install-bootloader.sh"


# A gate on a host: who comes to it says so and waits until it is gone.
def wait(name: str) -> str:
    gate = f"/run/t-gate-{name}"
    loop = f"while [ -e {gate} ]; do sleep 0.1; done"
    return f"if [ -e {gate} ]; then touch {gate}.reached; {loop}; fi"


GATED = f"""{{ pkgs, ... }}: {{
  imports = [ {GOOD} ];
  system.activationScripts.test = "{wait("activating")}";
  system.preSwitchChecks.test = "[ $2 != boot ] || {{ {wait("boot")}; }}";
  system.build.installBootLoader = pkgs.writeScript "install-bootloader" (builtins.replaceStrings
    [ "@busybox@" ] [ "${{pkgs.busybox}}" ] (builtins.readFile {LOADER}) + "{wait("booted")}\n");
}}"""

# A gate on the controller, in the place of ssh: stops the scripts to a host that a pattern finds.
SSH = """#!/bin/sh
gate=
case "$*" in *"/bin/sh -s"*)
    for word; do [ ! -e "$GATES/$word" ] || gate=$GATES/$word; done ;;
esac
[ -n "$gate" ] || exec ssh "$@"
script=$(mktemp -p "$GATES")
cat >"$script"
if grep -qf "$gate" "$script"; then
    touch "$gate.reached"
    while [ -e "$gate" ]; do sleep 0.1; done
fi
exec ssh "$@" <"$script"
"""
GATE = "{{ gates }}/check-{{ inventory_hostname }}"
CHECK = [
    {
        "name": "Wait at the gate",
        "ansible.builtin.shell": f"touch {GATE}.reached; while [ -e {GATE} ]; do sleep 0.1; done",
        "delegate_to": "localhost",
    }
]
BEFORE = ("activating", "activated", "checked")
AFTER = ("boot", "booted", "recorded")


@dataclasses.dataclass(frozen=True)
class Gates:
    """Where each host's deployment is stopped: between two steps, which the gate is named after."""

    fleet: Fleet
    directory: pathlib.Path
    hosts: dict[str, str]

    def close(self) -> None:
        for host, name in self.hosts.items():
            gate = self._here(host, name)
            if gate:
                patterns = {
                    "activated": "^request .* guard_reached ",
                    "recorded": "^request .* history_add ",
                }
                gate.write_text(patterns.get(name, "") + "\n")
            else:
                self.fleet.exec(host, f"touch /run/t-gate-{name}")

    def wait(self) -> None:
        for host, name in self.hosts.items():
            gate = self._here(host, name)
            if gate:
                until(pathlib.Path(f"{gate}.reached").exists)
            else:
                there = f"ls /run/t-gate-{name}.reached"
                until(functools.partial(self.fleet.exec, host, there, check=False))

    def open(self) -> None:
        for host, name in self.hosts.items():
            gate = self._here(host, name)
            if gate:
                gate.unlink(missing_ok=True)
            else:
                self.fleet.exec(host, f"rm -f /run/t-gate-{name}*")

    def _here(self, host: str, name: str) -> pathlib.Path | None:
        """The gate on the controller, if it is there."""
        if name in ("activated", "recorded"):
            return self.directory / self.fleet.hosts[host]["ansible_host"]
        return self.directory / f"check-{host}" if name == "checked" else None


def boot(fleet: Fleet, host: str) -> str:
    """Names the boot of a host that lets people in; nothing for another."""
    script = "systemctl is-active -q ssh && systemctl show -P UserspaceTimestampMonotonic"
    return fleet.exec(host, script, check=False)


def has_booted_since(fleet: Fleet, host: str, before: str) -> bool:
    return boot(fleet, host) not in ("", before)


def cut_power(fleet: Fleet) -> None:
    boots = {host: boot(fleet, host) for host in HOSTS}
    for host in HOSTS:
        fleet.exec(host, "systemctl reboot --force --force", check=False)
    for host, before in boots.items():
        until(functools.partial(has_booted_since, fleet, host, before))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
    directory = tmp_path_factory.mktemp("systems")
    return [write_systems(directory, GATED) for _time in range(2)]


@pytest.mark.parametrize("names", soak_but([BEFORE, AFTER], AFTER), ids="-".join)
@pytest.mark.parametrize("kind", soak_but(["main", "all", "power"], "power"))
def test_killed_between_two_steps(
    fleet: Fleet,
    play: Play,
    start_play: StartPlay,
    tmp_path: pathlib.Path,
    site: list[pathlib.Path],
    kind: str,
    names: tuple[str, ...],
) -> None:
    site.reverse()
    check, ssh = tmp_path / "check.yml", tmp_path / "ssh"
    check.write_text(json.dumps(CHECK))
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    variables = {"gates": str(tmp_path), "deploy_checks": [str(check)]}
    # So that each host comes to its own gate.
    env = {"GATES": str(tmp_path), "ANSIBLE_SSH_EXECUTABLE": str(ssh), "ANSIBLE_STRATEGY": "free"}
    first = play(DEPLOY, *options(site[0]), env=env)
    assert first.rc == 0, first.text
    old = at(fleet)

    gates = Gates(fleet, tmp_path, dict(zip(HOSTS, names, strict=True)))
    gates.close()
    # Those that are to be confirmed have to get that far on a busy machine.
    limits = on(default=60, **{host: 10 for host, name in gates.hosts.items() if name in BEFORE})
    limited = options(site[1], deploy_confirm_timeout=limits, **variables)
    try:
        started = start_play(DEPLOY, *limited, env=env)
        gates.wait()
        KILL[kind](fleet, started, gates)
    finally:
        gates.open()
    new = {host: deployment(fleet, host)["to"] for host in HOSTS}
    assert {host: deployment(fleet, host)["from"] for host in HOSTS} == old
    for host, name in gates.hosts.items():
        found = running(fleet, host), booted_next(fleet, host)
        confirmed = name in ("booted", "recorded") or (name == "boot" and kind != "power")
        assert found == ((new if confirmed else old)[host],) * 2, f"{host} at {name}"

    variables["deploy_checks"] = []
    finished, again = (play(DEPLOY, *options(site[1], **variables), env=env) for _time in range(2))
    assert finished.rc == again.rc == 0, finished.text + again.text
    assert [again.stats[host]["changed"] for host in HOSTS] == [0] * 3
    assert at(fleet) == new
    for host, name in gates.hosts.items():
        # There was nothing left to do where the power failed once it was the boot default.
        by_a_boot = (kind, name) == ("power", "booted")
        assert outcome(fleet, host)[0] == ("unconfirmed" if by_a_boot else "confirmed")


def kill_main(fleet: Fleet, started: Started, gates: Gates) -> None:
    """Only ansible-playbook: what its workers had on its way still arrives, as late as can be."""
    started.process.kill()
    started.process.wait()
    let_hosts_decide(fleet, gates)
    gates.open()
    until(lambda: not started.processes())
    let_hosts_decide(fleet, gates)


def kill_all(fleet: Fleet, started: Started, gates: Gates) -> None:
    started.kill()
    let_hosts_decide(fleet, gates)
    gates.open()


def kill_hosts(fleet: Fleet, started: Started, gates: Gates) -> None:
    """The power fails, and the play goes on."""
    cut_power(fleet)
    gates.open()
    assert started.process.wait(120) != 0, started.output.read_text()


KILL: dict[str, t.Callable[[Fleet, Started, Gates], None]]
KILL = {"main": kill_main, "all": kill_all, "power": kill_hosts}


def let_hosts_decide(fleet: Fleet, gates: Gates) -> None:
    """Wait for what the hosts do by themselves."""
    for host, name in gates.hosts.items():
        if name in ("activating", "boot", "booted"):
            fleet.exec(host, f"rm -f /run/t-gate-{name}")
        wanted = "rolled-back" if name in BEFORE else "confirmed"
        until(functools.partial(ended_as, fleet, host, wanted))


def ended_as(fleet: Fleet, host: str, wanted: str) -> bool:
    return outcome(fleet, host)[0] == wanted

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Systems that would be the last that anybody deploys to a host: all of them are rolled back."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    soak_but,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    PROFILE,
    booted_next,
    recorded,
    running,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import (
    BROKEN_HOME,
    DEPLOY,
    FAILED,
    GOOD,
    at,
    deploy_good,
    deployment,
    look,
    on,
    options,
    outcome,
)

BOOT = "cat /proc/sys/kernel/random/boot_id"
ROLLED_BACK = ("rolled-back", "guard")
ONCE = 'serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };'
WANTED = 'wantedBy = [ "multi-user.target" ];'

# As a configuration whose sshd does not start, and no session of the old one is left either.
NO_SSHD = f"""({{ pkgs, ... }}: {{ systemd.services.t-no-sshd = {{
  {WANTED} {ONCE} conflicts = [ "ssh.service" ];
  script = "${{pkgs.busybox}}/bin/killall sshd-session || :";
}}; }})"""


def sshd(arguments: str) -> str:
    """A system whose sshd is started with these; who is logged in stays so."""
    start = f'[ "" "/usr/sbin/sshd -D {arguments}" ]'
    return f"{{ systemd.services.ssh.serviceConfig.ExecStart = {start}; }}"


# Like a firewall with a rule too few: it lets those go on who are connected, and refuses newcomers.
NO_DOOR = sshd("-o ListenAddress=127.0.0.1")
PORT = 2222

# A file system that nobody knows fails at once; a device that is not there, after 90 s.
NO_MOUNT = """{ systemd.units."mnt.mount" = {
  requiredBy = [ "local-fs.target" ];
  text = ''
    [Unit]
    DefaultDependencies=no
    Before=local-fs.target
    [Mount]
    What=none
    Where=/mnt
    Type=t-none
  '';
}; }"""

HANGS = '{ system.activationScripts.test = "sleep infinity"; }'
NO_SHELL = '{ system.activationScripts.binsh = "ln -sfn /nowhere /bin/sh"; }'
# A timer would be set anew by each of them.
RELOADS = f"""{{ systemd.services.t-reloads = {{ {WANTED} path = [ "/usr" ];
  script = "while :; do systemctl daemon-reload; sleep 1; done"; }}; }}"""


@pytest.fixture(scope="module")
def settled() -> list[dict[str, str]]:
    """The good systems that the last test has left, if it got that far."""
    return []


@pytest.fixture
def old(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, settled: list[dict[str, str]]
) -> dict[str, str]:
    return settled.pop() if settled else deploy_good(play, fleet, tmp_path)


def runs_well(fleet: Fleet, host: str) -> bool:
    return fleet.exec(host, "systemctl is-system-running", check=False) == "running\n"


def failure(played: Played, host: str) -> str:
    assert played.results(host, FAILED), played.text
    return str(played.result(host, FAILED)["msg"])


@dataclasses.dataclass(frozen=True)
class Bad:
    """A system that takes its host away, and how that ends.

    :param why: words of the failure, :param by: who rolled the host back, "" if either may
    :param own: the host's variables
    """

    system: str
    why: str
    by: str = "guard"
    own: dict[str, int] = dataclasses.field(default_factory=dict)


CASES = {
    "nobody reaches it any more": {
        # The others need not wait for a host that is gone, and nobody could tell two of them.
        "node1": Bad(NO_SSHD, "does not answer any more"),
        "node2": Bad(NO_DOOR, "rolled back to", by=""),
        "node3": Bad(NO_MOUNT, "rolled back to"),
    },
    "it is out of its mind": {
        "node1": Bad(HANGS, "was not activated within 15 s", own={"deploy_activation_timeout": 15}),
        # It waits for the first, before its turn to be confirmed comes.
        "node2": Bad(NO_SHELL, "/bin/sh", by="task", own={"deploy_confirm_timeout": 60}),
        "node3": Bad(
            f"{{ imports = [ {RELOADS} {NO_SSHD} ]; }}", "it was not confirmed within 8 s"
        ),
    },
}
# Who is connected could confirm, and people can ask ssh to share that connection.
SHARED = "-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/tmp/t-shared-%C"


@pytest.mark.parametrize("case", soak_but(CASES, "nobody reaches it any more"))
def test_a_host_that_its_system_takes_away_rolls_back(
    fleet: Fleet,
    play: Play,
    tmp_path: pathlib.Path,
    old: dict[str, str],
    settled: list[dict[str, str]],
    case: str,
) -> None:
    hosts = CASES[case]
    file = write_systems(tmp_path, **{host: bad.system for host, bad in hosts.items()})
    limits = {"deploy_confirm_timeout": 8, "deploy_activation_timeout": 900}
    own = {
        name: on(default=limit, **{host: bad.own.get(name, limit) for host, bad in hosts.items()})
        for name, limit in limits.items()
    }
    played = play(DEPLOY, *options(file, **own), env={"ANSIBLE_SSH_ARGS": SHARED})
    assert at(fleet) == old
    facts = look(play)
    for host, bad in hosts.items():
        assert bad.why in failure(played, host), failure(played, host)
        record = facts[host]["deployment"]
        assert (record["outcome"], record["from"]) == ("rolled-back", old[host])
        assert bad.by in ("", record["by"])
        assert facts[host]["trial"]["state"] == "returned"
        until(functools.partial(runs_well, fleet, host))
    assert fleet.exec("node2", "readlink /bin/sh") == "dash\n"
    settled.append(deploy_good(play, fleet, tmp_path))


def fill_boot(fleet: Fleet, host: str) -> None:
    """Leave no room in a host's /boot."""
    small = "mount -t tmpfs -o size=1m tmpfs /boot && cp -r /run/t-boot/. /boot"
    fill = "head -c 10000000 /dev/zero >/boot/full || :"
    fleet.exec(host, f"cp -r /boot /run/t-boot && {small} && {fill}; rm -r /run/t-boot")


# Recorded, and refused before it ever ran: what runs and boots is another one.
RECORD_REFUSED = f"""set -e; cp -r /run/current-system/. /run/t-refused
rm /run/t-refused/bin/switch-to-configuration
printf '#!/bin/sh\\nexit 1\\n' >/run/t-refused/bin/switch-to-configuration
chmod +x /run/t-refused/bin/switch-to-configuration
nix-env -p {PROFILE} --set $(nix-store --add /run/t-refused); rm -r /run/t-refused"""


@pytest.mark.soak
def test_what_goes_wrong_at_the_confirmation(
    fleet: Fleet,
    play: Play,
    tmp_path: pathlib.Path,
    old: dict[str, str],
    settled: list[dict[str, str]],
) -> None:
    moved = sshd(f"-p {PORT}")
    file = write_systems(tmp_path, GOOD, node1=moved, node2=moved)
    fleet.exec("node3", RECORD_REFUSED)
    refused, boot = recorded(fleet, "node3"), fleet.exec("node3", BOOT)
    fill_boot(fleet, "node3")
    generation = fleet.exec("node3", f"readlink {PROFILE}")
    try:
        ports = on(default=22, node1=PORT)
        limit = on(default=60, node2=8)
        variables = {"deploy_confirm_port": ports, "deploy_confirm_timeout": limit}
        played = play(DEPLOY, *options(file, **variables))
        systems = at(fleet, HOSTS[:2])
    finally:
        fleet.exec("node3", "umount /boot")
    assert [systems[host] == old[host] for host in HOSTS[:2]] == [False, True], played.text
    assert systems == at(fleet, HOSTS[:2])
    # Each of the three as it was, and the host was not rebooted.
    assert refused != old["node3"]
    assert running(fleet, "node3") == booted_next(fleet, "node3") == old["node3"]
    assert (recorded(fleet, "node3"), fleet.exec("node3", BOOT)) == (refused, boot)
    assert fleet.exec("node3", f"readlink {PROFILE}") == generation
    assert outcome(fleet, "node1") == ("confirmed", "task")
    assert outcome(fleet, "node2")[0] == "rolled-back"
    assert outcome(fleet, "node3") == ROLLED_BACK
    why = failure(played, "node3")
    assert "it did not become the boot default (exit code 1). It said: " in why, why
    assert "make room in /boot" in why
    look(play, ansible_port=ports)
    # And the way home.
    home = {"ansible_port": ports, "deploy_confirm_port": 22}
    good = write_systems(tmp_path, GOOD)
    back = play(DEPLOY, *options(good, **home))
    assert back.rc == 0, back.text
    settled.append(deploy_good(play, fleet, tmp_path))


STRIKE = "systemctl kill -s KILL closure-nixos-guard; systemctl daemon-reexec"
WENT_BACK = "grep -q rolled-back /var/lib/closure-nixos/deployment"
CHECK = [
    {
        "name": "Wait for what the guard does, once it was killed and systemd has begun anew",
        "ansible.builtin.raw": f"{STRIKE}; timeout 90 sh -c 'until {WENT_BACK}; do sleep 1; done'",
        "when": "inventory_hostname == 'node3'",
    },
    {
        "name": "Break the way home",
        "ansible.builtin.raw": f"touch {BROKEN_HOME}; exit 1",
        "when": "inventory_hostname != 'node3'",
    },
]


@pytest.mark.soak
def test_a_way_home_that_is_broken_and_a_guard_that_is_killed(
    fleet: Fleet,
    play: Play,
    tmp_path: pathlib.Path,
    old: dict[str, str],
    settled: list[dict[str, str]],
) -> None:
    check = tmp_path / "check.yml"
    check.write_text(json.dumps(CHECK))
    then = on(default="reboot", node2="leave")
    variables = {
        "deploy_checks": [str(check)],
        "deploy_on_rollback_failure": then,
        "deploy_confirm_timeout": on(default=60, node3=8),
    }
    file = write_systems(tmp_path)
    booted = boot_id(fleet, "node1")
    played = play(DEPLOY, *options(file, **variables))
    until(lambda: boot_id(fleet, "node1") not in ("", booted))
    facts = look(play)
    for host in HOSTS:
        boots = facts[host]["profile"], booted_next(fleet, host)
        assert boots == (old[host], old[host])
        assert (facts[host]["running"] == old[host]) is (host != "node2")
        assert failure(played, host)
    assert outcome(fleet, "node1") == outcome(fleet, "node2") == ("rollback-failed", "task")
    assert outcome(fleet, "node3") == ROLLED_BACK
    # A reboot that nobody asked for is announced, in the message and in the record.
    for said in (failure(played, "node1"), deployment(fleet, "node1")["why"]):
        assert "it does not run whole, so the host reboots to start it" in said, said
    assert "could not roll back" in failure(played, "node2")
    assert "rolled back" in failure(played, "node3")
    fleet.exec("node2", f"rm {BROKEN_HOME}")
    settled.append(deploy_good(play, fleet, tmp_path))


def boot_id(fleet: Fleet, host: str) -> str:
    """Names the boot of a host, once it can be entered."""
    script = "systemctl show -P UserspaceTimestampMonotonic"
    return fleet.exec(host, script, check=False)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role with a system on trial: checks, the way back, and who rolls back together."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import (
    Fleet,
    Play,
    Played,
    traced,
    until,
)
from ansible_collections.closure.nixos.tests.integration._systems import HOSTS, write_systems
from ansible_collections.closure.nixos.tests.integration._trials import (
    DEPLOY,
    FAILED,
    ON_TRIAL,
    at,
    deployment,
    on,
    options,
    outcome,
    settled,
)

# A server of ssh that is neither OpenSSH's nor dropbear's, for what a host can tell of it.
PORT = 2222
SERVER, SESSION = "/usr/local/sbin/t-server", "/usr/local/sbin/t-session"
OTHER_SERVER = (
    f"cp /usr/sbin/sshd {SERVER} && cp /usr/lib/openssh/sshd-session {SESSION} && "
    f"systemd-run -q --unit=t-server {SERVER} -D -p {PORT} -o SshdSessionPath={SESSION}"
)

# Lets no new connection in, and old ones go on.
SHUT_BY = "/etc/ssh/sshd_config.d/t-shut.conf"
SHUT = f"""{{ system.activationScripts.shut =
  "echo 'DenyUsers *' >{SHUT_BY} && /usr/bin/systemctl reload ssh"; }}"""

CHECK = [
    {
        "name": "Require that the application answers",
        "ansible.builtin.assert": {
            "that": "inventory_hostname not in sick",
            "fail_msg": "the application is sick",
        },
    }
]


def deploy(
    play: Play, file: pathlib.Path, *options: str, sick: tuple[str, ...] = (), trace: str = ""
) -> Played:
    """Deploy with a check that fails on the sick hosts; with a trace in that file."""
    check = file.with_name("check.yml")
    check.write_text(json.dumps(CHECK))
    variables = {"nixos_file": str(file), "deploy_checks": [str(check)], "sick": sick}
    env = {"CLOSURE_NIXOS_TRACE": trace} if trace else {}
    return play(DEPLOY, "-e", json.dumps(variables), *options, env=env)


def trips(trace: str, host: str) -> list[str]:
    """The round trips to a host, but for those of the copy and for polls of what takes long."""
    found = [name for name, _end in traced(pathlib.Path(trace), host)]
    return [name for name in found if name != "expect" and not name.startswith("job_end")]


@pytest.fixture
def other_server(fleet: Fleet) -> t.Iterator[tuple[str, str]]:
    """Have node1 and node3 listen at another port too, by a server that nobody knows."""
    hosts = ("node1", "node3")
    for host in hosts:
        fleet.exec(host, OTHER_SERVER)
    port = on(default=22, **dict.fromkeys(hosts, PORT))
    only_one = on(default="new", node1="any")
    yield "-e", json.dumps({"ansible_port": port, "deploy_confirm_connection": only_one})
    for host in hosts:
        fleet.exec(host, f"systemctl stop t-server; rm {SERVER} {SESSION}")


def test_a_failed_check_or_a_connection_that_nobody_knows_rolls_its_host_back(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, other_server: tuple[str, str]
) -> None:
    old = settled(fleet, play, tmp_path)
    file = write_systems(tmp_path)
    checked = deploy(play, file, "--check", "--diff")
    assert checked.rc == 0 and at(fleet) == old
    played = deploy(play, file, *other_server, sick=("node2",))
    new = at(fleet)
    assert [old[host] == new[host] for host in HOSTS] == [False, True, True]
    assert played.result("node1", "Confirm the system")["connection"] == "unknown"
    unknown = "node3 does not say whether this connection is new"
    assert played.result("node3", FAILED)["msg"].count(unknown) == 1
    assert deployment(fleet, "node3")["outcome"] == "rolled-back"
    message = played.result("node2", FAILED)["msg"]
    reason = "node2: Require that the application answers: the application is sick"
    assert re.match(re.escape(f"{reason} (") + r"\w+ back to .*nixos-system-", message), message
    assert [played.stats[host]["failed"] for host in HOSTS] == [0, 1, 1]
    trace = str(tmp_path / "trace.json")
    again = deploy(play, file, trace=trace)
    assert again.rc == 0
    assert len(trips(trace, "node1")) == 1
    # Look, look, try; come in, confirm, record.
    assert len(trips(trace, "node2")) == 6, trips(trace, "node2")
    assert {host: numbers["changed"] > 0 for host, numbers in again.stats.items()} == {
        "node1": False,
        "node2": True,
        "node3": True,
    }


def test_what_has_nothing_to_check_is_activated_and_confirmed_in_one_task(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old = settled(fleet, play, tmp_path)
    variables = options(write_systems(tmp_path))
    checked = play(DEPLOY, *variables, "--check", "--diff")
    shown = checked.result("node1", ON_TRIAL)["diff"][-1]
    assert (checked.rc, shown["before"].strip(), at(fleet)) == (0, old["node1"], old)
    trace = tmp_path / "trace.json"
    played = play(DEPLOY, *variables, env={"CLOSURE_NIXOS_TRACE": str(trace)})
    assert played.rc == 0, played.text
    new = at(fleet)
    assert shown["after"].strip() == new["node1"]
    for host in HOSTS:
        tried = played.result(host, ON_TRIAL)
        assert (tried["actions"], tried["unconfirmed"]) == (["test", "boot"], False), tried
        assert tried["generation"]["path"] == new[host]
        assert outcome(fleet, host) == ("confirmed", "task")
        # Look, look, try; come in and confirm, record.
        assert len(trips(str(trace), host)) == 5, trips(str(trace), host)
    again = [play(DEPLOY, *variables, "--check"), play(DEPLOY, *variables)]
    assert [stats["changed"] for it in again for stats in it.stats.values()] == [0] * 6
    assert at(fleet) == new


def test_who_lets_nobody_in_is_not_confirmed_in_the_same_task(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old = settled(fleet, play, tmp_path)
    file = write_systems(tmp_path, SHUT, ["node1"])
    variables = options(file, deploy_confirm_timeout=10)
    played = play(DEPLOY, *variables, "--limit", "node1")
    until(lambda: outcome(fleet, "node1")[0] == "rolled-back")
    fleet.exec("node1", f"rm -f {SHUT_BY} && systemctl reload ssh")
    tried = played.result("node1", ON_TRIAL)
    assert (tried["failed"], tried["actions"]) == (True, ["test"]), tried
    assert "node1 does not answer on a new connection: " in tried["msg"], tried
    assert "rolls back by itself unless it is confirmed in time" in tried["msg"], tried
    assert at(fleet) == old
    assert played.stats["node1"]["failed"] == 1


def test_the_batch_rolls_back_with_a_host_that_fails(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old = settled(fleet, play, tmp_path)
    scope = ("-e", "deploy_rollback_scope=batch", "-e", '{"deploy_serial": [1, 2]}')
    played = deploy(play, write_systems(tmp_path), *scope, sick=("node3",))
    new = at(fleet)
    assert [old[host] == new[host] for host in HOSTS] == [False, True, True]
    message = played.result("node2", FAILED)["msg"]
    assert "these hosts were not deployed: node3 (" in message, message
    assert re.search(r"\w+ back from generation", message), message
    assert [played.stats[host]["failed"] for host in HOSTS] == [0, 1, 1]


@pytest.mark.soak
def test_the_run_rolls_back_with_a_host_that_fails(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old = settled(fleet, play, tmp_path)
    scope = ("-e", "deploy_rollback_scope=run", "-e", "deploy_serial=1")
    played = deploy(play, write_systems(tmp_path), *scope, sick=("node2",))
    assert at(fleet) == old
    assert "these hosts were not deployed: node2" in played.result("node1", FAILED)["msg"]
    assert "sick" in played.result("node2", FAILED)["msg"]
    assert not played.results("node3", "Copy what the host does not have")


@pytest.mark.soak
def test_who_leaves_the_confirmation_out_with_step_leaves_it_to_the_host(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path, environment: dict[str, str]
) -> None:
    old = settled(fleet, play, tmp_path, ["node1"])
    (tmp_path / "check.yml").write_text(json.dumps(CHECK))
    more = {"deploy_checks": [str(tmp_path / "check.yml")], "sick": []}
    variables = options(write_systems(tmp_path), deploy_confirm_timeout=10, **more)
    command = ["ansible-playbook", "-i", str(fleet.inventory), str(DEPLOY), *variables]
    printed = answered([*command, "--limit", "node1", "--step"], os.environ | environment)
    until(lambda: deployment(fleet, "node1")["outcome"] == "rolled-back")
    assert at(fleet, ["node1"]) == old
    assert "on trial" in printed.rpartition("Say what happened]")[2], printed


def answered(command: list[str], env: dict[str, str]) -> str:
    """Run what asks before each task, leave the confirmation out, and return what it printed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe) as process:
        assert process.stdin and process.stdout
        text = ""
        while piece := os.read(process.stdout.fileno(), 65536):
            text += piece.decode()
            if text.endswith("ontinue: "):
                skip = "Confirm the system" in text.rpartition("Perform task: ")[2]
                process.stdin.write(b"n\n" if skip else b"y\n")
                process.stdin.flush()
    return text

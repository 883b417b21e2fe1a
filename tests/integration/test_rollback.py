# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nixos_rollback and its playbook on real hosts: where they go, what they say, what they keep."""

from __future__ import annotations

import json
import operator
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.modules import nixos_rollback
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    PROFILE,
    Task,
    booted_next,
    difference,
    is_at,
    module,
    playbook,
    quartet,
    recorded,
    running,
    trace,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration.test_module_docs import own

# No file: ansible-playbook finds it by its name in the collection.
ROLLBACK = pathlib.Path("closure.nixos.rollback")
GO_BACK = "Roll back"
FAILED_BEFORE = "when a command failed before the activation"
HELLO = """{ pkgs, ... }: {
  environment.systemPackages = [ pkgs.hello ];
  systemd.services.greeter = { wantedBy = [ "multi-user.target" ]; script = "sleep infinity"; };
}"""


def rollback(to: object = None, action: str = "switch") -> Task:
    return module("nixos_rollback", {"action": action} | ({} if to is None else {"to": to}))


def result(played: Played, host: str, task: str = "nixos_rollback") -> dict[str, t.Any]:
    assert played.results(host, task), played.text
    return played.result(host, task)


def changed(played: Played) -> dict[str, int]:
    return {host: numbers["changed"] for host, numbers in played.stats.items()}


def links(fleet: Fleet, host: str) -> dict[int, str]:
    """The generations of a host: number and path."""
    script = f"for link in {PROFILE}-*-link; do echo $link $(readlink $link); done"
    pairs = (line.split() for line in fleet.exec(host, script).splitlines())
    return {int(link.split("-")[-2]): path for link, path in pairs}


def current(fleet: Fleet, host: str) -> int:
    return int(fleet.exec(host, f"readlink {PROFILE}").split("-")[-2])


Two = dict[str, tuple[str, str]]


@pytest.fixture
def two(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> Two:
    """Deploy two systems to each host, one after the other: its name -> old and new."""
    tasks = [task for text in ("{ }", HELLO) for task in quartet(write_systems(tmp_path, text))]
    played = play(playbook(*tasks))
    assert played.rc == 0, played.text
    found = {host: played.results(host, "nixos_switch") for host in HOSTS}
    return {host: (old["path"], new["path"]) for host, (old, new) in found.items()}


def assert_documented(result: dict[str, t.Any]) -> None:
    """Nested values are those of nixos_switch, but for these. A failure leaves out empty ones."""
    documented = yaml.safe_load(nixos_rollback.RETURN)
    promised = {key for key, entry in documented.items() if entry["returned"] != FAILED_BEFORE}
    is_documented = operator.le if result.get("failed") else operator.eq
    assert is_documented(own(result).keys(), promised)
    for key in ("from", "to", "generation"):
        assert is_documented(result[key].keys(), documented[key]["contains"].keys())


def test_the_playbook_rolls_back_by_one_and_check_mode_says_where_to(
    fleet: Fleet, play: Play, two: Two
) -> None:
    generations = {host: links(fleet, host) for host in HOSTS}
    before = {host: trace(fleet, host) for host in HOSTS}
    checked = play(ROLLBACK, "--check", "--diff")
    assert changed(checked) == dict.fromkeys(HOSTS, 1), checked.text
    refused = play(ROLLBACK, "-e", "ansible_user=deploy")
    for host in HOSTS:
        assert "deploy cannot change the system" in result(refused, host, GO_BACK)["msg"]
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3

    first = play(ROLLBACK, "--diff", "-e", "rollback_serial=2")
    assert changed(first) == dict.fromkeys(HOSTS, 1), first.text
    for host, (old, new) in two.items():
        assert is_at(fleet, host, old)
        assert links(fleet, host) == generations[host]
        would, did = (result(played, host, GO_BACK) for played in (checked, first))
        assert would["to"] == did["to"] == {"number": current(fleet, host), "path": old}
        assert would["from"] == did["from"] == would["generation"]
        assert (did["from"]["path"], did["generation"]["path"]) == (new, old)
        name = old.partition("-")[2]
        way = f"from generation {did['from']['number']} to generation {did['to']['number']}, {name}"
        assert (would["msg"], did["msg"]) == (f"would roll back {way}", f"rolled back {way}")
        # What is expected beside that depends on who is logged in.
        assert would["plan"] | {"expected": {}} == did["plan"] | {"expected": {}}
        assert did["report"]["stopped"] == ["greeter.service"]
        for said in (would, did):
            assert_documented(said)
            profile, switch = said["diff"]
            assert (profile["before"], profile["after"]) == (f"{new}\n", f"{old}\n")
            assert "hello: 2.12.1 → ∅" in switch["prepared"]
    assert "would stop: greeter.service" in checked.text


@pytest.mark.soak
def test_a_number_a_path_without_a_generation_and_what_booted(
    fleet: Fleet, play: Play, two: Two
) -> None:
    booted = fleet.exec("node3", "readlink -f /run/booted-system").strip()
    goals = {"node1": two["node1"][0], "node2": two["node2"][0], "node3": booted}
    number = current(fleet, "node1") - 1
    gone = current(fleet, "node2") - 1
    fleet.exec("node2", f"rm {PROFILE}-{gone}-link")
    to = {"node1": number, "node2": goals["node2"], "node3": "booted"}
    task = rollback("{{ to[inventory_hostname] }}")
    first = play(playbook(task, vars={"to": to}))
    settled = {host: trace(fleet, host) for host in HOSTS}
    again = [play(playbook(task, vars={"to": to}), *options) for options in ((), ("--check",))]
    for host in HOSTS:
        said = result(first, host)
        assert said["changed"] and said["path"] == said["to"]["path"] == goals[host]
        assert_documented(said)
        for played in again:
            assert changed(played)[host] == 0, played.text
            assert result(played, host)["actions"] == []
            assert_documented(result(played, host))
        assert is_at(fleet, host, goals[host])
        assert difference(settled[host], trace(fleet, host)) == []
    assert current(fleet, "node1") == number and links(fleet, "node1")[number + 1]
    assert result(first, "node2")["to"]["number"] is None
    assert current(fleet, "node2") == gone + 2

    forward = play(playbook(rollback(number + 1, action="boot"), hosts="node1"))
    assert result(forward, "node1")["actions"] == ["boot"]
    assert result(forward, "node1")["msg"].endswith(", which boots from now on")
    assert running(fleet, "node1") == goals["node1"]
    assert recorded(fleet, "node1") == booted_next(fleet, "node1") == two["node1"][1]


@pytest.mark.soak
def test_back_from_a_deployment_that_failed(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    assert play(playbook(*quartet(write_systems(tmp_path)))).rc == 0
    old = {host: running(fleet, host) for host in HOSTS}
    file = write_systems(
        tmp_path,
        node1='{ system.activationScripts.test = "false"; }',
        node2='{ system.preSwitchChecks.refuses = "echo not today; exit 1"; }',
    )
    broken = play(playbook(*quartet(file), hosts="node1:node2"))
    outcomes = [result(broken, host, "nixos_switch")["outcome"] for host in HOSTS[:2]]
    assert outcomes == ["activation-failed", "not-activated"]
    number = current(fleet, "node2")
    back = play(playbook(rollback(), hosts="node1:node2"))
    # With a newer generation, the one before is the one that refuses.
    fleet.exec("node2", f"nix-env --profile {PROFILE} --set $(readlink -f /run/booted-system)")
    refused = play(playbook(rollback(), hosts="node2"))
    home = play(playbook(rollback(), hosts="node2"))
    assert back.rc == 0, back.text
    # The one that was not activated runs its old system, so that only the boot default rolls back.
    actions = [result(back, host)["actions"] for host in HOSTS[:2]]
    assert actions == [["switch"], ["boot"]]
    said = result(refused, "node2")
    assert_documented(said)
    assert (said["failed"], said["outcome"]) == (True, "not-activated")
    assert f"to generation {number}, " in said["msg"] and "refuses" in said["msg"]
    assert said["msg"].endswith(f" To try again, set to: {number}.")
    assert (said["changed"], said["generation"]["number"]) == (True, number)
    assert result(home, "node2")["from"]["number"] == number
    for host in HOSTS[:2]:
        assert is_at(fleet, host, old[host])


def test_what_it_cannot_go_to_changes_nothing(fleet: Fleet, play: Play) -> None:
    absent = f"/nix/store/{'a' * 32}-nixos-system-collected"
    for host in HOSTS:
        fleet.exec(host, f"ln -sfn {absent} {PROFILE}-1000-link")
    before = {host: trace(fleet, host) for host in HOSTS}
    cases = {
        "There is no generation 999. Choose one of these: ": 999,
        f"generation 1000 is {absent}, which is not in the host's store, or not any more": 1000,
        "neither the number of a generation, nor a store path, nor booted": "yesterday",
        "'/nix/store' is not a store path": "/nix/store",
    }
    tasks = [rollback(to) | {"name": text, "ignore_errors": True} for text, to in cases.items()]
    try:
        played = [play(playbook(*tasks), *options) for options in ((), ("--check",))]
        after = {host: trace(fleet, host) for host in HOSTS}
    finally:
        for host in HOSTS:
            fleet.exec(host, f"rm {PROFILE}-1000-link")
    for host in HOSTS:
        for one in played:
            for sentence in cases:
                said = result(one, host, sentence)
                assert said["failed"] and sentence in said["msg"], said["msg"]
                assert said["msg"].startswith(f"{host}: ")
        assert difference(before[host], after[host]) == []
    assert "Traceback" not in "".join(one.text for one in played)


def test_the_playbook_names_a_host_that_it_did_not_reach(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    nobody = fleet.hosts["node1"]["ansible_host"].rpartition(".")[0] + ".99"
    hosts = {"testbed": {"hosts": {"node1": {"ansible_host": nobody, "ansible_ssh_timeout": 3}}}}
    (tmp_path / "gone.json").write_text(json.dumps(hosts))
    untouched = trace(fleet, "node1")
    played = play(
        ROLLBACK,
        *("-i", str(tmp_path / "gone.json"), "--limit", "node1:node2"),
        *("-e", "rollback_to=booted", "-e", "rollback_serial=1"),
    )
    assert played.rc != 0
    message = played.result("node1", "Require that the host was reached")["msg"]
    assert message.startswith("node1 was not seen to roll back: ")
    assert is_at(fleet, "node2", fleet.exec("node2", "readlink -f /run/booted-system").strip())
    assert difference(untouched, trace(fleet, "node1")) == []

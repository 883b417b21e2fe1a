# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on trial on real hosts: confirmed, or rolled back, whatever happens meanwhile."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.modules import nixos_confirm, nixos_facts
from ansible_collections.closure.nixos.tests.integration import _systems
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played, until
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    COPY,
    Task,
    booted_next,
    build,
    difference,
    is_at,
    module,
    recorded,
    running,
    switch,
    trace,
    write_systems,
)
from ansible_collections.closure.nixos.tests.integration._trials import deployment, settled
from ansible_collections.closure.nixos.tests.integration.test_module_docs import own, undocumented

# One host is as good as three for what a guard does.
HOSTS = ("node1",)
playbook = functools.partial(_systems.playbook, hosts=HOSTS[0])


def trial(confirm_timeout: int = 600, **arguments: object) -> Task:
    limits = dict.fromkeys(("confirm_timeout", "check_timeout"), confirm_timeout)
    return switch("switch", **limits, **arguments)


IGNORED = {"ignore_errors": True}
CONFIRM = module("nixos_confirm", {"path": BUILT})
BACK = module("nixos_rollback", {"to": "unconfirmed", "why": "the test says so"})


SPOKEN = {"stdout", "stderr"}
RETURNED = yaml.safe_load(nixos_confirm.RETURN).keys()


def result(played: Played, host: str, task: str = "nixos_switch") -> dict[str, t.Any]:
    assert played.results(host, task), played.text
    return played.result(host, task)


def is_back(fleet: Fleet, host: str) -> bool:
    return deployment(fleet, host)["outcome"] == "rolled-back"


@pytest.fixture
def old(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> dict[str, str]:
    """The system of each host: host -> its path."""
    return settled(fleet, play, tmp_path, HOSTS)


def test_a_confirmed_system_is_recorded_and_boots(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    on_trial = build(file), COPY, trial()
    first = play(playbook(*on_trial))
    for host in HOSTS:
        said = result(first, host)
        assert said["unconfirmed"] and said["changed"] and said["actions"] == ["test"]
        assert running(fleet, host) == said["path"] != old[host]
        assert recorded(fleet, host) == booted_next(fleet, host) == old[host]
        assert deployment(fleet, host)["outcome"] == "unconfirmed"
    checked, confirmed, again = (
        play(playbook(build(file), CONFIRM), *options) for options in (["--check"], [], [])
    )
    for host in HOSTS:
        for played in (checked, confirmed, again):
            assert own(result(played, host, "nixos_confirm")).keys() - SPOKEN == RETURNED - SPOKEN
        said = result(confirmed, host, "nixos_confirm")
        assert said["changed"] and said["boots"] and said["connection"] == "new", said
        assert result(checked, host, "nixos_confirm")["changed"]
        assert not result(again, host, "nixos_confirm")["changed"]
        assert is_at(fleet, host, said["path"])
        assert deployment(fleet, host)["outcome"] == "confirmed"
        guard = fleet.exec(host, "systemctl is-active closure-nixos-guard", check=False)
        assert guard == "inactive\n"
    looked = play(playbook({"name": "facts", "closure.nixos.nixos_facts": {}}))
    documented = yaml.safe_load(nixos_facts.RETURN)["ansible_facts"]["contains"]["nixos"][
        "contains"
    ]
    for host in HOSTS:
        facts = result(looked, host, "facts")["ansible_facts"]["nixos"]
        assert undocumented(facts, documented) == set()
        for name in ("trial", "deployment"):
            assert facts[name].keys() == documented[name]["contains"].keys()
    settled = {host: trace(fleet, host) for host in HOSTS}
    plain = play(playbook(*on_trial, CONFIRM))
    for host in HOSTS:
        assert plain.stats[host]["changed"] == 0, plain.text
        assert difference(settled[host], trace(fleet, host)) == []


@pytest.mark.soak
def test_what_is_not_confirmed_says_why_and_stays_on_trial(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    absent = f"/nix/store/{'a' * 32}-nixos-system-absent"
    cases: dict[str, Task] = {
        "does not answer on a new connection": {"port": 1, "connect_timeout": 1},
        f"does not run {absent}": {"path": absent},
        "'yesterday' is not a store path": {"path": "yesterday"},
        "these units have failed: ill.service": {},
    }
    refused = [
        module("nixos_confirm", arguments) | {"name": text} | IGNORED
        for text, arguments in cases.items()
    ]
    nobody = module("nixos_confirm", {}, vars={"ansible_user": "deploy"}) | {"name": "nobody"}
    no_key = {"ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null"}
    unknown = module("nixos_confirm", {"connect_timeout": 1}, vars=no_key) | {"name": "unknown"}
    # Whoever came in by a new connection has check_timeout, longer than confirm_timeout.
    patient = switch("switch", confirm_timeout=8, check_timeout=600)
    fails = "systemd-run --wait --unit=ill false; sleep 8"
    ill: Task = {"name": "Fail", "ansible.builtin.raw": fails, "changed_when": False}
    healed: Task = {"name": "Heal", "ansible.builtin.raw": "systemctl reset-failed ill"}
    refused += [nobody | IGNORED, unknown | IGNORED]
    played = play(playbook(build(write_systems(tmp_path)), COPY, patient, ill, *refused))
    for host in HOSTS:
        said = result(played, host, "unknown")["msg"]
        assert "Host key verification failed" in said, said
        assert said.endswith("It rolls back by itself unless it is confirmed in time."), said
        for text in cases:
            said = result(played, host, text)
            assert said["failed"] and text in said["msg"], said
        assert "Set become: true" in result(played, host, "nobody")["msg"]
        assert deployment(fleet, host)["outcome"] == "unconfirmed"
        assert recorded(fleet, host) == booted_next(fleet, host) == old[host]
    again = play(playbook(healed, module("nixos_confirm", {"connect_timeout": 60})))
    for host in HOSTS:
        assert is_at(fleet, host, result(again, host, "nixos_confirm")["path"])


def test_a_test_that_is_confirmed_does_not_boot(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    test = switch("test", confirm_timeout=600)
    first = play(playbook(build(write_systems(tmp_path)), COPY, test, CONFIRM))
    again = play(playbook(module("nixos_confirm", {})))
    for host in HOSTS:
        said = result(first, host, "nixos_confirm")
        assert said["changed"] and not said["boots"]
        assert not result(again, host, "nixos_confirm")["changed"]
        assert running(fleet, host) == said["path"] != old[host]
        assert recorded(fleet, host) == booted_next(fleet, host) == old[host]


def test_without_a_confirmation_the_host_rolls_back(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    played = play(playbook(build(file), COPY, trial(5)))
    assert played.rc == 0, played.text
    for host in HOSTS:
        until(functools.partial(is_back, fleet, host))
        assert is_at(fleet, host, old[host])
        assert "was not confirmed within 5 s" in deployment(fleet, host)["why"]
    late = play(playbook(build(file), CONFIRM))
    told = play(playbook(BACK))
    for host in HOSTS:
        said = result(late, host, "nixos_confirm")
        assert said["failed"] and said["rolled_back"], said
        assert "was not confirmed within 5 s" in said["msg"]
        # Nothing of this run was on trial.
        said = result(told, host, "nixos_rollback")
        assert not said["changed"] and not said["rolled_back"]
        assert said["msg"].startswith("has nothing on trial and runs nixos-")


def test_a_rollback_at_once(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    played = play(playbook(build(write_systems(tmp_path)), COPY, trial(), BACK))
    for host in HOSTS:
        said = result(played, host, "nixos_rollback")
        assert said["changed"] and said["rolled_back"], said
        assert said["to"]["path"] == old[host] and said["msg"].startswith("rolled back to nixos-")
        assert is_at(fleet, host, old[host])
        record = deployment(fleet, host)
        assert (record["outcome"], record["by"]) == ("rolled-back", "task")
        assert record["why"].strip() == "the test says so"

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A system on trial on real hosts: confirmed, or taken back, whatever happens meanwhile."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played, until
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    COPY,
    HOSTS,
    Task,
    booted_next,
    build,
    difference,
    module,
    playbook,
    quartet,
    recorded,
    running,
    switch,
    trace,
    write_systems,
)


def trial(confirm_timeout: int = 600, **arguments: object) -> Task:
    return switch("switch", confirm_timeout=confirm_timeout, **arguments)


CONFIRM = module("nixos_confirm", {"path": BUILT})
BACK = module("nixos_rollback", {"to": "unconfirmed", "why": "the test says so"})


def result(played: Played, host: str, task: str = "nixos_switch") -> dict[str, t.Any]:
    assert played.results(host, task), played.text
    return played.result(host, task)


def is_at(fleet: Fleet, host: str, path: str) -> bool:
    return running(fleet, host) == recorded(fleet, host) == booted_next(fleet, host) == path


def is_back(fleet: Fleet, host: str) -> bool:
    return deployment(fleet, host)["outcome"] == "rolled-back"


def deployment(fleet: Fleet, host: str) -> dict[str, str]:
    text = fleet.exec(host, "cat /var/lib/closure-nixos/deployment")
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.fixture
def old(fleet: Fleet, play: Play, tmp_path: pathlib.Path) -> dict[str, str]:
    """Deploy a system to each host: host -> its path."""
    played = play(playbook(*quartet(write_systems(tmp_path))))
    assert played.rc == 0, played.text
    return {host: running(fleet, host) for host in HOSTS}


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
        said = result(confirmed, host, "nixos_confirm")
        assert said["changed"] and said["boots"] and said["connection"] == "new", said
        assert result(checked, host, "nixos_confirm")["changed"]
        assert not result(again, host, "nixos_confirm")["changed"]
        assert is_at(fleet, host, said["path"])
        assert deployment(fleet, host)["outcome"] == "confirmed"
        guard = fleet.exec(host, "systemctl is-active closure-nixos-guard", check=False)
        assert guard == "inactive\n"
    settled = {host: trace(fleet, host) for host in HOSTS}
    plain = play(playbook(*on_trial, CONFIRM))
    for host in HOSTS:
        assert plain.stats[host]["changed"] == 0, plain.text
        assert difference(settled[host], trace(fleet, host)) == []


def test_without_a_confirmation_the_host_goes_back(
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


def test_going_back_at_once(
    fleet: Fleet, play: Play, old: dict[str, str], tmp_path: pathlib.Path
) -> None:
    played = play(playbook(build(write_systems(tmp_path)), COPY, trial(), BACK))
    for host in HOSTS:
        said = result(played, host, "nixos_rollback")
        assert said["changed"] and said["rolled_back"], said
        assert said["to"]["path"] == old[host] and said["msg"].startswith("went back to nixos-")
        assert is_at(fleet, host, old[host])
        record = deployment(fleet, host)
        assert (record["outcome"], record["by"]) == ("rolled-back", "task")
        assert record["why"].strip() == "the test says so"

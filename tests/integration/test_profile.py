# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_profile_set on real hosts: generations, named profiles, and what is no system for a host."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play
from ansible_collections.closure.nixos.tests.integration._systems import (
    BUILT,
    COPY,
    HOSTS,
    PROFILE,
    PROFILE_SET,
    booted_next,
    build,
    difference,
    module,
    nix,
    playbook,
    recorded,
    running,
    switch,
    trace,
    write_systems,
)

NAMED = "/nix/var/nix/profiles/system-profiles"


def generation(fleet: Fleet, host: str, profile: str = PROFILE) -> int:
    """The number of the generation that the profile points to."""
    return int(fleet.exec(host, f"readlink {profile}").split("-")[-2])


def test_a_system_becomes_a_generation_once(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    old, new = write_systems(tmp_path), write_systems(tmp_path)
    play(playbook(build(old), COPY, PROFILE_SET))
    first = {host: generation(fleet, host) for host in HOSTS}
    text = playbook(build(new), COPY, PROFILE_SET)
    played, again = play(text), play(text)
    for host in HOSTS:
        said = played.result(host, "nix_profile_set")
        assert said["generation_before"]["number"] == first[host]
        assert said["generation"]["number"] == generation(fleet, host) == first[host] + 1
        assert said["generation"]["path"] == recorded(fleet, host) == said["path"]
        assert again.result(host, "nix_profile_set")["changed"] is False
        fleet.exec(host, f"nix-env --profile {PROFILE} --switch-generation {first[host]} 2>&-")
    # Back at the older generation, that one is no change, and the newer one is a new generation.
    same = play(playbook(build(old), PROFILE_SET))
    assert [generation(fleet, host) for host in HOSTS] == list(first.values())
    assert [same.result(host, "nix_profile_set")["changed"] for host in HOSTS] == [False] * 3
    forward = play(playbook(build(new), PROFILE_SET))
    for host in HOSTS:
        assert recorded(fleet, host) == forward.result(host, "nix_profile_set")["path"]


@pytest.mark.soak
def test_a_named_profile_is_another_list_of_generations(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path)
    profile = f"{NAMED}/blue"
    before = {host: recorded(fleet, host) for host in HOSTS}
    text = playbook(
        build(file), COPY, module("nix_profile_set", {"path": BUILT, "profile": "blue"})
    )
    checked, played, again = play(text, "--check"), play(text), play(text)
    for host in HOSTS:
        said = played.result(host, "nix_profile_set")
        assert said["profile"] == profile
        assert fleet.exec(host, f"readlink -f {profile}").strip() == said["path"]
        assert recorded(fleet, host) == before[host]
        assert fleet.exec(host, f"stat -c %a {profile.rpartition('/')[0]}").strip() == "755"
    runs = [run.result("node1", "nix_profile_set")["changed"] for run in (checked, played, again)]
    assert runs == [True, True, False]


@pytest.mark.soak
def test_a_named_profiles_system_runs_and_boots(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    file = write_systems(tmp_path, hosts=["node1"])
    record = module("nix_profile_set", {"path": BUILT, "profile": "green"})
    unset, its = (switch("switch", profile=name) for name in ("system", "green"))
    tasks = build(file), COPY, record, unset | {"ignore_errors": True}, its, its
    before = recorded(fleet, "node1")
    played = play(playbook(*tasks, hosts="node1"))
    refused, first, again = played.results("node1", "nixos_switch")
    assert "node1: /nix/var/nix/profiles/system does not hold" in refused["msg"]
    assert (first["changed"], first["outcome"]) == (True, "ok"), first
    assert first["generation"]["number"] == generation(fleet, "node1", f"{NAMED}/green")
    assert running(fleet, "node1") == booted_next(fleet, "node1") == first["path"]
    assert recorded(fleet, "node1") == before
    assert (again["changed"], again["actions"]) == (False, [])
    home = play(playbook(module("nixos_switch", {}), hosts="node1"))
    assert home.rc == 0, home.text
    assert running(fleet, "node1") == booted_next(fleet, "node1") == before


def other_path(directory: pathlib.Path, host_file: pathlib.Path, files: dict[str, str]) -> str:
    """Build a directory that holds some files of a NixOS system."""
    lines = [f"mkdir -p $out/bin; echo {text} >$out/{name}" for name, text in files.items()]
    file = directory / "other.nix"
    file.write_text(
        f"(import {host_file}).node1.pkgs.runCommand \"other\" {{ }} ''\n"
        + "\n".join(lines)
        + "\n''"
    )
    return nix("nix-build", "--no-out-link", str(file))


def test_what_is_no_system_for_the_host_is_refused(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    systems = write_systems(tmp_path)
    foreign = {"nixos-version": "26.05", "system": "aarch64-linux"}
    foreign |= {"init": "x", "bin/switch-to-configuration": "x"}
    paths = {
        "not a NixOS system": other_path(tmp_path, systems, {"hello": "world"}),
        "aarch64-linux": other_path(tmp_path, systems, foreign),
        "Copy it there first": f"/nix/store/{'a' * 32}-nixos-system-nobody",
        "store path": "/run/current-system",
    }
    copies = [
        module("nix_copy_closure", {"path": paths[reason]})
        for reason in ("not a NixOS system", "aarch64-linux")
    ]
    assert play(playbook(*copies)).rc == 0
    before = {host: trace(fleet, host) for host in HOSTS}
    tasks = [
        module("nix_profile_set", {"path": path}) | {"name": reason, "ignore_errors": True}
        for reason, path in paths.items()
    ]
    played = play(playbook(*tasks))
    assert "Traceback" not in played.text
    for reason, path in paths.items():
        for host in HOSTS:
            said = played.result(host, reason)["msg"]
            assert reason in said and path in said, said
    assert "node1" in played.result("node1", "Copy it there first")["msg"]
    assert [difference(before[host], trace(fleet, host)) for host in HOSTS] == [[]] * 3

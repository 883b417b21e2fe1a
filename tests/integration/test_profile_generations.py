# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix_profile_set by numbers on a real host: going to a generation, and deleting old ones."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    COPY,
    PROFILE_SET,
    build,
    difference,
    module,
    playbook,
    trace,
    write_systems,
)

NAME = "t-generations"
LINK = f"/nix/var/nix/profiles/system-profiles/{NAME}"


def set_to(**arguments: object) -> dict[str, t.Any]:
    return module("nix_profile_set", {"profile": NAME} | arguments)


def results(played: Played) -> list[dict[str, t.Any]]:
    return played.results("node1", "nix_profile_set")


def test_a_profile_goes_to_a_number_and_keeps_the_newest(
    fleet: Fleet, play: Play, tmp_path: pathlib.Path
) -> None:
    fleet.exec("node1", f"rm -f {LINK}*")
    own = PROFILE_SET | {"closure.nixos.nix_profile_set": {"path": "{{ nix_build_system.path }}"}}
    own["closure.nixos.nix_profile_set"]["profile"] = NAME
    for _time in range(4):
        file = write_systems(tmp_path, hosts=["node1"])
        played = play(playbook(build(file), COPY, own, hosts="node1"))
        assert played.rc == 0, played.text
    paths = [entry["path"] for entry in results(played)[-1]["generations"]]
    assert len(set(paths)) == 4

    tasks = set_to(generation=2), set_to(generation=2), set_to(keep=2)
    before = trace(fleet, "node1")
    checked = play(playbook(*tasks, hosts="node1"), "--check", "--diff")
    assert difference(before, trace(fleet, "node1")) == []
    played = play(playbook(*tasks, set_to(keep=2), hosts="node1"))
    there, again, kept, still = results(played)
    assert [it["changed"] for it in (there, again, kept, still)] == [True, False, True, False]
    assert (there["generation_before"]["number"], there["generation"]["number"]) == (4, 2)
    assert there["path"] == again["path"] == paths[1]
    assert kept["deleted"] == [1] and still["deleted"] == []
    assert [entry["number"] for entry in kept["generations_before"]] == [1, 2, 3, 4]
    assert [entry["number"] for entry in kept["generations"]] == [2, 3, 4]
    links = fleet.exec("node1", f"readlink {LINK}; ls -d {LINK}-*-link").split()
    assert links == [f"{NAME}-2-link", *(f"{LINK}-{number}-link" for number in (2, 3, 4))]
    planned = results(checked)
    assert [it["changed"] for it in planned] == [True, True, True]
    assert planned[2]["deleted"] == [1, 2]  # because nothing went to 2
    assert f"generation 1: {paths[0]}" in planned[2]["diff"]["before"]


def test_a_generation_that_is_not_there_is_answered_with_those_that_are(
    fleet: Fleet, play: Play
) -> None:
    fleet.exec("node1", f"rm -f {LINK}*")
    refusals = [set_to(generation=99), set_to(keep=1), set_to(generation=1, keep=0)]
    tasks = [
        module("nix_profile_set", {"generation": 99}),
        *refusals,
        module("nix_profile_set", {"generation": 1, "path": "/nix/store/x"}),
    ]
    played = play(playbook(*(task | {"ignore_errors": True} for task in tasks), hosts="node1"))
    said = [it["msg"] for it in results(played)]
    assert "has no generation 99. Choose one of these: " in said[0]
    assert all("deploy a system to the host first" in it for it in said[1:3])
    assert said[3].startswith("keep: 0 would delete all generations")
    assert "mutually exclusive" in said[4]

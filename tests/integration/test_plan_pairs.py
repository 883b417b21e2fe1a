# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is planned and expected of units, beside what systemd then does, over random systems."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import random
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Play
from ansible_collections.closure.nixos.tests.integration._pairs import SERVICES, module_of, walk
from ansible_collections.closure.nixos.tests.integration._systems import (
    HOSTS,
    SYSTEMS,
    Task,
    module,
    nix,
    playbook,
)

CERTAIN = ("stop", "restart", "reload", "start")


@pytest.mark.soak
def test_of_random_pairs_of_systems_nearly_all_that_acts_is_planned(
    play: Play, tmp_path: pathlib.Path
) -> None:
    """``TEST_SEED`` repeats a run, ``TEST_STEPS`` makes it shorter."""
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    steps = int(os.environ.get("TEST_STEPS", "67"))
    pairs = Pairs(play, tmp_path, HOSTS, steps, random.Random(seed))
    acted, planned, wrong = pairs.compared()
    share = len(planned) / len(acted)
    print(f"seed {seed}: of {len(acted)} units that acted {share:.1%} were planned")
    print("not planned:", sorted(acted - planned))
    assert share >= 0.95, (seed, sorted(acted - planned))
    assert not wrong, (seed, sorted(wrong))


def test_what_acts_is_planned(
    play: Play, tmp_path: pathlib.Path, lingers: t.Callable[[str], None]
) -> None:
    lingers(HOSTS[0])
    acted, planned, wrong = Pairs(play, tmp_path, HOSTS[:1], 2, random.Random(5)).compared()
    assert len(acted) > 5 and acted == planned, sorted(acted - planned)
    assert not wrong, sorted(wrong)


Act = tuple[str, int, str]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Going from system to system on each host, each one not much unlike the one before it."""

    play: Play
    directory: pathlib.Path
    hosts: t.Sequence[str]
    steps: int
    chance: random.Random

    def compared(self) -> tuple[set[Act], set[Act], set[Act]]:
        """Return which units acted, which of those were planned, and which did not as planned."""
        walks = {host: [*walk(self.chance, self.steps + 1), {}] for host in self.hosts}
        paths = {"walks": build_walks(self.directory, walks)}
        tasks = steps_of(self.steps, self.chance)
        played = self.play(playbook(*tasks, hosts=":".join(self.hosts)), "-e", json.dumps(paths))
        acted, planned, wrong = set[Act](), set[Act](), set[Act]()
        for host, number in itertools.product(self.hosts, range(1, self.steps + 1)):
            result = played.result(host, f"step {number}")
            assert result.get("plan") and result["units"], result
            early = played.result(host, f"early {number}")
            assert whole(early["plan"]) == whole(result["plan"]), (host, number)
            did = named(result["units"])
            # A task that fails leaves out what is empty.
            certain = named({verb: result["plan"].get(verb, []) for verb in CERTAIN})
            expected = named(result["plan"].get("expected", {}))
            acted |= {(host, number, it) for it in did}
            planned |= {(host, number, it) for it in did & (certain | expected)}
            wrong |= {(host, number, it) for it in certain - did}
        return acted, planned, wrong


def whole(plan: dict[str, t.Any]) -> dict[str, t.Any]:
    """A plan without what is empty, which a task that fails leaves out."""
    said = {key: whole(it) if isinstance(it, dict) else it for key, it in plan.items()}
    return {key: it for key, it in said.items() if it}


def named(verbs: dict[str, list[str]]) -> set[str]:
    return {unit for units in verbs.values() for unit in units}


def steps_of(steps: int, chance: random.Random) -> list[Task]:
    """The tasks: plan each system in turn, copy it, go there, and start something by hand."""
    tasks = []
    for number in range(steps + 2):
        path = {"path": f"{{{{ walks[inventory_hostname][{number}] }}}}"}
        where = path | {"action": "test"}
        early = module("nixos_switch", where | {"build_host": "localhost"}, check_mode=True)
        copy = module("nix_copy_closure", path)
        step = module("nixos_switch", where | {"lost_units": "ignore"}, diff=0 < number <= steps)
        unit = f"t-p{chance.randrange(SERVICES)}.service"
        hand = {"name": "hand", "ansible.builtin.raw": f"systemctl start {unit} || :"}
        if 0 < number <= steps:
            tasks.append(early | {"name": f"early {number}"})
        tasks += [copy, step | {"name": f"step {number}", "ignore_errors": True}, hand]
    return tasks[:-1]


def build_walks(
    directory: pathlib.Path, walks: dict[str, list[dict[str, t.Any]]]
) -> dict[str, list[str]]:
    """Build all systems; return the paths of each host's, in their order."""
    file = directory / "walks.nix"
    systems = (
        f'"{host}-{number}" = {module_of(system)};'
        for host, walk_of in walks.items()
        for number, system in enumerate(walk_of)
    )
    file.write_text(
        f"builtins.mapAttrs (_: it: it.system) (import {SYSTEMS} {{ {' '.join(systems)} }})"
    )
    names = [f"{host}-{number}" for host, it in walks.items() for number in range(len(it))]
    words = [word for name in names for word in ("-A", name)]
    built = iter(nix("nix-build", "--no-out-link", str(file), *words, seconds=3600).split())
    return {host: [next(built) for _system in it] for host, it in walks.items()}

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role with other profiles than the system: a home and a program of root's, on a real host."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import secrets
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import Fleet, Play, Played
from ansible_collections.closure.nixos.tests.integration._systems import (
    difference,
    nix,
    running,
    trace,
    write_systems,
)

HOST = "node1"
HOMES = pathlib.Path(__file__).with_name("homes")
ROOTS = "/nix/var/nix/gcroots/closure-nixos"
ACTIVATE = "Activate the profiles"


@dataclasses.dataclass(frozen=True)
class Owner:
    """A user of the host with a home, and a name for a profile of root's."""

    fleet: Fleet
    name: str

    @property
    def tool(self) -> str:
        return f"/nix/var/nix/profiles/{self.name}"

    def now(self) -> tuple[str, str, str, str]:
        """What the profiles hold, the file that the home has, and what runs."""
        home = self.fleet.exec(HOST, f"echo ~{self.name}").strip()
        look = f"readlink -f {home}/.local/state/nix/profiles/home-manager; cat {home}/greeting"
        path, text = (*self.fleet.exec(HOST, look, check=False).split(), "", "")[:2]
        tool = self.fleet.exec(HOST, f"readlink -f {self.tool}", check=False).strip()
        return path, text, tool, running(self.fleet, HOST)


@pytest.fixture
def owner(fleet: Fleet) -> t.Iterator[Owner]:
    name = f"home{secrets.token_hex(4)}"
    fleet.exec(HOST, f"useradd --create-home --groups nix-users {name}")
    yield Owner(fleet, name)
    fleet.exec(HOST, f"userdel --remove {name} 2>&1; rm -f /nix/var/nix/profiles/{name}*")
    fleet.exec(HOST, "rm -f /root/greeting /root/nonce /root/.local/state/nix/profiles/home-*")


def home(text: str, script: str = ":") -> str:
    nonce = secrets.token_hex(8)
    files = f'{{ greeting = "{text}"; nonce = "{nonce}"; }}'
    return f"import {HOMES} {{ files = {files}; script = ''{script}''; }}"


def deploy(owner: Owner, systems: pathlib.Path, its_home: str, tool: str) -> str:
    """A play with a system, a home that is built with it, and a closure that is there already."""
    file = systems.with_name(f"fleet-{secrets.token_hex(4)}.nix")
    file.write_text(f"import {systems} // {{ homes.{owner.name} = {its_home}; }}")
    profiles = [
        {"attr": f"homes.{owner.name}", "user": owner.name, "kind": "home-manager"},
        {"path": tool, "name": owner.name, "kind": "custom", "command": ["activate"]},
    ]
    variables = {"nixos_file": str(file), "deploy_profiles": profiles}
    roles = [{"role": "closure.nixos.deploy"}]
    play = {"name": "Deploy", "hosts": HOST, "gather_facts": False, "roles": roles}
    return json.dumps([play | {"vars": variables}])


def outcome(played: Played) -> tuple[int, str, str]:
    said = played.result(HOST, "Say what happened")
    data = played.custom.get("closure_nixos", {}).get(HOST, {})
    return played.stats[HOST]["changed"], data.get("status", "failed"), said["msg"]


def test_profiles_come_with_their_system_and_roll_back_with_it(
    fleet: Fleet, play: Play, owner: Owner, tmp_path: pathlib.Path
) -> None:
    # What root activates: for root, the stand-in wants the directory of its profiles, too.
    fleet.exec(HOST, "mkdir -p /root/.local/state/nix/profiles")
    tool, bad = (
        nix("nix-build", "--no-out-link", "--expr", home("tool", script))
        for script in (":", "exit 5")
    )
    first = write_systems(tmp_path, hosts=[HOST])
    text = deploy(owner, first, home("one"), tool)
    before = trace(fleet, HOST)
    checked = play(text, "--check")
    assert checked.rc == 0, checked.text
    assert [it["changed"] for it in checked.result(HOST, ACTIVATE)["results"]] == [True, True]
    assert outcome(checked)[1] == "planned"
    assert difference(before, trace(fleet, HOST)) == []

    played, again = play(text), play(text)
    assert played.rc == again.rc == 0, played.text + again.text
    done = owner.now()
    assert done[1:3] == ("one", tool) and done[0].endswith("-home-manager-generation")
    assert outcome(played)[2].endswith(", 2 profiles"), played.text
    assert outcome(again)[:2] == (0, "unchanged"), again.text
    assert owner.name not in fleet.exec(HOST, f"ls -A {ROOTS}")

    # The system stays: only the home is activated, without a trial.
    second = play(deploy(owner, first, home("two"), tool))
    assert second.rc == 0, second.text
    assert outcome(second)[1:] == ("deployed", f"{HOST}: activated 1 profile")
    two = owner.now()
    assert (two[1], two[2:]) == ("two", done[2:])

    # The last profile fails: those before it and the system are what they were.
    failed = play(deploy(owner, write_systems(tmp_path, hosts=[HOST]), home("three"), bad))
    assert failed.rc != 0
    assert owner.now() == two
    said = failed.result(HOST, "Say what happened")["msg"]
    assert "activate of" in said and "ended with exit status 5" in said, failed.text
    assert f"{owner.name} of root is rolled back to generation 1, {tool}" in said
    assert f"rolled back to {two[3]}" in said or "rolled back" in said.partition("(")[2], said

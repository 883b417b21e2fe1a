# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, on configurations of the stand-in for nixpkgs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.closure.nixos.tests.integration._harness import TESTBED

NIXPKGS = TESTBED.with_name("nixpkgs")
MODULE = pathlib.Path(__file__).parents[2] / "nix" / "closure.nixos.nix"

NIXOS = """
let
  nixos = name: module: import {nixpkgs}/nixos {{
    configuration = {{ imports = [ module {module} ]; networking.hostName = name; }};
  }};
in {{
  lib = 3;
  web1 = nixos "web1" {{
    networking.domain = "example.org";
    ansible = {{ groups = [ "web" "blue-green" ]; vars = {{ role = "front"; weight = 3; }}; }};
  }};
  db1 = nixos "db1" {{ ansible = {{ host = "10.0.0.2"; groups = [ "db" ]; }}; }};
  {more}
}}
"""

HIVE = """
{{
  meta.nixpkgs = import {nixpkgs} {{ }};
  defaults.time.timeZone = "Europe/Vienna";
  web1 = {{ name, ... }}: {{
    networking.domain = name;
    deployment = {{
      targetHost = "192.0.2.1"; targetPort = 2222; targetUser = "deploy"; tags = [ "web" ];
    }};
  }};
  db1 = {{ nodes, ... }}: {{
    networking.domain = nodes.web1.config.networking.hostName;
    deployment.tags = [ "db" ];
  }};
}}
"""

FLAKE = """
{{
  outputs = _: {{
    nixosConfigurations.web1 = import {nixpkgs}/nixos/lib/eval-config.nix {{
      system = "x86_64-linux"; modules = [ {module} {{ ansible.groups = [ "web" ]; }} ];
    }};
  }};
}}
"""


@dataclasses.dataclass(frozen=True)
class Inventory:
    """A directory with sources and an inventory of them."""

    directory: pathlib.Path
    environment: dict[str, str]

    def write(self, name: str, text: str, more: str = "") -> None:
        words = {"nixpkgs": NIXPKGS, "module": MODULE, "more": more}
        (self.directory / name).write_text(text.format(**words))

    def __call__(self, **options: t.Any) -> subprocess.CompletedProcess[str]:
        file = self.directory / "fleet.nixos.yml"
        text = json.dumps({"plugin": "closure.nixos.nixos"} | options)
        # It stands among the sources, and would be newer.
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        return subprocess.run(
            ["ansible-inventory", "-i", str(file), "--list", "--export"],
            env={**os.environ, **self.environment, "COLUMNS": "500"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def inventory(environment: dict[str, str], tmp_path: pathlib.Path) -> Inventory:
    subprocess.run([str(NIXPKGS / "prepare")], check=True)
    # What is exported says which of its texts are data.
    return Inventory(tmp_path, environment | {"ANSIBLE_INVENTORY_ENABLED": "closure.nixos.nixos"})


def read(done: subprocess.CompletedProcess[str]) -> dict[str, t.Any]:
    assert done.returncode == 0, done.stderr
    return t.cast(dict[str, t.Any], json.loads(done.stdout, object_hook=_plain))


def _plain(value: dict[str, t.Any]) -> t.Any:
    return value.get("__ansible_unsafe", value)


def test_a_file_gives_hosts_groups_and_variables(inventory: Inventory) -> None:
    inventory.write("nixos.nix", NIXOS)
    keyed = [{"key": "role", "separator": ""}]
    found = read(inventory(file="nixos.nix", keyed_groups=keyed, compose={"twice": "weight * 2"}))
    file = str(inventory.directory / "nixos.nix")
    web = {"ansible_host": "web1.example.org", "nixos_file": file, "role": "front", "weight": 3}
    assert found["_meta"]["hostvars"] == {
        "web1": web | {"twice": 6},
        "db1": {"ansible_host": "10.0.0.2", "nixos_file": file},
    }
    groups = {name: group["hosts"] for name, group in found.items() if "hosts" in group}
    assert groups == {"web": ["web1"], "blue_green": ["web1"], "front": ["web1"], "db": ["db1"]}


@pytest.mark.parametrize(
    "broken",
    ['bad = throw "no";', "bad = { config.networking.hostName = 1 + { }; options = { }; };"],
    ids=["Nix catches it", "Nix cannot catch it"],
)
def test_a_broken_host_is_left_out_with_a_warning(inventory: Inventory, broken: str) -> None:
    inventory.write("nixos.nix", NIXOS, broken)
    done = inventory(file="nixos.nix")
    assert sorted(read(done)["_meta"]["hostvars"]) == ["db1", "web1"]
    assert f"bad of {inventory.directory}/nixos.nix does not evaluate" in done.stderr


def test_a_hive_is_taken_as_it_is(inventory: Inventory) -> None:
    inventory.write("hive.nix", HIVE)
    found = read(inventory(hive="hive.nix"))
    web = {"ansible_host": "192.0.2.1", "ansible_port": 2222, "ansible_user": "deploy"}
    assert found["_meta"]["hostvars"] == {"web1": web, "db1": {"ansible_host": "db1.web1"}}
    assert (found["web"]["hosts"], found["db"]["hosts"]) == (["web1"], ["db1"])


def test_a_flake_gives_its_configurations(inventory: Inventory) -> None:
    inventory.write("flake.nix", FLAKE)
    found = read(inventory(flake="."))
    assert found["web"]["hosts"] == ["web1"]
    assert found["_meta"]["hostvars"]["web1"]["nixos_flake"] == str(inventory.directory)


def test_the_cache_is_asked_until_the_sources_change(
    inventory: Inventory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inventory.write("nixos.nix", NIXOS)
    kept = str(tmp_path_factory.mktemp("cache"))
    options = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": kept}
    first = read(inventory(file="nixos.nix", **options))
    lost = Inventory(inventory.directory, inventory.environment | {"PATH": _without_nix()})
    assert read(lost(file="nixos.nix", **options)) == first
    inventory.write("nixos.nix", NIXOS, 'db2 = nixos "db2" { };')
    assert "nix-instantiate is not on the controller's PATH" in lost(file="nixos.nix").stderr
    again = read(inventory(file="nixos.nix", **options))
    assert sorted(again["_meta"]["hostvars"]) == ["db1", "db2", "web1"]


def _without_nix() -> str:
    found = os.environ["PATH"].split(":")
    return ":".join(it for it in found if not (pathlib.Path(it) / "nix-instantiate").exists())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give one of file, flake and hive, not 0 of them"),
        ({"file": "a.nix", "hive": "b.nix"}, "give one of file, flake and hive, not 2 of them"),
        ({"file": "none.nix"}, "none.nix has no hosts to tell"),
    ],
)
def test_what_is_wrong_is_said(inventory: Inventory, options: dict[str, str], said: str) -> None:
    assert said in inventory(**options).stderr

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people get: the collection as ansible-galaxy builds and installs it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = {
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "FILES.json",
    "LICENSE",
    "LICENSES",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "meta",
    "nix",
    "playbooks",
    "plugins",
    "roles",
}


def load(path: str) -> t.Any:
    return yaml.safe_load((ROOT / path).read_text())


MODULES = load("meta/runtime.yml")["action_groups"]["nixos"]


def run(home: pathlib.Path, tool: str, *arguments: str) -> str:
    """Run a tool of this Python's Ansible that finds the collections below a folder, no others."""
    command = [str(pathlib.Path(sys.executable).with_name(tool)), *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(home),
        "ANSIBLE_HOME": str(home / ".ansible"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that holds an installed copy of this collection only."""
    home = tmp_path_factory.mktemp("home")
    run(home, "ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(home))
    tarball = home / f"closure-nixos-{load('galaxy.yml')['version']}.tar.gz"
    install = ("collection", "install", "--offline", "--no-deps", "--collections-path", str(home))
    run(home, "ansible-galaxy", *install, str(tarball))
    return home


def test_tarball_holds_what_people_use_and_nothing_else(home: pathlib.Path) -> None:
    installed = home / "ansible_collections/closure/nixos"
    assert {path.name for path in installed.iterdir()} == SHIPPED


def test_tarball_holds_no_leftovers(home: pathlib.Path) -> None:
    names = {path.name for path in (home / "ansible_collections").rglob("*")}
    assert not {name for name in names if name.startswith(".") or name == "__pycache__"}


def test_action_group_names_every_module(home: pathlib.Path) -> None:
    listed = json.loads(run(home, "ansible-doc", "--json", "--list", "closure.nixos"))
    assert sorted(listed) == sorted(f"closure.nixos.{module}" for module in MODULES)


@pytest.fixture(scope="session")
def docs(home: pathlib.Path) -> dict[str, t.Any]:
    """What ansible-doc says of all modules, of one call: it takes a second or two to start."""
    names = [f"closure.nixos.{module}" for module in MODULES]
    return t.cast(
        dict[str, t.Any],
        json.loads(run(home, "ansible-doc", "--json", "--type", "module", *names)),
    )


@pytest.mark.parametrize("module", MODULES)
def test_module_is_documented(docs: dict[str, t.Any], module: str) -> None:
    documented = docs[f"closure.nixos.{module}"]
    assert documented["doc"]["short_description"]
    assert documented["examples"]
    assert documented["return"]


@pytest.mark.parametrize("module", MODULES)
def test_module_is_run_by_its_action(home: pathlib.Path, module: str) -> None:
    installed = home / "ansible_collections/closure/nixos"
    assert (installed / f"plugins/action/{module}.py").is_file()

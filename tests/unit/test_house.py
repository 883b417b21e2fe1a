# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the house: floors import downwards, wings do not import each other."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import registry

PLUGINS = Path(__file__).parents[2] / "plugins"
PREFIX = "ansible_collections.closure.nixos.plugins."
FLOORS = ["module_utils", "plugin_utils", "action"]
# What all wings stand on.
BELOW = {"_store", "_host"}


@dataclasses.dataclass(frozen=True)
class Room:
    """Where a file stands: on which floor, and in which wing of it."""

    floor: int
    wing: str

    def may_import(self, other: Room) -> bool:
        """Down a floor always within a wing, and sideways nowhere but to what all stand on."""
        if other.floor > self.floor:
            return False
        return self.wing in ("", other.wing) or other.wing == "" or self._stands_on(other.wing)

    def _stands_on(self, wing: str) -> bool:
        if self.wing == "_host":
            return False
        return wing == "_host" if self.wing == "_store" else wing in BELOW


def room_of(module: str) -> Room:
    """Return the room of a dotted name below ``plugins``; lookups and the like stand on top."""
    floor, *rest = module.split(".")
    place = FLOORS.index(floor) if floor in FLOORS else len(FLOORS) - 1
    return Room(place, rest[0] if len(rest) > 1 and rest[0].startswith("_") else "")


def imports() -> Iterator[tuple[str, str]]:
    for file in sorted(PLUGINS.rglob("*.py")):
        module = ".".join(file.relative_to(PLUGINS).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
                yield module, (node.module or "").removeprefix(PREFIX)


IMPORTS = list(imports())


def test_imports_were_found() -> None:
    assert len(IMPORTS) > 100


@pytest.mark.parametrize(("importer", "imported"), IMPORTS)
def test_an_import_goes_down(importer: str, imported: str) -> None:
    assert room_of(importer).may_import(room_of(imported))


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("module_utils._copy.a", "plugin_utils._copy.b"),
        ("plugin_utils._copy.a", "action.nixos_switch"),
        ("plugin_utils._copy.a", "plugin_utils._activate.b"),
        ("plugin_utils._copy.a", "module_utils._activate.b"),
        ("plugin_utils._store.a", "plugin_utils._copy.b"),
        ("plugin_utils._host.a", "plugin_utils._store.b"),
    ],
)
def test_upwards_and_sideways_are_refused(importer: str, imported: str) -> None:
    assert not room_of(importer).may_import(room_of(imported))


def test_a_shell_function_needs_only_what_its_wing_stands_on() -> None:
    functions = registry().functions
    for name, function in functions.items():
        for needed in registry().needs(name):
            own, other = Room(1, function.wing), Room(1, functions[needed].wing)
            assert own.may_import(other), f"{name} calls {needed}"


def test_arguments_become_types_in_the_action() -> None:
    """Below, only what all actions are made of knows a task's arguments."""
    takers = {
        f"{file.relative_to(PLUGINS)}:{node.name}"
        for floor in FLOORS[:-1]
        for file in (PLUGINS / floor).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(argument.arg == "args" for argument in node.args.args)
    }
    action = "plugin_utils/_host/action.py"
    assert takers == {f"{action}:act", f"{action}:validated"}

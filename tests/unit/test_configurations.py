# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role finds a host's configuration, its system in it, and what stands beside that."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.closure.nixos.plugins.module_utils._deploy.configuration import (
    configuration_of,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.variables import configuration

PLACES = {"inventory_dir": "/inventory", "playbook_dir": "/play"}
HOST = {"inventory_hostname": "web1.example.org"}
OWN = '"web1.example.org"'


@pytest.mark.parametrize(
    ("variables", "attr", "configurations"),
    [
        ({"nixos_file": "x.nix"}, [OWN, "system"], [OWN]),
        ({"nixos_file": "x.nix", "nixos_attr": "a.system"}, ["a.system"], ["a"]),
        ({"nixos_file": "x.nix", "nixos_attr": "nodes.a"}, ["nodes.a"], ["nodes.a"]),
        (
            {"nixos_flake": ".", "nixos_attr": "a.config.system.build.toplevel"},
            ["a.config.system.build.toplevel"],
            ["a"],
        ),
        ({"nixos_flake": "/srv/fleet"}, [], [f"nixosConfigurations.{OWN}", OWN]),
        ({"nixos_flake": ".#web"}, [], ["nixosConfigurations.web", "web"]),
    ],
)
def test_what_a_host_is_in_its_configuration(
    variables: dict[str, str], attr: list[str], configurations: list[str]
) -> None:
    found = configuration_of(HOST | PLACES | variables, lambda path: False)
    assert (found.attr, found.configurations, found.is_there) == (attr, configurations, True)
    assert (found.file, found.flake) == (variables.get("nixos_file"), variables.get("nixos_flake"))


@pytest.mark.parametrize(
    ("variables", "there", "file", "flake"),
    [
        (PLACES, {"/play/nixos.nix", "/inventory/nixos.nix"}, "/inventory/nixos.nix", None),
        (PLACES, {"/play/nixos.nix", "/inventory/flake.nix"}, "/play/nixos.nix", None),
        (PLACES, {"/play/flake.nix", "/inventory/flake.nix"}, None, "/inventory"),
        (PLACES, {"/play/flake.nix"}, None, "/play"),
        # A host that was made by add_host, and one of an inventory that is no file.
        ({"playbook_dir": "/play"}, {"/play/flake.nix"}, None, "/play"),
        (PLACES | {"inventory_dir": None}, {"/play/nixos.nix"}, "/play/nixos.nix", None),
        # What nobody has said may be empty texts.
        (PLACES | {"nixos_file": "", "nixos_flake": ""}, {"/play/flake.nix"}, None, "/play"),
        (PLACES, set(), "/inventory/nixos.nix", None),
    ],
)
def test_what_nobody_names_is_looked_for(
    variables: dict[str, str], there: set[str], file: str | None, flake: str | None
) -> None:
    found = configuration_of(HOST | variables, there.__contains__)
    assert (found.file, found.flake, found.is_there) == (file, flake, bool(there))


def test_variables_are_templates() -> None:
    attr = trust_as_template("{{ inventory_hostname }}.system")
    variables = HOST | PLACES | {"nixos_file": trust_as_template("{{ own }}"), "nixos_attr": attr}
    variables["own"] = "own.nix"
    templar = Templar(loader=DataLoader(), variables=variables)
    found = configuration(templar, variables)
    assert (found.file, found.attr) == ("own.nix", ["web1.example.org.system"])

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role finds what stands beside a host's system in its configuration."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

VARS = pathlib.Path(__file__).parents[2] / "roles/deploy/vars/main.yml"


@pytest.mark.parametrize(
    ("variables", "attrs"),
    [
        ({"__deploy_flake": ""}, ['"web1.example.org"']),
        ({"__deploy_flake": "", "nixos_attr": "nodes.web1.system"}, ["nodes.web1"]),
        ({"__deploy_flake": "", "nixos_attr": "nodes.web1"}, ["nodes.web1"]),
        (
            {"__deploy_flake": ".", "nixos_attr": "web1.config.system.build.toplevel"},
            ["web1"],
        ),
        (
            {"__deploy_flake": "/srv/fleet"},
            ['nixosConfigurations."web1.example.org"', '"web1.example.org"'],
        ),
        ({"__deploy_flake": ".#web"}, ["nixosConfigurations.web", "web"]),
    ],
)
def test_the_configuration_of_a_host(variables: dict[str, str], attrs: list[str]) -> None:
    text = yaml.safe_load(VARS.read_text())["__deploy_configurations"]
    host = {"inventory_hostname": "web1.example.org"}
    templar = Templar(loader=DataLoader(), variables=host | variables)
    assert templar.template(trust_as_template(text)) == attrs

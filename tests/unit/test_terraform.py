# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state that Terraform 1.11 made of examples/terraform is an inventory of the example fleet."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[2]
STATE = json.loads((ROOT / "examples/terraform/terraform.tfstate").read_text())
FLEET = ROOT / "examples/fleet"


def ansible(tool: str, *words: str | pathlib.Path) -> str:
    command = [str(pathlib.Path(sys.executable).with_name(tool)), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_state_says_where_each_host_of_the_fleet_is(tmp_path: pathlib.Path) -> None:
    inventory = tmp_path / "inventory.json"
    inventory.write_text(STATE["outputs"]["inventory"]["value"])
    found = json.loads(ansible("ansible-inventory", "-i", inventory, "--list"))
    machines = {
        it["index_key"]: it["attributes"]["output"]["value"]
        for resource in STATE["resources"]
        for it in resource["instances"]
    }
    hosts = found["_meta"]["hostvars"]
    assert {host: its["ansible_host"] for host, its in hosts.items()} == machines
    assert {its["ansible_user"] for its in hosts.values()} == {"root"}

    # The fleet's own inventory can go: groups and names are the same, and so is who is deployed.
    own = yaml.safe_load((FLEET / "inventory.yml").read_text())["all"]["children"]
    assert {group: found[group]["hosts"] for group in own} == {
        group: list(its["hosts"]) for group, its in own.items()
    }
    listed = [
        ansible("ansible-playbook", "-i", file, FLEET / "deploy.yml", "--list-hosts").split()
        for file in (inventory, FLEET / "inventory.yml")
    ]
    assert set(listed[0]) == set(listed[1]) > set(machines)


def test_the_states_inventory_is_what_the_code_says() -> None:
    """Each machine of the code is in the state, with its address."""
    code = (ROOT / "examples/terraform/main.tf").read_text()
    for resource in STATE["resources"]:
        assert f'resource "{resource["type"]}" "{resource["name"]}"' in code
        for it in resource["instances"]:
            assert it["index_key"] in code and it["attributes"]["input"]["value"] in code

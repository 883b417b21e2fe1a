# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each key that a module, a lookup or a filter returns is documented with a sample of its type.

``tests/integration/test_module_docs.py`` compares them with what the modules really return.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.closure.nixos.plugins.lookup import configuration
from ansible_collections.closure.nixos.plugins.module_utils._deploy.configuration import (
    configuration_of,
)
from ansible_collections.closure.nixos.plugins.modules import nixos_facts

PLUGINS = "ansible_collections.closure.nixos.plugins"
FILES = pathlib.Path(__file__).parents[2] / "plugins"
NAMES = sorted(
    f"{kind}.{it.stem}"
    for kind in ("modules", "lookup", "filter")
    for it in (FILES / kind).glob("*.py")
)
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


def wrong(documented: dict[str, t.Any], prefix: str = "") -> t.Iterator[str]:
    """The keys without a sample of their type; one of a mapping is enough for what it contains."""
    for key, entry in documented.items():
        if "sample" in entry:
            if not isinstance(entry["sample"], TYPES[entry["type"]]):
                yield f"{prefix}{key}: {entry['sample']!r} is no {entry['type']}"
        elif "contains" in entry:
            yield from wrong(entry["contains"], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} has no sample"


@pytest.mark.parametrize("name", NAMES)
def test_each_key_has_a_sample_of_its_type(name: str) -> None:
    module = importlib.import_module(f"{PLUGINS}.{name}")
    assert list(wrong(yaml.safe_load(module.RETURN))) == []


def sample(entry: dict[str, t.Any]) -> t.Any:
    """The sample of a key, or of all that it contains."""
    if "sample" in entry:
        return entry["sample"]
    inner = {key: sample(it) for key, it in entry["contains"].items()}
    return [inner] if entry["type"] == "list" else inner


def filtered(name: str, *given: t.Any) -> tuple[t.Any, t.Any]:
    """What a filter returns for that, and its sample."""
    module = importlib.import_module(f"{PLUGINS}.filter.{name}")
    found = module.FilterModule().filters()[name](*given)
    return found, yaml.safe_load(module.RETURN)["_value"]["sample"]


def test_the_samples_of_filters_are_what_they_make_of_the_sample_of_facts() -> None:
    facts = sample(yaml.safe_load(nixos_facts.RETURN)["ansible_facts"])
    variables = {"node1": {"nixos_status": {"ansible_facts": facts}}}
    rows, documented = filtered("fleet_status", ["node1"], variables)
    # As the playbook has it, by way of JSON.
    assert json.loads(json.dumps(rows)) == documented
    for name, *given in (
        ("fleet_table", rows),
        ("fleet_metrics", rows, 1764216000.5),
        ("fleet_log", facts["nixos"]),
    ):
        found, documented = filtered(name, *given)
        assert found == documented, name


def test_the_samples_of_a_configuration_are_what_the_lookup_returns() -> None:
    documented = yaml.safe_load(configuration.RETURN)["_raw"]["contains"]
    samples = {key: entry["sample"] for key, entry in documented.items()}
    host = {"inventory_dir": "/srv/fleet", "inventory_hostname": "web1"}
    by_file = configuration_of(host, {samples["file"]}.__contains__)
    by_flake = configuration_of(host | {"nixos_flake": samples["flake"]}, {""}.__contains__)
    assert dataclasses.asdict(by_file) == samples | {"flake": None}
    assert by_flake.flake == samples["flake"] and by_flake.file is None

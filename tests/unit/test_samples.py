# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each key that a module returns is documented with a sample of its type.

``tests/integration/test_module_docs.py`` compares them with what the modules really return.
"""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

PLUGINS = "ansible_collections.closure.nixos.plugins"
MODULES = sorted(it.stem for it in pathlib.Path(__file__).parents[2].glob("plugins/modules/*.py"))
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


@pytest.mark.parametrize("name", MODULES)
def test_each_key_has_a_sample_of_its_type(name: str) -> None:
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")
    assert list(wrong(yaml.safe_load(module.RETURN))) == []

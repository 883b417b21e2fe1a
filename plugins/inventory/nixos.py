# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: nixos
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Hosts, groups and variables from NixOS configurations
description:
  - Evaluates the configurations of a fleet on the controller, and makes each system a host.
  - A host is called like its attribute. Its C(ansible_host) is C(ansible.host) of the
    configuration, else C(deployment.targetHost), else C(networking.hostName) with
    C(networking.domain).
  - Groups are C(ansible.groups) and C(deployment.tags), variables are C(ansible.vars). The options
    below C(ansible) are those of C(nix/closure.nixos.nix) in this collection, which a configuration
    imports; those below C(deployment) are colmena's.
  - A configuration that does not evaluate is left out, with a warning.
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [closure.nixos.nixos]
  file:
    description:
      - A Nix file of systems by name, such as C(nixos.nix), relative to the inventory file.
    type: str
  flake:
    description:
      - A flake whose C(nixosConfigurations) are the hosts. A relative path is relative to the
        inventory file.
    type: str
  hive:
    description:
      - A hive of colmena. The role P(closure.nixos.deploy#role) builds its systems through
        C(nix/hive.nix) of this collection.
    type: str
notes:
  - One of O(file), O(flake) and O(hive) has to be given.
  - With O(cache), Ansible's cache keeps the answer until a file beside the sources changes. A
    flake that is not on this machine is asked again when O(cache_timeout) is over.
extends_documentation_fragment:
  - constructed
  - inventory_cache
"""

EXAMPLES = r"""
---
# fleet.nixos.yml, beside nixos.nix
plugin: closure.nixos.nixos
file: nixos.nix

---
# The systems of a flake, with a group for each role that their variables name.
plugin: closure.nixos.nixos
flake: .
keyed_groups:
  - key: role
    separator: ""

---
# A hive of colmena, as it is.
plugin: closure.nixos.nixos
hive: hive.nix
"""

import os.path
import pathlib
import typing as t

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.module_utils._build.fleet import Fleet, FleetHost
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.fleet import FleetSource

display = Display()

# What tells the role where the systems of the inventory are built from.
_BUILT_FROM = {"file": "nixos_file", "flake": "nixos_flake"}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Make hosts of configurations."""

    NAME = "closure.nixos.nixos"

    def verify_file(self, path: str) -> bool:
        """Take files that end in .nixos.yml or .nixos.yaml."""
        return super().verify_file(path) and path.endswith((".nixos.yml", ".nixos.yaml"))

    def parse(
        self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True
    ) -> None:
        """Evaluate, or take what the cache has, and fill the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        source = self._source(pathlib.Path(path).absolute().parent)
        for host in self._fleet(source, cache).hosts:
            self._add(inventory, host, source)

    def _source(self, directory: pathlib.Path) -> FleetSource:
        given = {name: self.get_option(name) for name in ("file", "flake", "hive")}
        named = [(name, value) for name, value in given.items() if value]
        if len(named) != 1:
            raise AnsibleParserError(
                f"closure.nixos.nixos: give one of file, flake and hive, not {len(named)} of them."
            )
        kind, where = named[0]
        if kind != "flake" or where.startswith((".", "/", "~")):
            # Not resolved: a link is where its people keep it, and Nix reads through it.
            where = os.path.normpath(directory / pathlib.Path(where).expanduser())
        return FleetSource(t.cast(t.Literal["file", "hive", "flake"], kind), where)

    def _fleet(self, source: FleetSource, cache: bool) -> Fleet:
        """Return the fleet; what is broken is said, and asked again the next time."""
        key = f"closure_nixos_{source.digest}"
        if cache and self.get_option("cache") and key in self._cache:
            return _restored(self._cache[key])
        try:
            fleet = source.describe()
        except (ClosureError, ValueError) as error:
            raise AnsibleParserError(f"closure.nixos.nixos: {error}") from error
        for name in fleet.broken:
            display.warning(f"{name} of {source.where} does not evaluate: it is left out.")
        if self.get_option("cache") and not fleet.broken:
            self._cache[key] = _stored(fleet)
        return fleet

    def _add(self, inventory: InventoryData, host: FleetHost, source: FleetSource) -> None:
        name = inventory.add_host(host.name)
        for group in host.groups:
            inventory.add_child(inventory.add_group(self._sanitize_group_name(group)), name)
        built_from = _BUILT_FROM.get(source.kind)
        variables = {built_from: source.where} if built_from else {}
        known = {**variables, **host.variables}
        for key, value in known.items():
            inventory.set_variable(name, key, value)
        strict = bool(self.get_option("strict"))
        self._set_composite_vars(self.get_option("compose"), known, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)


def _stored(fleet: Fleet) -> list[dict[str, t.Any]]:
    return [
        {"name": host.name, "groups": list(host.groups), "variables": dict(host.variables)}
        for host in fleet.hosts
    ]


def _restored(stored: list[dict[str, t.Any]]) -> Fleet:
    hosts = (FleetHost(it["name"], tuple(it["groups"]), it["variables"]) for it in stored)
    return Fleet(tuple(hosts), ())

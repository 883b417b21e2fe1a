# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What configurations say of their hosts, for an inventory. Private to the collection."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class FleetHost:
    """A host of a fleet as its configuration describes it."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Fleet:
    """All hosts of a fleet.

    :param broken: the names of those whose configuration does not evaluate
    """

    hosts: tuple[FleetHost, ...]
    broken: tuple[str, ...]

    def __or__(self, other: Fleet) -> Fleet:
        """Return the hosts of both; what one of them has is not broken."""
        hosts = (*self.hosts, *other.hosts)
        names = {host.name for host in hosts}
        broken = (*self.broken, *other.broken)
        return Fleet(hosts, tuple(name for name in dict.fromkeys(broken) if name not in names))


def parse_fleet(text: str) -> Fleet:
    """Read what ``inventory.nix`` evaluates to; attributes that are no system are left out.

    :raises ValueError: it is not what that prints
    """
    found = json.loads(text)["hosts"]
    hosts = {name: it for name, it in found.items() if it and not it.get("skipped")}
    return Fleet(
        tuple(_host(name, it) for name, it in sorted(hosts.items())),
        tuple(sorted(name for name, it in found.items() if it is None)),
    )


def parse_names(text: str) -> tuple[str, ...]:
    """Read the names of attributes, as JSON."""
    return tuple(json.loads(text))


def _host(name: str, described: Mapping[str, t.Any]) -> FleetHost:
    named = {"ansible_host": "host", "ansible_port": "port", "ansible_user": "user"}
    said = {key: described[field] for key, field in named.items()}
    variables = {key: value for key, value in said.items() if value is not None}
    groups = tuple(dict.fromkeys(described["groups"]))
    return FleetHost(name, groups, variables | described["vars"])

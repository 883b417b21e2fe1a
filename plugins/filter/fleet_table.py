# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: fleet_table
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Show how the hosts of a fleet stand
description:
  - Makes lines for people of what P(closure.nixos.fleet_status#filter) returns, the worst first.
options:
  _input:
    description: What P(closure.nixos.fleet_status#filter) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Show how the hosts stand
  ansible.builtin.debug:
    msg: "{{ rows | closure.nixos.fleet_table }}"
  vars:
    rows: "{{ ansible_play_hosts_all | closure.nixos.fleet_status(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "node1  ok  gen 2  26.05.standin  iwljnpc  2026-11-22  root@controller  8a2b1c0  confirmed\
      \  75.1 GiB free"
    - "1 host: 1 ok"
"""

import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._fleet.status import (
    statuses,
    table,
)


def fleet_table(rows: Iterable[Mapping[str, t.Any]]) -> list[str]:
    """Return the lines."""
    return table(statuses(rows)).split("\n")


class FilterModule:
    """Name the filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return it."""
        return {"fleet_table": fleet_table}

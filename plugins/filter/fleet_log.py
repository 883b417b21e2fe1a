# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: fleet_log
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Show the deployments of a host
description:
  - Makes a line for each record of a deployment that M(closure.nixos.nixos_facts) has read, the
    newest first. The playbook C(closure.nixos.log) shows them.
  - Says first what the host has done by itself after the newest of them, such as rolling back from
    a system that nobody has confirmed.
options:
  _input:
    description: The facts C(nixos) of a host.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Read the last ten deployments
  closure.nixos.nixos_facts:
    history: 10

- name: Show them
  ansible.builtin.debug:
    msg: "{{ ansible_facts.nixos | closure.nixos.fleet_log }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
  sample:
    - "2026-11-22 19:00:00  root@controller  switched 1 -> 2  8a2b1c0d5e Greet in French  12 s"
"""

import typing as t
from collections.abc import Callable

from ansible_collections.closure.nixos.plugins.module_utils._fleet.history import log


class FilterModule:
    """Name the filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return it."""
        return {"fleet_log": log}

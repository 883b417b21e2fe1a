# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: fleet_status
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Tell how the hosts of a fleet stand
description:
  - Makes of what M(closure.nixos.nixos_facts) said of each host one entry a host, with its state
    and what has drifted. The playbook C(closure.nixos.status) shows them.
positional: hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  facts:
    description: The variable of a host that holds the result of M(closure.nixos.nixos_facts).
    type: str
    default: nixos_status
  build:
    description:
      - The variable of a host that holds the result of M(closure.nixos.nix_build_system), which
        says what its configuration builds now. A host without it is not compared.
    type: str
    default: __deploy_evaluated
"""

EXAMPLES = r"""
---
- name: Show how the hosts stand
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | closure.nixos.fleet_status(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - An entry a host, with the keys C(host), C(state) (V(unreachable), V(failed), V(trial),
      V(drift), V(behind), V(reboot) or V(ok)), C(system), C(hash), C(version), C(generation),
      C(since), C(by), C(revision) (C(system.configurationRevision) of what runs), C(result),
      C(behind), C(reboot), C(failed_units), C(nix_free), C(boot_free), C(notes), C(drift),
      C(generations) and C(history), its deployments.
  type: list
  elements: dict
  sample:
    - host: node1
      state: ok
      system: nixos-system-node1-26.05.standin
      hash: iwljnpc
      version: 26.05.standin
      generation: 2
      since: "2026-11-22T17:01:25Z"
      by: root@controller
      revision: 8a2b1c0d
      result: confirmed
      behind: null
      reboot: [kernel, kernel-modules]
      failed_units: []
      nix_free: 80619077632
      boot_free: 412340224
      notes: []
      drift: []
      generations:
        - number: 2
          path: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
          date: "2026-11-22T17:01:25Z"
          current: true
          booted: false
      history:
        - "2026-11-22 19:00:00  root@controller  switched 1 -> 2  8a2b1c0d5e Greet in French  12 s"
"""

import dataclasses
import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._fleet.status import (
    Status,
    lost_status,
    status_of,
)


def fleet_status(
    names: Iterable[str],
    hostvars: Mapping[str, Mapping[str, t.Any]],
    facts: str = "nixos_status",
    build: str = "__deploy_evaluated",
) -> list[dict[str, t.Any]]:
    """Return an entry for each host."""
    found = (_status(name, hostvars[name], facts, build) for name in names)
    return [dataclasses.asdict(status) for status in found]


def _status(name: str, variables: Mapping[str, t.Any], facts: str, build: str) -> Status:
    result = variables.get(facts) or {}
    if "ansible_facts" not in result:
        return lost_status(name, str(result.get("msg", "")))
    built = variables.get(build) or {}
    problem = str(built["msg"]).splitlines()[0] if built.get("failed") else None
    return status_of(name, result["ansible_facts"]["nixos"], built.get("path"), problem)


class FilterModule:
    """Name the filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return it."""
        return {"fleet_status": fleet_status}

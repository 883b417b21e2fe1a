# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: fleet_metrics
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Write how the hosts of a fleet stand as metrics
description:
  - Makes of what P(closure.nixos.fleet_status#filter) returns a text for the textfile collector of
    Prometheus' node_exporter.
positional: time
options:
  _input:
    description: What P(closure.nixos.fleet_status#filter) returned.
    type: list
    elements: dict
    required: true
  time:
    description: When the hosts were asked, in seconds since 1970.
    type: float
    required: true
"""

EXAMPLES = r"""
---
- name: Have the node exporter of the controller tell of drift
  ansible.builtin.copy:
    content: "{{ rows | closure.nixos.fleet_metrics(now().timestamp()) }}"
    dest: /var/lib/node-exporter/closure-nixos.prom
    mode: "0644"
  delegate_to: localhost
  run_once: true
  vars:
    rows: "{{ ansible_play_hosts_all | closure.nixos.fleet_status(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
  sample: |
    # HELP closure_nixos_host_state How a host stands: 1 for its state, by the label.
    # TYPE closure_nixos_host_state gauge
    closure_nixos_host_state{host="node1",state="unreachable"} 0
    closure_nixos_host_state{host="node1",state="failed"} 0
    closure_nixos_host_state{host="node1",state="trial"} 0
    closure_nixos_host_state{host="node1",state="drift"} 0
    closure_nixos_host_state{host="node1",state="behind"} 0
    closure_nixos_host_state{host="node1",state="reboot"} 0
    closure_nixos_host_state{host="node1",state="ok"} 1
    # HELP closure_nixos_host_drift How many things of a host are not as they were deployed.
    # TYPE closure_nixos_host_drift gauge
    closure_nixos_host_drift{host="node1"} 0
    # HELP closure_nixos_host_behind Whether its configuration builds another system now.
    # TYPE closure_nixos_host_behind gauge
    # HELP closure_nixos_asked_seconds When the hosts were asked, in seconds since 1970.
    # TYPE closure_nixos_asked_seconds gauge
    closure_nixos_asked_seconds 1764216000
"""

import typing as t
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._fleet.status import (
    metrics,
    statuses,
)


def fleet_metrics(rows: Iterable[Mapping[str, t.Any]], time: float) -> str:
    """Return the text."""
    return metrics(statuses(rows), time)


class FilterModule:
    """Name the filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return it."""
        return {"fleet_metrics": fleet_metrics}

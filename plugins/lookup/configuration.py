# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: configuration
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Tell where a host's configuration is
description:
  - Tells where the role P(closure.nixos.deploy#role) finds the host's configuration, and its system
    in it, by O(closure.nixos.deploy#role:main:nixos_file),
    O(closure.nixos.deploy#role:main:nixos_flake) and O(closure.nixos.deploy#role:main:nixos_attr),
    or by the files beside the inventory and the playbook.
  - Nothing is evaluated.
options:
  _terms:
    description: Nothing. The host is that of the task.
    type: list
    elements: str
seealso:
  - module: closure.nixos.nix_build_system
  - plugin: closure.nixos.option
    plugin_type: lookup
"""

EXAMPLES = r"""
---
- name: Show where the host's configuration is
  ansible.builtin.debug:
    msg: "{{ lookup('closure.nixos.configuration').file }}"
"""

RETURN = r"""
_raw:
  description: One dictionary.
  type: list
  elements: dict
  contains:
    file:
      description: The file, as O(closure.nixos.nix_build_system#module:file) takes it, or none.
      type: str
      sample: /srv/fleet/nixos.nix
    flake:
      description: The flake, as O(closure.nixos.nix_build_system#module:flake) takes it, or none.
      type: str
      sample: git+ssh://git@example.org/fleet
    attr:
      description: The system in it, as O(closure.nixos.nix_build_system#module:attr) takes it.
      type: list
      elements: str
      sample: ['"web1"', system]
    configurations:
      description:
        - The attributes of which the first one that there is holds what stands beside the system.
      type: list
      elements: str
      sample: ['"web1"']
    is_there:
      description: Whether somebody has named it, or one of the files beside the inventory is there.
      type: bool
      sample: true
"""

import dataclasses
import typing as t

from ansible.plugins.lookup import LookupBase
from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.plugin_utils._deploy.variables import configuration


class LookupModule(LookupBase):
    """Ask the host's variables."""

    def run(
        self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[t.Any]:
        """Return what nix_build_system is asked for the host."""
        templar = t.cast(Templar, self._templar)
        return [dataclasses.asdict(configuration(templar, variables or {}))]

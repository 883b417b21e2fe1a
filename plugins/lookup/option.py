# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: option
author: closure.nixos contributors (@closure-nixos)
version_added: 0.1.0
short_description: Read the values of NixOS options
description:
  - Evaluates options of a host's configuration on the controller, as
    M(closure.nixos.nixos_option_info) does.
  - Each lookup is an evaluation. For many hosts or in a loop the module is faster.
options:
  _terms:
    description: Names of options, see O(closure.nixos.nixos_option_info#module:options).
    type: list
    elements: str
    required: true
  host:
    description: The host whose system in O(flake) is meant. Without it the host of the task.
    type: str
  file:
    description: See O(closure.nixos.nix_build_system#module:file).
    type: str
  expression:
    description: See O(closure.nixos.nix_build_system#module:expression).
    type: str
  configuration:
    description: See O(closure.nixos.nix_build_system#module:configuration).
    type: list
    elements: raw
  flake:
    description: See O(closure.nixos.nix_build_system#module:flake).
    type: str
  attr:
    description: See O(closure.nixos.nixos_option_info#module:attr).
    type: list
    elements: str
    default: []
  nixpkgs:
    description: See O(closure.nixos.nix_build_system#module:nixpkgs).
    type: raw
  args:
    description: See O(closure.nixos.nix_build_system#module:args).
    type: dict
    default: {}
notes:
  - E(NIX_PATH) does not count. Nix code that looks C(<nixpkgs>) up there does not evaluate.
seealso:
  - module: closure.nixos.nixos_option_info
"""

EXAMPLES = r"""
---
- name: Show the first port of the host's sshd
  ansible.builtin.debug:
    msg: "{{ lookup('closure.nixos.option', 'services.openssh.ports',
      file='nixos.nix', attr=inventory_hostname) | first }}"
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: raw
  sample: [[22], true]
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import Inputs
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.local import local_options


class LookupModule(LookupBase):
    """Evaluate on the controller."""

    def run(
        self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[t.Any]:
        """Return the values of the options."""
        self.set_options(var_options=variables, direct=kwargs)
        arguments = self.get_options()
        if unknown := sorted(kwargs.keys() - arguments.keys()):
            raise AnsibleLookupError(
                f"closure.nixos.option has no option {', '.join(unknown)}. It has: "
                f"{', '.join(sorted(arguments.keys() - {'_terms'}))}."
            )
        host = arguments["host"] or (variables or {}).get("inventory_hostname", "localhost")
        loader = self._loader or DataLoader()
        try:
            request = Inputs.of({"override_inputs": {}, **arguments}).request(
                str(host), loader.path_dwim
            )
            return local_options(request, str(host), terms, loader.get_basedir())
        except ClosureError as error:
            raise AnsibleLookupError(str(error)) from error

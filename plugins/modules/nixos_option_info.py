#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_option_info
short_description: Read the values of NixOS options
version_added: 0.1.0
description:
  - Evaluates the options of a host's configuration as it is in Nix, after all modules, defaults and
    priorities, as C(nixos-option) would on the host.
  - So a play can take a port, a user or a path from the configuration instead of repeating it.
  - The task's host itself is not asked, and need not be reachable when another host evaluates.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    support: none
    details:
      - This module changes nothing.
  idempotent:
    support: full
    details:
      - This module changes nothing.
options:
  options:
    description:
      - Names of the options, such as V(networking.firewall.allowedTCPPorts).
      - A name may lead into an option's value, as in V(fileSystems."/".device).
    type: list
    elements: str
    required: true
  details:
    description:
      - Return also where the options are declared and defined, with type, default and description.
    type: bool
    default: false
  file:
    description:
      - See O(closure.nixos.nix_build_system#module:file).
    type: str
  expression:
    description:
      - See O(closure.nixos.nix_build_system#module:expression).
    type: str
  configuration:
    description:
      - See O(closure.nixos.nix_build_system#module:configuration).
    type: list
    elements: raw
  flake:
    description:
      - See O(closure.nixos.nix_build_system#module:flake).
    type: str
  override_inputs:
    description:
      - See O(closure.nixos.nix_build_system#module:override_inputs).
    type: dict
    default: {}
  attr:
    description:
      - Attribute path in O(file), O(expression) or O(flake) of what nixpkgs' C(nixos/default.nix)
        or C(lib.nixosSystem) returns. A toplevel has no options any more.
    type: list
    elements: str
    default: []
  nixpkgs:
    description:
      - See O(closure.nixos.nix_build_system#module:nixpkgs).
    type: raw
  args:
    description:
      - See O(closure.nixos.nix_build_system#module:args).
    type: dict
    default: {}
  systems:
    description:
      - See O(closure.nixos.nix_build_system#module:systems).
    type: dict
  hosts:
    description:
      - See O(closure.nixos.nix_build_system#module:hosts).
    type: list
    elements: str
  build_host:
    description:
      - Inventory host that evaluates, or V(localhost) for the controller. Without it the task's own
        host does.
    type: str
  source:
    description:
      - See O(closure.nixos.nix_build_system#module:source).
    type: path
  bring_source:
    description:
      - See O(closure.nixos.nix_build_system#module:bring_source).
    type: bool
    default: true
  args_may_be_public:
    description:
      - See O(closure.nixos.nix_build_system#module:args_may_be_public).
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the evaluation may take. Then it is stopped.
    type: int
    default: 3600
notes:
  - C(There is no option) is followed by the name that was probably meant, or by those that there
    are.
  - C(has no form in JSON) means that the value holds a function. A package becomes its store path.
seealso:
  - module: closure.nixos.nix_build_system
  - plugin: closure.nixos.option
    plugin_type: lookup
"""

EXAMPLES = r"""
---
- name: Read which ports the hosts open, all in one evaluation
  closure.nixos.nixos_option_info:
    file: nixos.nix
    attr: "{{ inventory_hostname }}"
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: localhost
    options:
      - networking.firewall.allowedTCPPorts
      - services.openssh.ports
  register: options

- name: Wait for a port that the configuration opens
  ansible.builtin.wait_for:
    host: "{{ ansible_host }}"
    port: "{{ options.option_values['services.openssh.ports'][0] }}"
  delegate_to: localhost

- name: Find out who sets an option
  closure.nixos.nixos_option_info:
    flake: .
    options: [networking.hostName]
    details: true
  delegate_to: localhost
"""

RETURN = r"""
option_values:
  description:
    - The value of each option that has one, by its name. A package or another derivation is its
      store path.
  returned: when the options of the task make sense
  type: dict
  sample:
    networking.firewall.allowedTCPPorts: [22]
option_errors:
  description:
    - Why each of the other options has no value, by its name. The task fails when there is one.
  returned: when the options of the task make sense
  type: dict
  sample:
    networking.fqdn: "networking.fqdn: nixos.nix does not evaluate: error: The FQDN needs
      `networking.domain'"
option_details:
  description:
    - What is known of each option by its name.
  returned: when O(details) is true
  type: dict
  sample:
    networking.hostName:
      value: web1
      type: string
      default: nixos
      description: The name of the host.
      declared_in: [/srv/nixpkgs/nixos/modules/tasks/network-interfaces.nix]
      defined_in: [/srv/fleet/hosts/web1.nix]
systems:
  description:
    - By name, what this module returns for each of O(systems), with C(changed), and C(failed) for
      one that failed. The task fails when one does, and has the others here.
  returned: when O(systems) is given
  type: dict
  sample:
    web1:
      changed: false
      option_values:
        networking.hostName: web1
msg:
  description:
    - Which options have no value, and why; or why there is no configuration.
  returned: failure
  type: str
  sample: There is no option networking.hostNam. Did you mean networking.hostName?
trace:
  description:
    - What Nix said while it evaluated what failed, with its trace. The middle of a long one
      is left out unless the playbook runs with C(-vvv).
  returned: when an evaluation failed
  type: str
  sample: "error: no such thing\n"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_OPTION_INFO


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_OPTION_INFO, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_option_info runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_reboot
short_description: Reboot a NixOS host and wait until it is back
version_added: 0.1.0
description:
  - Reboots the host through systemd and waits until it answers again. M(ansible.builtin.reboot)
    does that too, for hosts that have Python.
  - Says which system came up, since that need not be the one that was meant.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Reboots each time. M(closure.nixos.nixos_facts) says in C(reboot_required) whether to.
  become:
    details:
      - Needs root.
requirements:
  - systemd on the host.
options:
  timeout:
    description:
      - Seconds in which the host has to be back.
    type: int
    default: 600
notes:
  - C(did not come back in time) means that O(timeout) has passed. The host may still come.
seealso:
  - module: closure.nixos.nixos_facts
  - module: closure.nixos.nixos_confirm
"""

EXAMPLES = r"""
---
- name: Look at the host
  closure.nixos.nixos_facts:

- name: Reboot it where that is needed
  closure.nixos.nixos_reboot:
  become: true
  when: ansible_facts.nixos.reboot_required
"""

RETURN = r"""
---
booted_before:
  description: The system that the host had booted.
  returned: success
  type: str
  sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
booted:
  description: The system that it has booted now.
  returned: success
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
seconds:
  description: How long the task took.
  returned: success
  type: float
  sample: 31.4
msg:
  description: What happened.
  returned: always
  type: str
  sample: has booted nixos-system-node1-26.05.standin
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_REBOOT


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_REBOOT, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_reboot runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

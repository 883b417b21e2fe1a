#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_confirm
short_description: Confirm the NixOS system that a host has on trial
version_added: 0.1.0
description:
  - Tells a host, over a new connection, that the system which M(closure.nixos.nixos_switch)
    activated with C(confirm_timeout) is good. The host then records it in the system profile and
    makes it its boot default, in one job of its own that needs nobody to wait for it. Until then a
    reboot brings the old system, and a guard on the host rolls back to it when no confirmation
    comes in time.
  - Before it confirms, it requires that the host runs the system, is not in maintenance mode, and
    that no unit has failed which had not failed before. Your own checks are the tasks that you put
    before this one.
  - When the boot loader cannot be written after the confirmation, the host rolls back as a whole,
    and the task fails.
  - Where no trial is on, it makes the system that runs the one that boots, if it is not.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Says whether there is something to confirm, and connects anew. Requires nothing of the
        system, since check mode has not activated it.
  diff_mode:
    support: full
    details:
      - Shows the system that the profile pointed to and the one that it points to now.
  idempotent:
    support: full
  become:
    details:
      - Needs root.
requirements:
  - systemd on the host.
options:
  path:
    description:
      - The store path of the system to confirm. The task fails when the host runs another.
      - Without it, the system that is on trial, or else the one that runs.
    type: str
  host:
    description:
      - The address at which the host answers now, when the new system changes it.
      - By default the one in the inventory.
    type: str
  port:
    description:
      - The port of sshd, when the new system changes it.
      - By default the one in the inventory.
    type: int
  connect_timeout:
    description:
      - Seconds for which to try to connect.
    type: int
    default: 30
  connection:
    description:
      - What it takes to confirm. With V(new), the host has to say that its ssh connection was made
        for this task, whatever the ssh arguments are, so that the new system lets people in.
        In the run that has put the system on trial, one that was made after the first new one to it
        counts too.
      - V(any) also takes one of which the host does not say when it was made, because another
        server than OpenSSH's or dropbear carries it. One that was there before is always refused.
    type: str
    choices: [new, any]
    default: new
  ignore_units:
    description:
      - Units that may have failed, as O(closure.nixos.nixos_switch#module:ignore_units) names them.
    type: list
    elements: str
    default: []
  profile:
    description:
      - Name of the system profile, as in M(closure.nixos.nix_profile_set).
    type: str
    default: system
  timeout:
    description:
      - Seconds to wait until the system is the boot default. One that takes longer goes on.
    type: int
    default: 600
notes:
  - C(does not answer on a new connection) means that nobody could log in any more after this
    deployment. The host rolls back by itself.
  - C(it is too late) means that the guard has rolled back already. Raise C(confirm_timeout) of
    M(closure.nixos.nixos_switch) when your checks take longer.
seealso:
  - module: closure.nixos.nixos_switch
  - module: closure.nixos.nixos_rollback
"""

EXAMPLES = r"""
---
- name: Activate the system, and roll back unless it is confirmed
  become: true
  block:
    - name: Activate on trial
      closure.nixos.nixos_switch:
        path: "{{ toplevel }}"
        confirm_timeout: 120

    - name: Check that the site answers
      ansible.builtin.uri:
        url: "http://{{ ansible_host }}/"
      delegate_to: localhost
      become: false

    - name: Confirm
      closure.nixos.nixos_confirm:
        path: "{{ toplevel }}"

- name: Confirm at the port that the new system listens on
  closure.nixos.nixos_confirm:
    port: 2222
  become: true
"""

RETURN = r"""
---
path:
  description: The system that was to be confirmed.
  returned: always
  type: str
  sample: /nix/store/0c9lvyyqbb3bx2aadqvs5qvj4x1ajpdm-nixos-system-web1-25.11
boots:
  description: Whether the host boots it.
  returned: always
  type: bool
  sample: true
connection:
  description:
    - V(new) when the host says that the connection was made for this task, so that it lets people
      in.
    - V(old) when it was there before, and V(unknown) where the host does not know, as with
      connection plugins that are not ssh.
  returned: always
  type: str
  sample: new
rolled_back:
  description: Whether the host rolled back instead.
  returned: always
  type: bool
  sample: false
generation:
  description: The current generation of the profile, or null.
  returned: always
  type: dict
  contains:
    number:
      description: Its number.
      returned: always
      type: int
      sample: 42
    path:
      description: The system that it holds.
      returned: always
      type: str
      sample: /nix/store/0c9lvyyqbb3bx2aadqvs5qvj4x1ajpdm-nixos-system-web1-25.11
    date:
      description: When it was made, or null.
      returned: always
      type: str
      sample: "2026-11-20T09:30:00Z"
    current:
      description: Always true.
      returned: always
      type: bool
      sample: true
stdout:
  description: What making the system the boot default said.
  returned: when that was done
  type: str
  sample: ""
stderr:
  description: What making the system the boot default said.
  returned: when that was done
  type: str
  sample: ""
msg:
  description: What happened.
  returned: always
  type: str
  sample: runs and boots generation 42, nixos-system-web1-25.11
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_CONFIRM


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_CONFIRM, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_confirm runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_rollback
short_description: Roll back to a recorded NixOS system
version_added: 0.1.0
description:
  - Points the system profile to a generation that the host has, or to another system in its store,
    and activates it as M(closure.nixos.nixos_switch) does.
  - Deletes nothing. The generation that the host leaves stays, so that O(to) can name it to go
    forward again.
  - Needs nothing but the host. Nothing is evaluated, built or copied.
  - Waits up to ten minutes for another switch before it changes anything.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Says in RV(to) where it would go, and returns what dry-activate announces as RV(plan).
        That needs root.
      - When only the boot default would change, there is no plan.
  diff_mode:
    support: full
    details:
      - Shows the system that the profile pointed to and the one that it points to now, the packages
        that differ, what takes effect only after a reboot, and the units that would be stopped,
        restarted, reloaded and started.
      - With O(action=boot), shows no units.
  idempotent:
    support: partial
    details:
      - With O(to), a host that runs and boots the system is left alone.
      - Without it, each run rolls back by one more system.
  become:
    details:
      - Everything but finding that nothing is left to do needs root.
requirements:
  - systemd on the host, for an activation that outlives its connection. Without it, the activation
    is a process of its own.
options:
  to:
    description:
      - What to roll back to. The number of a generation, the store path of a system, or V(booted)
        for the system that the host booted.
      - Without it, the newest generation that is older than the current one and holds another
        system, but for one that was tried by a reboot and never confirmed. RV(to) names it, also in
        check mode. While a system is on trial, what the host was before.
      - V(unconfirmed) for what the host was before the system that is on trial, see
        C(confirm_timeout) of M(closure.nixos.nixos_switch). The host's guard rolls back, at once.
        Where nothing is on trial, nothing is done, and RV(msg) tells what became of the trial that
        this run began.
      - The profile goes to the generation of that number while it holds the system. A system that
        no generation holds becomes a new one. A profile that points to the system by another number
        is left as it is.
      - M(closure.nixos.nixos_facts) lists the generations.
    type: str
  action:
    description:
      - V(switch) activates the system and makes it the boot default.
      - V(boot) makes it the boot default and activates nothing.
    type: str
    choices: [switch, boot]
    default: switch
  why:
    description:
      - Why the host rolls back, for the record of the deployment on the host. Only said of a system
        that is on trial.
    type: str
    default: somebody asked for it
  connect_timeout:
    description:
      - Seconds for which to try to connect to a host that answered before, as when its guard takes
        it back from a system that shuts us out. V(0) for what Ansible does with any host.
    type: int
    default: 0
  profile:
    description:
      - Name of the system profile, as in M(closure.nixos.nix_profile_set).
    type: str
    default: system
  timeout:
    description:
      - Seconds to wait for the activation. One that takes longer goes on, and the task fails.
    type: int
    default: 3600
notes:
  - C(There is no generation) means that O(to) names one that was deleted or never was. The message
    lists those that exist.
  - C(No generation before NUMBER holds another system) means that the host has nothing older. Name
    a generation or a store path in O(to).
  - C(which is not in the host's store) means that the path was never copied there, or that somebody
    removed it. M(closure.nixos.nix_copy_closure) brings it from a host that has it.
  - After a failure the profile may point to the old system already. The message says what the host
    runs and boots. Run the task again with O(to), it does what is left to do.
seealso:
  - module: closure.nixos.nixos_facts
  - module: closure.nixos.nixos_switch
  - module: closure.nixos.nix_profile_set
"""

EXAMPLES = r"""
---
- name: Roll back to the system before the current one
  closure.nixos.nixos_rollback:
  become: true

- name: Roll back to a generation
  closure.nixos.nixos_rollback:
    to: 41
  become: true

- name: Undo what was activated since the last boot
  closure.nixos.nixos_rollback:
    to: booted
  become: true

- name: Roll back from a system that is on trial
  closure.nixos.nixos_rollback:
    to: unconfirmed
    why: the site does not answer
  become: true

- name: Boot a generation next time
  closure.nixos.nixos_rollback:
    to: 41
    action: boot
  become: true

- name: Remember what runs
  closure.nixos.nixos_facts:

- name: Switch, and roll back where the site does not answer
  block:
    - name: Switch
      closure.nixos.nixos_switch:
        path: "{{ built.path }}"
      become: true

    - name: Ask the site
      ansible.builtin.uri:
        url: "https://{{ inventory_hostname }}/"
      delegate_to: localhost
  rescue:
    - name: Roll back to what ran before
      closure.nixos.nixos_rollback:
        to: "{{ ansible_facts.nixos.running }}"
      become: true

    - name: Fail all the same
      ansible.builtin.fail:
        msg: The new system was not healthy, so the host was rolled back.
"""

RETURN = r"""
from:
  description:
    - Generation that the profile pointed to before the task. V(null) when there was none.
  returned: success, and when the activation failed
  type: dict
  contains: &generation
    number:
      description: Its number.
      returned: always
      type: int
      sample: 42
    path:
      description: Store path of its system.
      returned: always
      type: str
      sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
    date:
      description: When it was made, in UTC. V(null) when the host cannot say.
      returned: always
      type: str
      sample: "2026-11-22T17:01:25Z"
    current:
      description: Whether the profile pointed to it when the host was asked.
      returned: always
      type: bool
      sample: true
to:
  description:
    - What the task went to, or in check mode would go to.
  returned: success, and when the activation failed
  type: dict
  contains:
    number:
      description:
        - Number of the generation that held the system when the host was asked. V(null) when none
          did.
      returned: always
      type: int
      sample: 41
    path:
      description: Store path of the system.
      returned: always
      type: str
      sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-node1-26.05.standin
rolled_back:
  description:
    - Whether the host's guard rolled it back from a system on trial, now or before.
  returned: success, and when the activation failed
  type: bool
  sample: false
generation:
  description:
    - Generation that the profile points to after the task. In check mode it is RV(from).
  returned: success, and when the activation failed
  type: dict
  contains: *generation
  sample:
    number: 41
    path: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-node1-26.05.standin
    date: "2026-11-20T09:12:03Z"
    current: true
path:
  description:
    - Store path of the system, as in RV(to.path).
  returned: success, and when the host cannot take it
  type: str
  sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-node1-26.05.standin
actions:
  description:
    - As RV(closure.nixos.nixos_switch#module:actions).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: [switch]
system_before:
  description:
    - As RV(closure.nixos.nixos_switch#module:system_before).
  returned: success, and when the activation failed
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
system_after:
  description:
    - As RV(closure.nixos.nixos_switch#module:system_after).
  returned: success, and when the activation failed
  type: str
  sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
plan:
  description:
    - As RV(closure.nixos.nixos_switch#module:plan).
  returned: success, and when the activation failed
  type: dict
  sample: {stop: [greeter.service], start: [greeter.service]}
report:
  description:
    - As RV(closure.nixos.nixos_switch#module:report).
  returned: success, and when the activation failed
  type: dict
  sample: {stopped: [greeter.service], started: [greeter.service]}
units:
  description:
    - As RV(closure.nixos.nixos_switch#module:units). Lost units are a warning here.
  returned: success, and when the activation failed
  type: dict
  sample: {started: [], stopped: [], restarted: [greeter.service], reloaded: []}
outcome:
  description:
    - As RV(closure.nixos.nixos_switch#module:outcome).
  returned: success, and when the activation failed
  type: str
  sample: ok
exit_code:
  description:
    - As RV(closure.nixos.nixos_switch#module:exit_code).
  returned: success, and when the activation failed
  type: int
  sample: 0
failed_units_before:
  description:
    - As RV(closure.nixos.nixos_switch#module:failed_units_before).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
newly_failed_units:
  description:
    - As RV(closure.nixos.nixos_switch#module:newly_failed_units).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
unit_logs:
  description:
    - As RV(closure.nixos.nixos_switch#module:unit_logs).
  returned: success, and when the activation failed
  type: dict
  sample: {}
failed_units:
  description:
    - As RV(closure.nixos.nixos_switch#module:failed_units).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
reboot_required:
  description:
    - As RV(closure.nixos.nixos_switch#module:reboot_required).
  returned: success, and when the activation failed
  type: bool
  sample: false
reboot_reasons:
  description:
    - As RV(closure.nixos.nixos_switch#module:reboot_reasons).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
seconds:
  description:
    - As RV(closure.nixos.nixos_switch#module:seconds).
  returned: success, and when the activation failed
  type: float
  sample: 2.731
stdout:
  description:
    - As RV(closure.nixos.nixos_switch#module:stdout).
  returned: success, and when the activation failed
  type: str
  sample: "setting up /etc...\n"
stderr:
  description:
    - As RV(closure.nixos.nixos_switch#module:stderr).
  returned: success, when the activation failed, and when another command failed
  type: str
  sample: "activating the configuration...\n"
logs:
  description:
    - As RV(closure.nixos.nixos_switch#module:logs).
  returned: success, and when the activation failed
  type: str
  sample: /run/closure-nixos/jobs/activation
rc:
  description:
    - As RV(closure.nixos.nixos_switch#module:rc).
  returned: when a command failed before the activation
  type: int
  sample: 1
msg:
  description:
    - What was done, or what failed and what to do about it.
  returned: always
  type: str
  sample: >-
    rolled back from generation 42 to generation 41, nixos-system-node1-26.05.standin
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_ROLLBACK


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_ROLLBACK, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_rollback runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

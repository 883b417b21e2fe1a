#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_profile_activate
short_description: Activate a profile that is not the system's
version_added: 0.1.0
description:
  - Brings a user of the host what a closure activates, such as the files of C(home-manager), and
    records the closure in a profile of that user.
  - The program that activates runs as that user, in a job of the host that ends without us. When it
    fails or takes too long, the host activates what the profile held before, and the profile stays
    there.
  - A profile that holds the closure already is left alone, unless its activation was cut short.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing. Reports a change also for a closure that is not in the host's store yet,
        and for a user that the host does not have yet.
  diff_mode:
    support: full
    details:
      - Shows what the profile held and what it holds now and, where both are in the host's store,
        how their packages differ.
  idempotent:
    support: full
  become:
    details:
      - Needs root, who acts as O(user). Do not set C(become_user).
options:
  path:
    description:
      - Store path of the closure, which M(closure.nixos.nix_copy_closure) has brought there.
    type: str
  generation:
    description:
      - Number of a generation of the profile that is to be activated again.
    type: int
  user:
    description:
      - Whose profile it is, and who activates it.
    type: str
    default: root
  kind:
    description:
      - What made the closure. It says how that is activated and where its profile is.
      - V(home-manager) runs C(activate), for the profile
        C(~/.local/state/nix/profiles/home-manager).
      - V(system-manager) runs C(bin/activate), for the profile
        C(/nix/var/nix/profiles/system-manager-profiles/system-manager).
      - V(custom) runs O(command).
    type: str
    choices: [home-manager, system-manager, custom]
    default: custom
  command:
    description:
      - The program that activates, a path within the closure, and its arguments. It may be run for
        a closure that is active already.
      - In its environment, E(PROFILE) is the store path, as for programs that were made for
        deploy-rs, whose name in the closure is C(deploy-rs-activate).
      - With another O(kind) than V(custom), more arguments for its program.
    type: list
    elements: str
    default: []
  name:
    description:
      - Name of the profile, by default that of the O(kind). V(custom) has none.
      - A profile of root is below C(/nix/var/nix/profiles), one of another user below
        C(~/.local/state/nix/profiles).
    type: str
  profile_path:
    description:
      - Path of the profile, where that is another. What begins with C(~/) is in the user's home.
      - The profiles of NixOS systems are refused.
    type: str
  timeout:
    description:
      - Seconds after which an activation is ended and rolled back.
    type: int
    default: 600
requirements:
  - The program C(setpriv) of util-linux on the host.
notes:
  - An activation that fails may have changed files before. What was there is activated again, which
    mends as much of that as its program can.
  - Where a first activation fails, there is nothing to roll back to. What it has done stays, the
    profile does not record it, and the next run tries again.
  - C(home-manager) reloads the user's units when the user's systemd runs, as with
    C(users.users.NAME.linger).
  - The user has to be one whom the host's Nix serves, as C(nix.settings.allowed-users) says.
seealso:
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_profile_set
"""

EXAMPLES = r"""
---
- name: Copy the home of alice
  closure.nixos.nix_copy_closure:
    path: "{{ home.path }}"

- name: Activate the home of alice
  closure.nixos.nix_profile_activate:
    path: "{{ home.path }}"
    user: alice
    kind: home-manager
  become: true

- name: Roll it back to its third generation
  closure.nixos.nix_profile_activate:
    generation: 3
    user: alice
    kind: home-manager
  become: true

- name: Activate a program of our own
  closure.nixos.nix_profile_activate:
    path: "{{ backup.path }}"
    name: backup
    command: [bin/install-backup, --quiet]
  become: true
"""

RETURN = r"""
profile:
  description:
    - Path of the profile.
  returned: success, and when the activation fails
  type: str
  sample: /home/alice/.local/state/nix/profiles/home-manager
user:
  description:
    - Whose profile it is.
  returned: success, and when the activation fails
  type: str
  sample: alice
name:
  description:
    - Name of the profile.
  returned: success, and when the activation fails
  type: str
  sample: home-manager
path:
  description:
    - Store path of the closure that the profile is to hold.
  returned: success, and when the host cannot activate it
  type: str
  sample: /nix/store/0c0rdghk3kwq3ms3s9qcvsg3d1ldd0xn-home-manager-generation
outdated:
  description:
    - Whether there was something to do, as the profile held another closure, or its activation was
      cut short.
  returned: success, and when the activation fails
  type: bool
  sample: true
generation_before:
  description:
    - Generation that the profile pointed to before the task. V(null) when there was none.
  returned: success, and when the activation fails
  type: dict
  contains: &generation
    number:
      description: Its number.
      returned: always
      type: int
      sample: 1
    path:
      description: Its store path.
      returned: always
      type: str
      sample: /nix/store/0c0rdghk3kwq3ms3s9qcvsg3d1ldd0xn-home-manager-generation
    date:
      description: When it was made, in UTC. V(null) when the host cannot say.
      returned: always
      type: str
      sample: "2026-11-22T17:00:17Z"
    current:
      description: Whether the profile pointed to it when the host was asked.
      returned: always
      type: bool
      sample: true
generation:
  description:
    - Generation that the profile points to after the task. In check mode it is the same as
      RV(generation_before).
  returned: success, and when the activation fails
  type: dict
  contains: *generation
stdout:
  description:
    - What the activation has printed on stdout. Empty when nothing was activated.
  returned: success, and when the activation fails
  type: str
  sample: "Starting Home Manager activation\n"
stderr:
  description:
    - What the activation has printed on stderr, or why the host could not be asked.
  returned: success, and on most failures
  type: str
  sample: ""
rolled_back:
  description:
    - Whether what the profile held before is active again.
  returned: when the activation fails
  type: bool
  sample: true
rc:
  description:
    - Exit status of the program that has failed. V(null) when nobody saw its end.
  returned: on failure
  type: int
  sample: 3
msg:
  description:
    - What failed, and what is now.
  returned: failure
  type: str
  sample: >-
    node1: activate of /nix/store/0c0rdghk3kwq3ms3s9qcvsg3d1ldd0xn-home-manager-generation ended
    with exit status 3. home-manager of alice is rolled back to generation 1,
    /nix/store/8d4mkb1b3m8p6x3vd2s5ny6ld2j1yxfd-home-manager-generation.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_ACTIVATE


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_PROFILE_ACTIVATE, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_profile_activate runs on the controller, and its action plugin was "
        "not found there. Install the whole collection closure.nixos and call the module by this "
        "name."
    )


if __name__ == "__main__":
    main()

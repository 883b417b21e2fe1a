#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_profile_set
short_description: Record a NixOS system in a profile
version_added: 0.1.0
description:
  - Points a system profile at a NixOS system in the host's store, which makes a new generation.
  - Activates nothing and installs no boot loader. M(closure.nixos.nixos_switch) does both, and
    finds the system by the profile.
  - Refuses a path that is not in the host's store, that is not a NixOS system, or that is built for
    another platform.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing. Reports a change also for a path that is not in the host's store yet,
        because check mode copies none.
      - Does not find out whether the login may change the profile.
  diff_mode:
    support: full
    details:
      - Shows the system that the profile pointed to and the one that it points to now, and the
        generations that are deleted.
  idempotent:
    support: full
    details:
      - A profile that points to the path is left alone, also when its newest generation is another.
  become:
    details:
      - Changing the profile needs root.
options:
  path:
    description:
      - Store path of the system, such as RV(closure.nixos.nix_build_system#module:path).
      - Without it and without O(generation), the profile goes on to point where it does.
    type: str
  generation:
    description:
      - Number of a generation of the profile, to which the profile is switched.
    type: int
  keep:
    description:
      - How many of the newest generations to keep. The others are deleted, but for those that the
        profile points to, that run, that were booted and that the host will boot.
      - Their store paths go with the next garbage collection, their entries in the boot menu with
        the next M(closure.nixos.nixos_switch) that writes it.
    type: int
  profile:
    description:
      - Name of the profile. V(system) is C(/nix/var/nix/profiles/system), any other name is below
        C(/nix/var/nix/profiles/system-profiles), as with C(nixos-rebuild --profile-name).
    type: str
    default: system
notes:
  - C(has no generation) means O(generation). Those that exist are named.
  - C(does not have PATH in its store) means that M(closure.nixos.nix_copy_closure) did not run
    before, or that a garbage collection took the path since.
  - C(is built for PLATFORM, but the host is PLATFORM) means that C(nixpkgs.hostPlatform) in the
    host's configuration is not the host's.
seealso:
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Record the system that was copied
  closure.nixos.nix_profile_set:
    path: "{{ built.path }}"
  become: true

- name: Roll back to generation 12, and switch there
  closure.nixos.nix_profile_set:
    generation: 12
  become: true

- name: Keep ten generations
  closure.nixos.nix_profile_set:
    keep: 10
  become: true

- name: Record it in a profile of its own, beside the one that the host boots
  closure.nixos.nix_profile_set:
    path: "{{ built.path }}"
    profile: rescue
  become: true
"""

RETURN = r"""
profile:
  description:
    - Path of the profile.
  returned: success
  type: str
  sample: /nix/var/nix/profiles/system
path:
  description:
    - Store path of the system that the profile is to point to.
  returned: success, and when the host cannot take it
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
generation_before:
  description:
    - Generation that the profile pointed to before the task. V(null) when there was none.
  returned: success
  type: dict
  contains: &generation
    number:
      description: Its number.
      returned: always
      type: int
      sample: 1
    path:
      description: Store path of its system.
      returned: always
      type: str
      sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
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
  returned: success
  type: dict
  contains: *generation
  sample:
    number: 2
    path: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
    date: "2026-11-22T17:01:25Z"
    current: true
generations_before:
  description:
    - Generations of the profile before the task, oldest first.
  returned: success
  type: list
  elements: dict
  contains: *generation
generations:
  description:
    - Generations of the profile after the task, oldest first. In check mode they are the same as
      RV(generations_before).
  returned: success
  type: list
  elements: dict
  contains: *generation
deleted:
  description:
    - Numbers of the generations that were deleted, or in check mode would be.
  returned: success
  type: list
  elements: int
  sample: [1, 2]
boot_menu_written:
  description:
    - Whether the boot menu was written anew, without the entries of generations that O(keep) has
      deleted. V(false) when none went, when the profile is not the system's, and when something
      else boots than it held before; the next deployment writes the menu then.
  returned: success
  type: bool
  sample: false
msg:
  description:
    - Why the profile was not set.
  returned: failure
  type: str
  sample: "node1: deploy cannot change the system. Set become: true for this task."
rc:
  description:
    - Exit code of the command that failed on the host.
  returned: when a command failed
  type: int
  sample: 1
stderr:
  description:
    - What the command said.
  returned: when a command failed
  type: str
  sample: "error: opening lock file '/nix/var/nix/db/big-lock': No space left on device"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_SET


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_PROFILE_SET, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_profile_set runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

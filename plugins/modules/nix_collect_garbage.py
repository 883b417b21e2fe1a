#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_collect_garbage
short_description: Delete old generations and what nothing needs any more
version_added: 0.1.0
description:
  - Deletes the generations of profiles that are neither among the newest nor young, takes their
    entries out of the boot menu, and collects the garbage of the Nix store.
  - Never deletes a generation that the profile points to, that runs, that was booted, that the host
    will boot, or that is on trial or what a trial rolls back to.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Says which generations would go, and how many store paths and bytes nothing would need then.
  diff_mode:
    support: full
    details:
      - Shows the generations of each profile before and after.
  idempotent:
    support: full
    details:
      - Reports a change only when a generation or a store path was deleted, or a file replaced.
  become:
    details:
      - Deleting needs root.
options:
  keep:
    description:
      - How many of the newest generations of each profile to keep. Without it, O(keep_since) and
        O(delete_generations), no generation is deleted.
    type: int
  keep_since:
    description:
      - An age such as V(30d), V(12h) or V(2w). Younger generations stay, also when there are more
        than O(keep). Without O(keep), the newest stays in any case.
    type: str
  delete_generations:
    description:
      - Numbers of generations of each profile that go whatever their age, such as one with a kernel
        that nobody is to boot. One that the host runs, boots or rolls back to is refused.
    type: list
    elements: int
    default: []
  profiles:
    description:
      - Names of system profiles, as in O(closure.nixos.nix_profile_set#module:profile), or paths of
        other profiles.
    type: list
    elements: str
    default: [system]
  collect:
    description:
      - Whether to collect garbage. V(false) only deletes generations.
    type: bool
    default: true
  optimise:
    description:
      - Whether to replace equal files in the store by links afterwards, which takes its time.
    type: bool
    default: false
  max_freed:
    description:
      - How much to free at most, such as V(10G). The collection ends then.
    type: bytes
  timeout:
    description:
      - Seconds that the collection may take. It is stopped then; what it has deleted is gone, all
        else is whole.
    type: int
    default: 3600
notes:
  - C(generations were deleted, and the boot loader was not written) means that the boot menu still
    has entries of what was deleted. The host boots what it did, and the message has the command
    that writes the menu.
  - C(did not collect its garbage) is followed by what Nix said.
seealso:
  - module: closure.nixos.nix_profile_set
"""

EXAMPLES = r"""
---
- name: Keep the last five generations, and all of the last month
  closure.nixos.nix_collect_garbage:
    keep: 5
    keep_since: 30d

- name: Make room for a deployment, and no more
  closure.nixos.nix_collect_garbage:
    max_freed: 5G
"""

RETURN = r"""
deleted:
  description: Numbers of the generations that were deleted, or would be, by profile.
  returned: success
  type: dict
  sample:
    /nix/var/nix/profiles/system: [1, 2]
kept:
  description: Numbers of the generations that stay, by profile.
  returned: success
  type: dict
  sample:
    /nix/var/nix/profiles/system: [3, 4]
paths:
  description: Number of store paths that were deleted, or would be.
  returned: success
  type: int
  sample: 152
freed:
  description: Bytes that were freed, or would be. Files that other paths share are counted too.
  returned: success
  type: int
  sample: 30408704
optimised:
  description: Bytes that were saved by links between equal files.
  returned: success
  type: int
  sample: 0
boot_menu_written:
  description:
    - Whether the boot menu was written anew. V(false) when no generation of the system profile
      went, and when something else boots than the profile holds; the next deployment writes it.
  returned: success
  type: bool
  sample: true
msg:
  description: What was done, or why it was not.
  returned: always
  type: str
  sample: freed 2 generations, 152 store paths, 29.0 MiB
rc:
  description: Exit code of the command that failed on the host.
  returned: when a command failed
  type: int
  sample: 1
stderr:
  description: What the command said.
  returned: when a command failed
  type: str
  sample: "error: opening lock file '/nix/var/nix/db/big-lock': No space left on device"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COLLECT_GARBAGE


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_COLLECT_GARBAGE, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_collect_garbage runs on the controller, and its action plugin was "
        "not found there. Install the whole collection closure.nixos and call the module by this "
        "name."
    )


if __name__ == "__main__":
    main()

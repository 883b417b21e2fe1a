#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_gc_root
short_description: Keep a store path on a host
version_added: 0.1.0
description:
  - Has a link in C(/nix/var/nix/gcroots/closure-nixos/kept) hold a store path, so that no garbage
    collection takes it or what it needs. The system and its profile stay as they are.
  - It is for what stands beside the system, such as a program that a play needs for a time.
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
  diff_mode:
    support: full
    details:
      - Shows the path that the link held and the one that it holds now.
  idempotent:
    support: full
  become:
    details:
      - Making or removing a link needs root.
options:
  name:
    description:
      - Name of the link.
    type: str
    required: true
  path:
    description:
      - Store path to keep, such as RV(closure.nixos.nix_build#module:path). It has to be in the
        host's store, see M(closure.nixos.nix_copy_closure).
      - Required with O(state=present).
    type: str
  state:
    description:
      - V(absent) removes the link. The next garbage collection then takes the path, unless
        something else needs it.
    type: str
    choices: [present, absent]
    default: present
notes:
  - C(does not have PATH in its store) means that M(closure.nixos.nix_copy_closure) did not run
    before.
seealso:
  - module: closure.nixos.nix_build
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_collect_garbage
"""

EXAMPLES = r"""
---
- name: Keep what was copied
  closure.nixos.nix_gc_root:
    name: jq
    path: "{{ built.path }}"
  become: true

- name: Keep it no longer
  closure.nixos.nix_gc_root:
    name: jq
    state: absent
  become: true
"""

RETURN = r"""
link:
  description:
    - The link.
  returned: success
  type: str
  sample: /nix/var/nix/gcroots/closure-nixos/kept/jq
path:
  description:
    - Store path that the link holds, or in check mode would hold. V(null) when it is absent.
  returned: success
  type: str
  sample: /nix/store/6i1cx3kgw7i1hq42hy7v9p6wq3m6b1qa-jq-1.7.1
path_before:
  description:
    - Store path that the link held before the task. V(null) when there was no link.
  returned: success
  type: str
  sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-jq-1.6
there:
  description:
    - Whether the host's store has O(path). V(false) in check mode, where nothing is copied before,
      and with O(state=absent).
  returned: success
  type: bool
  sample: true
msg:
  description:
    - Why the link was not made or removed.
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
  sample: "ln: failed to create symbolic link: No space left on device"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_GC_ROOT


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_GC_ROOT, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_gc_root runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

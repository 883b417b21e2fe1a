#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_build_system
short_description: Build NixOS systems on a build host
version_added: 0.1.0
description:
  - Evaluates a Nix file and builds the NixOS system that it describes for the task's host.
  - The task's host itself is not changed, and need not be reachable when another host builds.
  - Can build for many hosts in one evaluation, see O(hosts).
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Evaluates, which writes derivations to the build host's store, and builds nothing.
      - Reports a change when the system is not in the build host's store.
  diff_mode:
    support: none
    details:
      - What a system changes on its host is shown by M(closure.nixos.nix_copy_closure) in check
        mode, and by M(closure.nixos.nixos_switch).
  idempotent:
    support: full
    details:
      - A system that is in the build host's store is not built again.
  become:
    details:
      - The keywords of the task count when the task's own host builds. For another O(build_host)
        its own variables count, such as C(ansible_become).
options:
  file:
    description:
      - Nix file that holds the systems, on the build host.
      - A relative path starts from the playbook's directory. The path is made absolute on the
        controller, so another build host must have the file at that same path.
    type: path
    required: true
  attr:
    description:
      - Attribute path of the system in O(file), as for C(nix-build -A). Quote a name with a dot.
      - Of several paths, the first that exists is taken. Without any, the file is the system.
      - A system is what C(import <nixpkgs/nixos>) or C(lib.nixosSystem) returns, or its
        C(config.system.build.toplevel). A function on the way is called with its defaults.
    type: list
    elements: str
    default: []
  hosts:
    description:
      - Names of inventory hosts whose systems to evaluate and build together with this host's.
        The task's own host is always one of them.
      - O(file) and O(attr) are templated for each host with that host's own variables.
      - The first task that asks builds for all of them, and the others wait for it. The result is
        kept until C(ansible-playbook) ends. It is given to every task that asks for the same, and
        a failure is kept as well. So a file that changes during the run is not built again.
      - A host whose system does not evaluate or build fails alone. The others get theirs.
      - Without this option, each host's task builds for that host only.
    type: list
    elements: str
  build_host:
    description:
      - Inventory host that evaluates and builds, or V(localhost) for the controller.
      - Without it the task's own host does. So the task may be delegated to the build host instead.
    type: str
  build_lease:
    description:
      - Seconds that a build goes on when the controller no longer asks after it. Then it ends, and
        nothing of it is left running after a killed C(ansible-playbook).
    type: int
    default: 30
  roots:
    description:
      - Directory on the build host for links that keep the built systems from being garbage
        collected. Each link has the name of its host, and is replaced by that host's next build.
      - Without it the links are in C(/run/closure-nixos/roots), which a reboot empties, when root
        builds. Else they are in C(closure-nixos/roots) in the user's state directory,
        C(~/.local/state) unless E(XDG_STATE_HOME) is set.
    type: path
  timeout:
    description:
      - Seconds that the evaluation may take, and again that the build may take. Then it is stopped.
    type: int
    default: 86400
notes:
  - Warnings of the evaluation are shown as Ansible's warnings.
  - C(FILE does not evaluate) is followed by Nix's own error, and C(FILE has no attribute) by the
    names that there are.
  - C(DERIVATION does not build) is followed by the end of its log, and by the command that shows
    all of it on the build host.
  - C(is not a NixOS system) means that O(attr) leads to something else.
seealso:
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_profile_set
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Build the system of each host on the controller, all in one evaluation
  closure.nixos.nix_build_system:
    file: nixos.nix
    attr: "{{ inventory_hostname }}.system"
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: localhost
  register: built

- name: Build on a build host, and keep the results there
  closure.nixos.nix_build_system:
    file: /srv/nixos/default.nix
    # The host's own system, or else that of its role.
    attr:
      - nodes."{{ inventory_hostname }}"
      - roles."{{ nixos_role }}"
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: builder1
    roots: /nix/var/nix/gcroots/fleet
  register: built
"""

RETURN = r"""
path:
  description:
    - Store path of the host's system, also in check mode, when it may not be built yet.
  returned: success
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
drv_path:
  description:
    - Store path of the derivation that builds the system.
  returned: success, and when what it builds is not there or no NixOS system
  type: str
  sample: /nix/store/6d2n5fxfs19c464r4r1p4mzr6n4ph8nm-nixos-system-node1-26.05.standin.drv
platform:
  description:
    - Platform that the system is built for. V(null) in check mode.
  returned: success
  type: str
  sample: x86_64-linux
nixos_version:
  description:
    - NixOS version of the system. V(null) in check mode.
  returned: success
  type: str
  sample: 26.05.standin
msg:
  description:
    - Why there is no system, with Nix's own message in it.
  returned: failure
  type: str
  sample: "/srv/fleet/nixos.nix has no attribute nod1: nod1 does not exist. Did you mean node1?"
rc:
  description:
    - Exit code of Nix, V(null) when it was killed.
  returned: when the evaluation or the build failed
  type: int
  sample: 1
stderr:
  description:
    - All that Nix said.
  returned: when the evaluation or the build failed
  type: str
  sample: "error: no such thing\n(use '--show-trace' to show detailed location information)\n"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD_SYSTEM


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_BUILD_SYSTEM, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_build_system runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

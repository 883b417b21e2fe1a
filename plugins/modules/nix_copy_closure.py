#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_copy_closure
short_description: Copy a closure from a build host to a host
version_added: 0.1.0
description:
  - Asks the task's host which paths of a closure it lacks, and copies these from O(build_host).
  - Only store paths are copied. The host's profile and what it runs stay as they are.
  - Nix copies with an C(ssh) of its own, from the build host to the task's host. It gets host,
    port, user, key, jump host and further options from Ansible, in a generated C(ssh_config).
  - As root, it first plants a link in C(/nix/var/nix/gcroots/closure-nixos) on the task's host.
    So no garbage collection takes the closure before M(closure.nixos.nix_profile_set) records it.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Asks the host what it lacks, copies nothing and plants no link.
      - When O(path) is not built yet, it reports a change and says that what is missing is not
        known.
  diff_mode:
    support: partial
    details:
      - In check mode, shows the packages that differ between the running system and the closure.
        Otherwise it shows nothing, because M(closure.nixos.nixos_switch) does.
  idempotent:
    support: full
  become:
    support: partial
    details:
      - Only sudo that asks for no password. Nix's side on the host is then started with
        C(sudo -n nix-store).
      - The keywords of the task count for the task's host. For O(build_host) its own variables
        count, such as C(ansible_become).
  connection:
    support: partial
    details:
      - The task's host must be reached by C(ssh), without an ssh password. The build host may use
        any connection plugin.
options:
  path:
    description:
      - Store path whose closure to copy, such as RV(closure.nixos.nix_build_system#module:path).
    type: str
    required: true
  build_host:
    description:
      - Inventory host that has the closure, or V(localhost) for the controller.
      - Its C(ssh) connects to the task's host, so a key file is looked for on the build host.
    type: str
    default: localhost
  substitute_on_destination:
    description:
      - Whether the host may fetch missing paths from its own binary caches.
    type: bool
    default: true
  timeout:
    description:
      - Seconds that the copy may take. Then it is stopped.
    type: int
    default: 86400
notes:
  - The copy never shares a connection with another C(ssh). Its C(ControlPath) is V(none), because
    a shared one can make Nix hang (L(NixOS/nix#3017, https://github.com/NixOS/nix/issues/3017)).
  - The host accepts a closure from root, from a user in its C(trusted-users), or when the closure
    is signed with a key in its C(trusted-public-keys). When it refuses, the task's message names
    these three ways.
  - C(sudo asks for a password there) means that Nix cannot become root. Give the login C(NOPASSWD)
    for C(nix-store), sign the closure, or log in as a trusted user and do not become root.
  - C(is reached with an ssh password) means that the host needs a key, on the build host.
  - C(does not have PATH in its store) names O(build_host), which did not build the path.
  - A copy that nobody asks after for 30 seconds ends itself. The next one copies what is left.
seealso:
  - module: closure.nixos.nix_build_system
  - module: closure.nixos.nix_profile_set
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Copy what the controller has built
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"

- name: Copy from a build host, to a host without access to binary caches
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    build_host: builder1
    substitute_on_destination: false
  become: true
"""

RETURN = r"""
path:
  description:
    - Store path whose closure was asked for.
  returned: success, and when a host lacks it
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
missing_paths:
  description:
    - Store paths that the host lacked, and that were copied unless in check mode.
    - V(null) in check mode when the path is not built yet.
  returned: success
  type: list
  elements: str
  sample:
    - /nix/store/33j7wmc3h34b7mizqrmvzyakq11bczbb-system-units
    - /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
    - /nix/store/r8rzri42iyy8h6nsxiriv1an0zb7x377-greeter-start
    - /nix/store/x86an3ll9lhig2ylaz3d6b9kpfql6kim-etc
missing_bytes:
  description:
    - Size of the missing paths, unpacked. V(null) when they are not known.
  returned: success
  type: int
  sample: 31056
closure_paths:
  description:
    - How many paths the closure has. V(null) when it is not built yet.
  returned: success
  type: int
  sample: 20
closure_bytes:
  description:
    - Size of the whole closure, unpacked. V(null) when it is not built yet.
  returned: success
  type: int
  sample: 2131472
seconds:
  description:
    - How long the task took. V(0) when the path is not built yet.
  returned: success
  type: float
  sample: 1.652
msg:
  description:
    - What was missing, or why the task failed.
  returned: always
  type: str
  sample: 4 of 20 paths, 30.3 KiB
rc:
  description:
    - Exit code of Nix, V(null) when it was killed.
  returned: when the copy failed, or the host did not say what it lacks
  type: int
  sample: 1
stderr:
  description:
    - All that Nix said.
  returned: when a command failed
  type: str
  sample: |
    copying 4 paths...
    error: cannot add path '/nix/store/jhkz875dxahp0idfgbpny3vwykq387vw-greeter-start' because it
      lacks a signature by a trusted key
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_COPY_CLOSURE, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_copy_closure runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_install
short_description: Install a NixOS system below a mounted root
version_added: 0.1.0
description:
  - Installs a finished system on a machine that runs an installer, a rescue system or any Linux
    with Nix, without sources there. The closure has to be in the store below O(root) already, where
    M(closure.nixos.nix_copy_closure) puts it with its option O(ignore:root).
  - Takes the steps of C(nixos-install --system). It records the system in the profile there, marks
    the root as a NixOS, gives it its ssh host key and who may log in, activates the system below
    the root and has it install its boot loader.
  - Partitions nothing, makes no file system and mounts none. The file systems that the system
    mounts at its boot have to be mounted below O(root).
  - The system's own programs do the last steps, in a mount namespace of their own, so that nothing
    stays mounted. What their activation writes to C(/run) is gone afterwards.
  - The role P(closure.nixos.install#role) builds, copies, installs and reboots.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing. When the closure is not below O(root) yet, what the system itself would
        show is not known, such as a file system that is not mounted.
  diff_mode:
    support: full
    details:
      - Shows the system that the profile below O(root) points to before and after.
  idempotent:
    support: full
    details:
      - What is as it was asked for stays. A boot loader counts as installed once the system's own
        program has said so for this system.
  become:
    details:
      - Installing needs root.
options:
  path:
    description:
      - Store path of the system, such as RV(closure.nixos.nix_build_system#module:path).
    type: str
    required: true
  root:
    description:
      - Directory that the new system's root is mounted on.
    type: str
    default: /mnt
  install_bootloader:
    description:
      - Whether the system installs its boot loader. Leave it out for one that something else
        starts, as a container or over the network.
    type: bool
    default: true
  authorized_keys:
    description:
      - Public keys, a string each, that are added to C(/root/.ssh/authorized_keys). A configuration
        that names its own keys needs none here.
    type: list
    elements: str
    default: []
  ssh_host_key:
    description:
      - Private key of type ed25519 that the new host's sshd shows, as C(ssh-keygen) writes it
        without a passphrase. It is kept in C(/etc/ssh/ssh_host_ed25519_key).
      - Without it, one that is there stays, and else the machine makes one. Either way
        RV(ssh_host_keys) has its public half, so that the host is known before it boots.
    type: str
  root_password_hash:
    description:
      - Hash of root's password, as C(mkpasswd) prints it. What the configuration says of root's
        password counts more, when C(users.mutableUsers) is false.
    type: str
  timeout:
    description:
      - Seconds that the activation and the boot loader may take. Then they are stopped.
    type: int
    default: 3600
notes:
  - C(nothing is mounted on) names a directory below O(root) that the system mounts at its boot, by
    its C(fileSystems), or O(root) itself. Those with C(noauto), C(nofail) or C(_netdev), and what
    is bound or in memory, need not be there.
  - The host key and the password hash travel on standard input. They are in no list of processes,
    log or result.
seealso:
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_build_system
"""

EXAMPLES = r"""
---
- name: Copy the system below the root that is mounted
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"
    root: /mnt

- name: Install it
  closure.nixos.nixos_install:
    path: "{{ built.path }}"
    root_password_hash: "{{ vault_root_password_hash }}"
  register: installed

- name: Install it with the host key that its secrets are encrypted for
  closure.nixos.nixos_install:
    path: "{{ built.path }}"
    ssh_host_key: "{{ vault_ssh_host_key }}"
"""

RETURN = r"""
path:
  description:
    - Store path of the system.
  returned: success, and when the host cannot take it
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
root:
  description:
    - Where its root is mounted.
  returned: success
  type: str
  sample: /mnt
actions:
  description:
    - What was done, or in check mode would be, of C(profile), C(ssh_host_key), C(authorized_keys),
      C(bootloader) and C(root_password).
  returned: success
  type: list
  elements: str
  sample: [profile, ssh_host_key, bootloader]
ssh_host_keys:
  description:
    - Type and key that the new host's sshd will show. Empty in check mode when none is there yet.
  returned: success
  type: list
  elements: str
  sample:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINH7ABrFnAp7vSRJd0yZRWrvF7xAiea/dM5N2GWOR2+U
msg:
  description:
    - What was done, or why the system was not installed.
  returned: always
  type: str
  sample: "node1: nothing is mounted on /mnt/boot."
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
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_INSTALL


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_INSTALL, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_install runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

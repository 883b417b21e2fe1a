#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixpkgs_pin
short_description: Write and update the file that pins nixpkgs
version_added: 0.1.0
description:
  - Asks Nix what is upstream, and writes its address and hash to a JSON file that
    C(builtins.fetchTarball) and M(closure.nixos.nix_build_system) take.
  - With the file in version control, every controller and build host builds from the same nixpkgs,
    and an update of NixOS is a change of this one file. No channel and no E(NIX_PATH) counts.
  - Runs on the task's host, so delegate the task to where the file is.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Fetches what is upstream into the store, and does not write the file.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A file that pins what is upstream is not written, however its hash is written.
options:
  path:
    description:
      - The file. A relative path starts from the playbook's directory.
      - C(~) is a home on the controller, and not taken where another host has the file.
    type: str
    required: true
  ref:
    description:
      - Branch or tag in O(github) whose newest commit to pin, such as V(nixos-25.11).
      - Give one of O(ref), O(rev) and O(url).
    type: str
  rev:
    description:
      - Commit in O(github) to pin.
    type: str
  github:
    description:
      - The repository of O(ref) and O(rev), as owner and name.
    type: str
    default: NixOS/nixpkgs
  url:
    description:
      - Address of a tarball to pin. It should always give the same tarball, else builds fail once
        it gives another.
    type: str
  timeout:
    description:
      - Seconds that the download may take.
    type: int
    default: 3600
notes:
  - C(is no pin) means that the file holds something else, which is not overwritten.
  - C(does not get) is followed by Nix's own error.
seealso:
  - module: closure.nixos.nix_build_system
"""

EXAMPLES = r"""
---
- name: Pin the newest commit of NixOS 25.11
  closure.nixos.nixpkgs_pin:
    path: nixpkgs.json
    ref: nixos-25.11
  delegate_to: localhost
  run_once: true

- name: Pin one commit
  closure.nixos.nixpkgs_pin:
    path: nixpkgs.json
    rev: 62b852f6c6742134ade1abdd2a21685fd617a291
  delegate_to: localhost
  run_once: true

- name: Pin a tarball of our own mirror
  closure.nixos.nixpkgs_pin:
    path: nixpkgs.json
    url: https://mirror.example.org/nixpkgs-25.11.1234.tar.gz
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/fleet/nixpkgs.json
url:
  description: Address of the tarball that is upstream.
  returned: success
  type: str
  sample: https://github.com/NixOS/nixpkgs/archive/62b852f6c6742134ade1abdd2a21685fd617a291.tar.gz
sha256:
  description: Hash of its unpacked content.
  returned: success
  type: str
  sample: sha256-TUdtEMDNHBAGpcsJrFxHrHkLQLCLEhRcbwoKUBxbwWM=
rev:
  description: Commit. V(null) for a O(url).
  returned: success
  type: str
  sample: 62b852f6c6742134ade1abdd2a21685fd617a291
date:
  description: Date of the commit, or of the newest file in the tarball where that is known.
  returned: success
  type: str
  sample: "2026-06-01"
msg:
  description: What became of the file, or why the module failed.
  returned: always
  type: str
  sample: /srv/fleet/nixpkgs.json is up to date
rc:
  description: Exit code of Nix, V(null) when it was killed.
  returned: when the host does not fetch or write
  type: int
  sample: 1
stderr:
  description: What the host said.
  returned: when the host does not fetch or write
  type: str
  sample: "error: unable to download 'https://example.org/x.tar.gz'"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXPKGS_PIN


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXPKGS_PIN, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixpkgs_pin runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

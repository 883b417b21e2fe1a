#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nix_build
short_description: Build a package on a build host
version_added: 0.1.0
description:
  - Evaluates Nix code and builds the package that it has, any derivation, such as a program that
    stands beside a system.
  - For NixOS systems there is M(closure.nixos.nix_build_system), which looks for a host's system by
    itself and refuses what is none.
  - The task's host itself is not changed, and need not be reachable when another host builds.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Evaluates, which writes derivations to the build host's store, and builds nothing.
      - Reports a change when the package is not in the build host's store.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A package that is in the build host's store is not built again.
  become:
    details:
      - The keywords of the task count when the task's own host builds. For another O(build_host)
        its own variables count, such as C(ansible_become).
options:
  file:
    description:
      - Nix file that holds the package, as O(closure.nixos.nix_build_system#module:file) takes it.
    type: str
  expression:
    description:
      - Nix expression that holds the package.
    type: str
  flake:
    description:
      - Flake that holds the package, as O(closure.nixos.nix_build_system#module:flake) takes it.
    type: str
  override_inputs:
    description:
      - Inputs of O(flake) by name, with the reference of another flake for each, as with
        O(closure.nixos.nix_build_system#module:override_inputs).
    type: dict
    default: {}
  attr:
    description:
      - Attribute path of the package, as for C(nix-build -A). Quote a name with a dot.
      - What C(pkgs) of a host's own configuration has is V(web1.pkgs.jq) in a file with systems,
        and V(nixosConfigurations.web1.pkgs.jq) in a flake.
      - Of several paths, the first that leads to a package is taken.
      - Of a package with several outputs, the one that it stands for is built. Name another one
        with its attribute, such as V(pkgs.openssl.dev).
    type: list
    elements: str
    default: []
  args:
    description:
      - Arguments for functions in O(file) and O(expression), any values that JSON can hold. Each
        function gets those that it names. They may come into the store, which all can read.
    type: dict
    default: {}
  args_may_be_public:
    description:
      - Take values in O(args) that Ansible Vault has encrypted.
    type: bool
    default: false
  name:
    description:
      - What the package is called, for the link that keeps it on the build host. The next build of
        that name for the host replaces it.
    type: str
    default: package
  hosts:
    description:
      - Names of inventory hosts whose packages to evaluate and build together with this host's,
        once in a run, as with O(closure.nixos.nix_build_system#module:hosts).
    type: list
    elements: str
  build_host:
    description:
      - Inventory host that evaluates and builds, or V(localhost) for the controller.
      - Without it the task's own host does.
    type: str
  source:
    description:
      - Directory on the controller with the Nix code, to bring to a build host that is another
        host, as with O(closure.nixos.nix_build_system#module:source).
    type: path
  bring_source:
    description:
      - Bring what O(file), O(flake) and O(expression) name, and the controller has, to a build host
        that is another host.
    type: bool
    default: true
  roots:
    description:
      - Directory on the build host for links that keep what was built from being garbage collected.
        Each is called C(.NAME.HOST). Without it they are where
        O(closure.nixos.nix_build_system#module:roots) says.
    type: str
  timeout:
    description:
      - Seconds that the evaluation may take, and again that the build may take. Then it is stopped.
    type: int
    default: 86400
  check_build:
    description:
      - Build in check mode as well.
    type: bool
    default: false
  nix_options:
    description:
      - Settings for Nix by their names in C(nix.conf).
    type: dict
    default: {}
notes:
  - C(is no package) means that O(attr) leads to something else than a derivation.
seealso:
  - module: closure.nixos.nix_build_system
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_gc_root
"""

EXAMPLES = r"""
---
- name: Build jq of each host's own nixpkgs on the controller
  closure.nixos.nix_build:
    file: nixos.nix
    attr: '"{{ inventory_hostname }}".pkgs.jq'
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: localhost
    name: jq
  register: built

- name: Copy it
  closure.nixos.nix_copy_closure:
    path: "{{ built.path }}"

- name: Keep it
  closure.nixos.nix_gc_root:
    name: jq
    path: "{{ built.path }}"
  become: true
"""

RETURN = r"""
path:
  description:
    - Store path of the package, also in check mode, when it may not be built yet.
  returned: success
  type: str
  sample: /nix/store/6i1cx3kgw7i1hq42hy7v9p6wq3m6b1qa-jq-1.7.1
drv_path:
  description:
    - Store path of the derivation that builds the package.
  returned: success, and when it does not build
  type: str
  sample: /nix/store/6d2n5fxfs19c464r4r1p4mzr6n4ph8nm-jq-1.7.1.drv
closure_bytes:
  description:
    - Size of the package with all it needs. V(null) in check mode.
  returned: success
  type: int
  sample: 2129848
built:
  description:
    - How many derivations it needed to be built, or would in check mode.
  returned: success
  type: int
  sample: 1
fetched:
  description:
    - How many paths it needed from binary caches, or would in check mode.
  returned: success
  type: int
  sample: 0
plan:
  description:
    - What Nix planned, before the build, as RV(closure.nixos.nix_build_system#module:plan).
  returned: success
  type: dict
  sample: {derivations: [], paths: [], download_bytes: 0, unpacked_bytes: 0}
seconds_evaluation:
  description:
    - Seconds that the evaluation for all hosts took.
  returned: success, and when the evaluation or the build failed
  type: float
  sample: 0.775
seconds_build:
  description:
    - Seconds that the build for all hosts took. V(0) in check mode.
  returned: success
  type: float
  sample: 1.135
msg:
  description:
    - Why there is no package, with Nix's own message in it.
  returned: failure
  type: str
  sample: "/srv/fleet/nixos.nix has no attribute web1.pkgs.jk: jk does not exist. Did you mean jq?"
rc:
  description:
    - Exit code of Nix, V(null) when it was killed.
  returned: when the evaluation or the build failed
  type: int
  sample: 1
trace:
  description:
    - What Nix said, with the trace of an evaluation. The middle of a long one is left out unless
      the playbook runs with C(-vvv).
  returned: when the evaluation or the build failed
  type: str
  sample: "error: no such thing"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIX_BUILD, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nix_build runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

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
  - Evaluates NixOS configurations and builds the system that they describe for the task's host.
  - Give one of O(file), O(expression), O(configuration) and O(flake), or several systems in
    O(systems).
  - The task's host itself is not changed, and need not be reachable when another host builds.
  - Can build for many hosts together, see O(hosts).
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
      - A relative path starts from the playbook's directory. What the controller has goes to
        another build host, see O(bring_source).
    type: str
  expression:
    description:
      - Nix expression that holds the systems.
      - A relative path in it starts from the playbook's directory, where the build host has that.
    type: str
  configuration:
    description:
      - Modules of the system, each a path on the build host or a dictionary that is itself a
        module.
      - They are evaluated with O(nixpkgs), and neither E(NIX_PATH) nor a channel counts.
      - The platform is the build host's unless the modules set C(nixpkgs.hostPlatform).
    type: list
    elements: raw
  nixpkgs:
    description:
      - The nixpkgs that O(configuration) is evaluated with.
      - Either a dictionary with C(url) and C(sha256), or the path of a pin file on the build host,
        or the path of a directory there.
      - A pin file ends in C(.json). It holds C(url) and C(sha256), as
        M(closure.nixos.nixpkgs_pin) writes it, or is the C(sources.json) of npins or niv with a
        pin C(nixpkgs).
    type: raw
  flake:
    description:
      - Flake that holds the systems, V(github:owner/repo) or a path that begins with C(.) or C(/).
        Of a Git tree only what Git tracks counts. Its C(flake.lock) must pin all inputs.
      - The system is the C(nixosConfigurations) of the host's name. With C(#NAME) it is that of
        another name, or the attribute of that path.
    type: str
  override_inputs:
    description:
      - Inputs of O(flake) by name, with the reference of another flake for each, as with
        C(nix build --override-input). A reference is V(github:owner/repo) or the like, or a path
        that begins with C(.) or C(/). The input of an input is C(NAME/NAME).
      - C(flake.lock) stays as it is. What a reference means is looked up anew each time, so name a
        revision where it matters.
    type: dict
    default: {}
  attr:
    description:
      - Attribute path of the system in O(file), O(expression) or O(flake), as for C(nix-build -A).
        Quote a name with a dot.
      - Of several paths, the first that leads to a system is taken. Without any, the file is the
        system, or else a set with the system in the attribute of the host's name.
      - A system is what nixpkgs' C(nixos/default.nix) or C(lib.nixosSystem) returns, or its
        C(config.system.build.toplevel). A function on the way is called with O(args).
    type: list
    elements: str
    default: []
  args:
    description:
      - Arguments for the Nix code, any values that JSON can hold. They are part of what is
        evaluated, so the same arguments give the same system.
      - What they hold may come into the store, which all users of a host can read. Bring secrets
        to a host by another way. A value that Ansible Vault has encrypted is refused here and in
        O(configuration), see O(args_may_be_public).
      - The functions in O(file) and O(expression) get those that they name, the modules of
        O(configuration) and O(flake) get them beside C(pkgs) and C(lib), as C(specialArgs).
    type: dict
    default: {}
  systems:
    description:
      - Several systems by name, to evaluate and build together in one task. Each is a dictionary of
        the options O(file), O(expression), O(configuration), O(flake), O(override_inputs), O(attr),
        O(nixpkgs) and O(args), and what it leaves out is as the task has it. One that says nonsense
        fails alone.
      - Use O(hosts) instead when each host of the play needs its own system.
    type: dict
  hosts:
    description:
      - Names of inventory hosts whose systems to evaluate and build together with this host's.
        The task's own host is always one of them.
      - O(file), O(attr) and the like are templated for each host with that host's own variables.
      - The first task that asks builds for all of them, and the others wait for it. The result is
        kept until C(ansible-playbook) ends. It is given to every task that asks for the same, and
        a failure is kept as well. So a file that changes during the run is not built again.
      - Another task of the same host that asks for the same finds it done, and reports no change.
      - That the build host was not reached, or that the time ran out, is kept for the other hosts.
        The host that met it tries again when it asks again, as with C(until).
      - A host whose system does not evaluate or build fails alone. The others get theirs.
      - Without this option, each host's task builds for that host only.
    type: list
    elements: str
  build_host:
    description:
      - Inventory host that evaluates and builds, or V(localhost) for the controller.
      - Without it the task's own host does. So the task may be delegated to the build host instead.
    type: str
  source:
    description:
      - Directory on the controller with the Nix code, to bring to a build host that is another
        host. Paths below it in O(file), O(configuration), O(nixpkgs), O(flake) and O(expression)
        then mean what was brought.
      - Of a Git tree only what Git tracks is brought. It goes into the build host's store, once in
        a run. Messages name its files as they are on the controller.
      - Without it the controller finds out, see O(bring_source).
    type: path
  bring_source:
    description:
      - Bring what O(file), O(configuration), O(nixpkgs), O(flake) and O(expression) name, and the
        controller has, to a build host that is another host. Of each path its Git tree goes there,
        or its directory where there is no Git tree, as with O(source). An expression takes that of
        the playbook's directory with it.
      - With V(false) the build host must have itself what is not in O(source), at the same paths.
    type: bool
    default: true
  args_may_be_public:
    description:
      - Take values in O(args) and O(configuration) that Ansible Vault has encrypted. All users of a
        host can read them in its store afterwards.
      - Only a value that is itself encrypted is recognized. One that was put together with another
        text, or that comes from a file which is encrypted as a whole, is not.
    type: bool
    default: false
  variant:
    description:
      - Build what runs the system elsewhere, to try it, instead of the system of the host.
      - V(container) is the system as it runs in a container. It has no kernel
        (C(boot.isContainer)) and no disks (C(fileSystems), C(swapDevices)). All else is as on its
        host.
      - V(vm) is NixOS's own C(system.build.vm), a directory with a program that runs the system in
        a virtual machine. C(virtualisation.vmVariant) says what differs there.
      - Needs what nixpkgs' C(nixos/default.nix) or C(lib.nixosSystem) returns.
    type: str
    choices: [container, vm]
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
      - C(~/) is the home of who builds. On the controller a relative path starts from the
        playbook's directory.
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
  eval_memory_mb:
    description:
      - Megabytes that the evaluation may take, all its processes together. A process that would
        need more evaluates its systems in several turns. What a system needs is measured at the
        first.
      - V(0) means three quarters of what is free on the build host when O(eval_workers) is
        V(auto), and no limit otherwise.
    type: int
    default: 0
  eval_workers:
    description:
      - How many processes evaluate at the same time, each a share of the systems. V(auto) takes as
        many as the build host has cores, as far as its memory goes.
      - A system that does not evaluate costs the others nothing but a new process for the rest of
        its share.
      - Hosts whose O(expression) differs are never in one process. So put what differs in
        O(args) or O(attr).
    type: str
    default: auto
  evaluator:
    description:
      - V(nix) evaluates with Nix itself.
      - V(nix-eval-jobs) evaluates with that program, which must be on the build host's E(PATH), by
        O(eval_workers) processes. V(auto) means one then.
    type: str
    choices: [nix, nix-eval-jobs]
    default: nix
  max_jobs:
    description:
      - How many derivations to build at once, a number or V(auto). See C(max-jobs) in the manual of
        C(nix.conf), as for the options below.
    type: str
  cores:
    description:
      - How many cores a derivation may use, V(0) for all.
    type: int
  builders:
    description:
      - Nix's own remote builders, such as V(ssh://builder1 aarch64-linux). They are reached with
        the build host's ssh and its keys.
    type: str
  substituters:
    description:
      - Binary caches to fetch from, instead of those that the build host has configured. A user
        whom its Nix does not trust can name only caches that it trusts.
    type: list
    elements: str
  keep_going:
    description:
      - Go on with the other derivations when one does not build.
    type: bool
    default: true
  require:
    description:
      - Which of O(hosts) have to get a system. With V(all), the task fails on each host when one of
        them does not evaluate or build, so that no host is changed then.
      - V(any) gives each host its own, whatever becomes of the others.
    type: str
    choices: [any, all]
    default: any
  nix_options:
    description:
      - More settings for Nix by their names in C(nix.conf).
    type: dict
    default: {}
notes:
  - C(does not take the source) means that the build host has no C(tar) or no room.
  - Warnings of the evaluation are shown as Ansible's warnings, with the hosts that they are of.
  - C(FILE does not evaluate) is followed by Nix's own error, by the NixOS option that it is in and
    by the innermost place in a file of yours. C(FILE has no attribute) is followed by the names
    that there are.
  - C(DERIVATION does not build) is followed by the end of its log, and by the command that shows
    all of it on the build host.
  - C(is not a NixOS system) means that O(attr) leads to something else.
  - C(has no nix-eval-jobs) means that O(evaluator) asks for what the build host does not have.
  - C(looks <nixpkgs> up in NIX_PATH) warns of Nix code in O(file) or O(expression) that depends on
    who evaluates it. In O(configuration) and O(flake) that is an error.
  - C(is not what was pinned) names both hashes and the command that pins what is there now.
seealso:
  - module: closure.nixos.nixpkgs_pin
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

- name: Build a system from modules and a pinned nixpkgs, with variables of Ansible's
  closure.nixos.nix_build_system:
    configuration:
      - hosts/common.nix
      - hosts/{{ inventory_hostname }}.nix
      - networking:
          hostName: "{{ inventory_hostname }}"
    nixpkgs: nixpkgs.json
    args:
      admins: "{{ admins }}"
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: localhost
  register: built

- name: Build the system that a flake has for the host
  closure.nixos.nix_build_system:
    flake: .
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: localhost
  register: built

- name: Build on a build host from the Nix code that is beside the playbook
  closure.nixos.nix_build_system:
    file: nixos.nix
    attr: "{{ inventory_hostname }}.system"
    source: .
    hosts: "{{ ansible_play_hosts_all }}"
    build_host: builder1
  register: built

- name: Build what an expression says
  closure.nixos.nix_build_system:
    expression: "{ name }: (import ./nixos.nix).${name}.system"
    args:
      name: web1
  delegate_to: localhost
  register: built

- name: Build two systems at once
  closure.nixos.nix_build_system:
    nixpkgs: nixpkgs.json
    systems:
      web1:
        configuration: [hosts/web1.nix]
      db1:
        configuration: [hosts/db1.nix]
  delegate_to: localhost
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
    - Platform that the system is built for. V(null) in check mode, and empty with O(variant=vm).
  returned: success
  type: str
  sample: x86_64-linux
nixos_version:
  description:
    - NixOS version of the system. V(null) in check mode, and empty with O(variant=vm).
  returned: success
  type: str
  sample: 26.05.standin
closure_bytes:
  description:
    - Size of the system with all it needs. V(null) in check mode.
  returned: success
  type: int
  sample: 2129848
built:
  description:
    - How many derivations this system needed to be built, or would in check mode.
  returned: success
  type: int
  sample: 2
fetched:
  description:
    - How many paths this system needed from binary caches, or would in check mode.
  returned: success
  type: int
  sample: 0
plan:
  description:
    - What Nix planned for this system, before the build. Systems may share derivations and paths.
  returned: success
  type: dict
  contains:
    derivations:
      description: Derivations to build.
      returned: success
      type: list
      elements: str
      sample: [/nix/store/7k0a5y9ixvfw5jsr3qhcdhpgp68q9pc1-etc.drv]
    paths:
      description: Store paths to fetch.
      returned: success
      type: list
      elements: str
      sample: []
    download_bytes:
      description: Bytes to download, as exact as Nix's own message.
      returned: success
      type: int
      sample: 0
    unpacked_bytes:
      description: Bytes that the fetched paths take in the store, as exact as Nix's own message.
      returned: success
      type: int
      sample: 0
seconds_evaluation:
  description:
    - Seconds that the evaluation of all systems took.
  returned: success, and when the evaluation or the build failed
  type: float
  sample: 0.775
seconds_build:
  description:
    - Seconds that the build of all systems took. V(0) in check mode.
  returned: success
  type: float
  sample: 1.135
systems:
  description:
    - By name, what this module returns for each of O(systems), with C(changed), and C(failed) for
      one that failed. The task fails when one does, and has the others here.
  returned: when O(systems) is given
  type: dict
  sample:
    web1:
      changed: true
      path: /nix/store/6ld9njzkwwzi3h5g066q24m7grznj3za-nixos-system-web1-26.05.standin
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
trace:
  description:
    - What Nix said of this system, with the trace of an evaluation. The middle of a long one
      is left out unless the playbook runs with C(-vvv).
  returned: when the evaluation or the build failed
  type: str
  sample: "error: no such thing\n"
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

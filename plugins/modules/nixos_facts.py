#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_facts
short_description: Gather facts about a NixOS host
version_added: 0.1.0
description:
  - Says which system a NixOS host runs, which it booted and which it will boot, the generations of
    its system profile, whether it needs a reboot, which units have failed, whom its Nix trusts, and
    how much room it has.
  - Asks all of it in one round trip, but for O(hardware_config) and O(ssh_host_keys).
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Does the same as otherwise, because it changes nothing.
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: N/A
    details:
      - It changes nothing.
  become:
    details:
      - Not needed. But only root sees C(trial) and C(deployment), a process as C(switcher), and in
        C(boots) what M(closure.nixos.nixos_switch) has recorded. For others they are V(null), and a
        warning says so.
  facts:
    description: Returns C(ansible_facts) that are added to the host's variables.
    support: full
options:
  hardware_config:
    description:
      - Whether to ask also for what C(nixos-generate-config --show-hardware-config) says, which
        wants root. It is a round trip more, as is O(ssh_host_keys).
    type: bool
    default: false
  history:
    description:
      - How many records of the last deployments to read, as the role
        P(closure.nixos.deploy#role) leaves them. They are for root alone.
    type: int
    default: 0
  history_directory:
    description:
      - The directory on the host where these records are, as in
        O(closure.nixos.deploy#role:main:deploy_history_directory).
    type: str
    default: /var/lib/closure-nixos
  profile:
    description:
      - Name of the system profile whose generations to list, as in
        M(closure.nixos.nix_profile_set).
    type: str
    default: system
  ssh_host_keys:
    description:
      - Whether to ask also for the public keys of the host's sshd.
    type: bool
    default: false
notes:
  - Needs systemd on the host for the failed units and for whether a switch runs. Without it there
    are none.
seealso:
  - module: closure.nixos.nixos_switch
"""

EXAMPLES = r"""
---
- name: Ask the host what it is
  closure.nixos.nixos_facts:

- name: Name the hosts that run a kernel which is no longer theirs
  ansible.builtin.debug:
    msg: "Reboot for {{ ansible_facts.nixos.reboot_reasons | join(', ') }}"
  when: ansible_facts.nixos.reboot_required

- name: Stop before a host whose /boot is full
  ansible.builtin.assert:
    that: ansible_facts.nixos.boot_free > 100000000

- name: Stop before a host that has failed units
  ansible.builtin.assert:
    that: ansible_facts.nixos.failed_units == []
"""

RETURN = r"""
ansible_facts:
  description:
    - Facts that are added to the host's variables.
  returned: success
  type: dict
  contains:
    nixos:
      description:
        - State of the host. Systems are store paths, V(null) where there is none.
      returned: success
      type: dict
      contains:
        running:
          description: System that runs now, C(/run/current-system).
          returned: success
          type: str
          sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
        booted:
          description: System that was booted, C(/run/booted-system).
          returned: success
          type: str
          sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
        profile:
          description: System that the system profile points to.
          returned: success
          type: str
          sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
        boots:
          description:
            - System that the host will boot, by the files of systemd-boot, GRUB or extlinux where
              the login may read them, or else what M(closure.nixos.nixos_switch) has made the boot
              default, which only root sees. V(null) when neither says so.
          returned: success
          type: str
          sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
        version:
          description: NixOS version of the system that runs.
          returned: success
          type: str
          sample: 26.05.standin
        configuration_revision:
          description: >-
            The Git commit of the configuration, where that sets
            C(system.configurationRevision), else V(null).
          returned: success
          type: str
          sample: 8a2b1c0d
        nixpkgs_revision:
          description: The Git commit of nixpkgs, where the running system knows it, else V(null).
          returned: success
          type: str
          sample: 6ea1f4ea
        platform:
          description: Platform of the host, in Nix's words.
          returned: success
          type: str
          sample: x86_64-linux
        systems:
          description:
            - What C(running), C(booted) and C(profile) are, by these names. V(null) where there is
              none.
          returned: success
          type: dict
          contains:
            running:
              description: System that runs now.
              returned: success
              type: dict
              contains: &system
                path:
                  description: Its store path.
                  returned: success
                  type: str
                version:
                  description: Its NixOS version.
                  returned: success
                  type: str
                platform:
                  description: Platform that it is built for.
                  returned: success
                  type: str
                kernel:
                  description: Version of its kernel. V(null) for a container.
                  returned: success
                  type: str
            booted:
              description: System that was booted.
              returned: success
              type: dict
              contains: *system
            profile:
              description: System that the system profile points to.
              returned: success
              type: dict
              contains: *system
          sample:
            running: &sample
              path: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
              version: 26.05.standin
              platform: x86_64-linux
              kernel: 6.12.30
            booted: *sample
            profile: *sample
        generations:
          description: Generations of the system profile, oldest first.
          returned: success
          type: list
          elements: dict
          contains:
            number:
              description: Its number.
              returned: success
              type: int
              sample: 2
            path:
              description: Store path of its system.
              returned: success
              type: str
              sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
            date:
              description: When it was made, in UTC. V(null) when the host cannot say.
              returned: success
              type: str
              sample: "2026-11-22T17:01:25Z"
            current:
              description: Whether the profile points to it.
              returned: success
              type: bool
              sample: true
            booted:
              description: Whether the host has booted its system.
              returned: success
              type: bool
              sample: false
        reboot_required:
          description: Whether something of the profile's system takes effect only after a reboot.
          returned: success
          type: bool
          sample: false
        reboot_reasons:
          description:
            - What that is. Names of the system's files that differ from the booted system's, such
              as V(kernel), V(initrd) or V(kernel-params), or V(reboot-trigger) with a name.
          returned: success
          type: list
          elements: str
          sample: [kernel, kernel-modules]
        failed_units:
          description:
            - Units of systemd that have failed. Root also sees those of users who are logged in, as
              V(alice/sync.service).
          returned: success
          type: list
          elements: str
          sample: []
        left_failed_units:
          description:
            - Those of them that the activation of the running system has left failed.
          returned: success
          type: list
          elements: str
          sample: []
        specialisation:
          description: >-
            Name of the specialisation that runs, of the system in the profile or of the booted one.
            Null where none does.
          returned: success
          type: str
          sample: battery
        system_state:
          description:
            - What C(systemctl is-system-running) says. V(maintenance) is rescue or emergency mode.
          returned: success
          type: str
          sample: running
        switching:
          description: Whether a switch runs now, by this collection or by C(nixos-rebuild).
          returned: success
          type: bool
          sample: false
        trial:
          description:
            - The last system on trial since the host booted, see C(confirm_timeout) of
              M(closure.nixos.nixos_switch), or V(null). Only root sees it.
          returned: success
          type: dict
          contains:
            state:
              description:
                - V(armed) while it waits for its confirmation, V(confirmed) while it becomes the
                  boot default, V(done); V(back) while the host rolls back, V(returned), or V(lost)
                  when it could not as a whole. V(void) when nothing was activated, V(overtaken)
                  when somebody else has switched the host meanwhile, V(ended) when somebody has
                  ended the guard by hand.
              returned: always
              type: str
              sample: done
            old:
              description: The system that ran before.
              returned: always
              type: str
              sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
            to:
              description: The system on trial.
              returned: always
              type: str
              sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
            runs:
              description: The same, or its specialisation on trial.
              returned: always
              type: str
              sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
            boots:
              description: Whether it becomes the boot default once it is confirmed.
              returned: always
              type: bool
              sample: true
            who:
              description: Who began the trial.
              returned: always
              type: str
              sample: root@controller, first seen 2026-11-22 19:00:00 +0000
            run:
              description: What names the run that began it.
              returned: always
              type: str
              sample: ansible-local-1234x5y6z
            why:
              description: Why the host rolled back, or nothing.
              returned: always
              type: str
              sample: ""
            attended:
              description: Names the process on the controller that looks after the trial.
              returned: always
              type: str
              sample: fd3d5fbb-5a3c-4b7e-8f5d-6f1d2f8b9d11:pid:[4026531836] 4711
            left:
              description: Seconds until the host rolls back by itself, while it waits.
              returned: always
              type: int
              sample: 58
            failed_before:
              description: The units that had failed before.
              returned: always
              type: list
              elements: str
              sample: []
        history:
          description: >-
            The records of the last deployments, the newest last, as
            RV(closure.nixos.deploy_record#module:record) has them.
          returned: success
          type: list
          elements: dict
          sample:
            - time: "2026-11-22T19:00:00Z"
              seconds: 12
              user: root
              controller: controller
              run: ansible-local-1234x5y6z
              source: /infra/nixos.nix
              revision: 8a2b1c0d5e6f708192a3b4c5d6e7f8091a2b3c4d
              subject: Greet in French
              dirty: false
              nixpkgs: null
              build_host: localhost
              action: switch
              from: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
              to: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
              generations: [1, 2]
              units:
                restarted: [nginx.service]
              result: deployed
              what: switched 1 -> 2
              why: ""
        deployment:
          description:
            - What the host remembers of its last deployment by this collection, also across
              reboots, or V(null). Only root sees it, because C(why) may hold what a check has said.
          returned: success
          type: dict
          contains:
            outcome:
              description:
                - V(activated), V(failed) when its activation said so; V(unconfirmed), V(confirmed),
                  V(rolled-back), V(rollback-failed) for a system on trial, and V(overtaken) when
                  somebody else has switched the host meanwhile.
              returned: always
              type: str
              sample: confirmed
            by:
              description:
                - V(guard) when the host itself did it, V(hand) for somebody there, else V(task).
              returned: always
              type: str
              sample: task
            why:
              description: What happened.
              returned: always
              type: str
              sample: it was confirmed
            who:
              description: Who deployed.
              returned: always
              type: str
              sample: root@controller, first seen 2026-11-22 19:00:00 +0000
            run:
              description: What names the run that deployed.
              returned: always
              type: str
              sample: ansible-local-1234x5y6z
            from:
              description: The system that ran before.
              returned: always
              type: str
              sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
            to:
              description: The system that was deployed.
              returned: always
              type: str
              sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
            time:
              description: When that was.
              returned: always
              type: str
              sample: "2026-11-22T19:00:00Z"
        switcher:
          description:
            - The unit or the process that switches, of which only root sees a process. V(null) when
              none does.
          returned: success
          type: str
          sample: nixos-rebuild-switch-to-configuration.service
        kernel:
          description: Release of the kernel that runs.
          returned: success
          type: str
          sample: 6.12.30
        nix_version:
          description: Version of Nix on the host. V(null) when the login does not find it.
          returned: success
          type: str
          sample: 2.26.3
        nix_trusted:
          description:
            - Whether that user is one of Nix's trusted users. V(null) when Nix does not say.
          returned: success
          type: bool
          sample: true
        nix_trusted_keys:
          description: Public keys whose signatures Nix accepts on the host.
          returned: success
          type: list
          elements: str
          sample: ["cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="]
        nix_free:
          description: Bytes that are free for the Nix store.
          returned: success
          type: int
          sample: 80619077632
        is_nixos:
          description: Whether the host is a NixOS at all, by C(/etc/NIXOS).
          returned: success
          type: bool
          sample: true
        updaters:
          description: >-
            Active units that change the system without a deployment, or delete generations:
            C(nixos-upgrade.timer), C(comin.service), and C(nix-gc.timer) where C(nix.gc.options)
            say so.
          returned: success
          type: list
          elements: str
          sample: [nixos-upgrade.timer]
        boot_free:
          description: Bytes that are free in C(/boot). V(null) when there is no such directory.
          returned: success
          type: int
          sample: 412340224
        user:
          description: User that the module was on the host, so after becoming another.
          returned: success
          type: str
          sample: root
        ssh_host_keys:
          description: Public keys of its sshd. V(null) where O(ssh_host_keys) is false.
          returned: success
          type: list
          elements: str
          sample: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDLn0xSQ3u6rG6dYlYw0fK1cR0JzO3Jt2yYt1wq5c1aB]
        hardware_config:
          description: >-
            What would be its C(hardware-configuration.nix). V(null) where O(hardware_config) is
            false.
          returned: success
          type: str
          sample: "{ config, lib, ... }: {\n}\n"
msg:
  description:
    - Why the host was not asked.
  returned: failure
  type: str
  sample: "node1 does not say what it is: sh: nix-env: not found"
rc:
  description:
    - Exit code of the script that failed on the host.
  returned: when a command failed
  type: int
  sample: 1
stderr:
  description:
    - What the script said.
  returned: when a command failed
  type: str
  sample: "error: cannot connect to the daemon socket"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_FACTS


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_FACTS, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_facts runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

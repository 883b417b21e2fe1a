#!/usr/bin/python
# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nixos_switch
short_description: Activate a NixOS system
version_added: 0.1.0
description:
  - Brings the host to a system that is in its store, with the system's C(switch-to-configuration).
  - Does only what is left to do. A system that runs is not activated again, and one that runs
    without being the boot default only becomes that.
  - The activation is a unit of systemd, C(nixos-rebuild-switch-to-configuration). It goes on when
    the connection is lost or C(ansible-playbook) is killed. While it runs, C(nixos-rebuild) cannot
    switch, and the other way round. The task waits for another switch up to O(lock_timeout).
  - When an earlier run was cut off, the next one that asks for the same system waits for the end of
    its activation and returns that as its own result.
  - When an activation was killed on the host, the next task activates even a system that runs,
    because units may have been left stopped.
  - When an activation fails, the task fails and says what the host runs and boots now. It rolls
    nothing back.
  - A part of the activation script that fails, and is the same in the system that ran before, is a
    warning. The old system's activation would fail in it as well.
author:
  - closure.nixos contributors (@closure-nixos)
extends_documentation_fragment:
  - closure.nixos._attributes
attributes:
  check_mode:
    support: full
    details:
      - Runs C(switch-to-configuration dry-activate), which needs root, and returns its
        announcements as RV(plan). On NixOS 18.03 it switches swap off, and activation scripts do
        what they like. So systemd runs it where file systems are read-only, and mounts, swap,
        signals and the kernel's settings are out of reach.
      - When the system is not in the host's store and O(build_host) has it, only what that dry run
        reads is sent, some hundred KB, with the programs that plan the activation where the host
        lacks them. That dry run alone sees it, in a mount namespace of its own in which an overlay
        adds it to the store, so nothing gets into the store and nothing is left of it.
      - On a host without mount namespaces or overlayfs, and for programs of more than 64 MiB, the
        units are compared by their files instead. The task warns, and all of the plan is in
        RV(plan.expected).
      - Otherwise it says that the system is not on the host, and reports a change without a plan.
      - When only the boot default would change, there is no plan either.
      - Does not find out whether the profile points to the system.
  diff_mode:
    support: partial
    details:
      - Shows the packages that differ between the running system and the new one, the versions and
        parameters of the kernel and what else takes effect only after a reboot, and the units that
        were stopped, restarted, reloaded and started, or in check mode would be.
      - Shows no units when only the boot default changes, and no packages for a system that is
        not in the host's store. M(closure.nixos.nix_copy_closure) shows those before the copy.
  idempotent:
    support: full
    details:
      - What the host runs and boots decides, not what an earlier run reported.
      - A host whose boot default was set by other means is set once more. What boots is read from
        the files of systemd-boot, GRUB or extlinux, and where they do not say it, as with GRUB's
        default C(saved), only what this module has set is known for certain.
  become:
    details:
      - Everything but finding that nothing is left to do needs root. A login that is root needs no
        C(become).
requirements:
  - systemd on the host. Without it, as in a container or a chroot, NixOS can make a system the boot
    default and cannot activate one.
options:
  path:
    description:
      - Store path of the system, such as RV(closure.nixos.nix_build_system#module:path).
      - Without it, the system that O(profile) points to.
    type: str
  action:
    description:
      - V(switch) activates the system and makes it the boot default.
      - V(boot) makes it the boot default and activates nothing.
      - V(test) activates it and leaves the boot default as it is.
      - V(dry-activate) says what activating it would do, as in check mode.
      - V(auto) is V(switch) where the running host can take all of the system, and V(boot) where
        the kernel, the initrd, the kernel's modules or parameters, the firmware, the init
        interface or something else that only a reboot changes differs from the running system.
        See RV(reboot_required).
    type: str
    choices: [switch, boot, test, dry-activate, auto]
    default: switch
  build_host:
    description:
      - Host of the inventory that has the system as long as this host does not, as in
        M(closure.nixos.nix_copy_closure). From there, check mode and O(action=dry-activate) plan
        the units before the copy.
      - Without it, they are planned only once the system is on the host.
    type: str
  profile:
    description:
      - Name of the system profile, as in M(closure.nixos.nix_profile_set).
      - For O(action=switch) and O(action=boot) it must point to the system already, because the
        boot loader finds its default by it.
    type: str
    default: system
  specialisation:
    description:
      - Name of a specialisation of the system. It is what is activated then.
      - With O(action=switch), the system itself becomes the boot default first, because the boot
        loader has no default but a generation.
    type: str
  force:
    description:
      - Whether to activate a system that runs already and boots already.
    type: bool
    default: false
  failed_units:
    description:
      - What the task makes of units that failed though the system was activated. With V(fail) it
        fails, with V(warn) it warns, and with V(ignore) it says so in RV(newly_failed_units) only.
      - Units that had failed before do not count. A unit that systemd is about to start again is
        looked at five seconds later, and does not count when it runs then.
      - A later task that finds nothing left to do says the same of those that the activation of the
        running system has left failed, as long as they are.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  lost_units:
    description:
      - What the task makes of units that ran before, that the new system has too, and that do not
        run any more, as RV(units.lost) names them. C(switch-to-configuration) says nothing of them.
        A unit that somebody started by hand is lost when a unit that it requires is stopped.
      - With V(fail) the task fails, though the system was activated, with V(warn) it warns, and
        with V(ignore) it says so in RV(units.lost) only.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  ignore_units:
    description:
      - Names of units that may fail or be lost, with wildcards as in C(systemctl).
      - A name is that of the system's unit and of all users' units. V(alice/sync.service) is the
        unit of that user only.
    type: list
    elements: str
    default: []
  install_bootloader:
    description:
      - Whether to install the boot loader itself anew, as with
        C(nixos-rebuild --install-bootloader).
      - Only counts when there is something left to do that concerns the boot default.
    type: bool
    default: false
  skip_checks:
    description:
      - Whether to activate the system though its pre-switch checks or its switch inhibitors refuse
        it, as with C(NIXOS_NO_CHECK=1). They guard what a running host cannot change safely, such
        as the implementation of D-Bus, so the host may need a reboot afterwards.
      - A change of the init interface is refused all the same.
    type: bool
    default: false
  confirm_timeout:
    description:
      - Runs the system on trial. It is activated as with O(action=test), and a guard on the host
        rolls the host back to the system that runs now unless M(closure.nixos.nixos_confirm) or
        O(confirm) confirms it within this many seconds after the activation. Only then is it
        recorded in the profile and made the boot default, so that the profile need not hold it
        before.
      - V(0) for no trial.
      - The guard needs neither the controller nor the network. It also ends an activation that
        takes longer than O(timeout).
      - With O(action=boot), whatever the number, only the next boot starts the system, and
        M(closure.nixos.nixos_confirm) makes it the boot default. That takes systemd-boot or GRUB.
      - A system that only a reboot brings, as O(action=auto) finds out, is recorded and made the
        boot default at once.
    type: int
    default: 0
  check_timeout:
    description:
      - Once the task itself has come in over a new connection after the activation, the seconds
        from then on in which the system has to be confirmed, instead of those of
        O(confirm_timeout). The host lets people in, and checks may have to wait for other hosts of
        the batch.
    type: int
    default: 900
  confirm:
    description:
      - Confirms the system on trial in the same task, over a new connection, as
        M(closure.nixos.nixos_confirm) does. For who has nothing to check before.
      - A system that is not confirmed fails the task and rolls back by itself.
    type: bool
    default: false
  on_rollback_failure:
    description:
      - What the guard does with a host that it cannot roll back. V(reboot) brings the old system,
        which still is the boot default; V(leave) leaves the host as it is.
    type: str
    choices: [reboot, leave]
    default: reboot
  lock_timeout:
    description:
      - Seconds to wait for another switch on the host, by C(nixos-rebuild) or anyone, also for one
        that begins between the look at the host and the activation, and for the
        end of a trial that another task began.
    type: int
    default: 600
  timeout:
    description:
      - Seconds to wait for the activation. One that takes longer goes on, and the task fails. On
        trial it is ended, and the host rolls back.
    type: int
    default: 3600
notes:
  - Takes one round trip to the host when nothing is left to do. An activation takes two more, and
    from its second second on one for each five seconds of silence or each second with news.
  - With C(-v) all that the activation prints is shown while it runs.
  - C(PROFILE does not hold PATH) means that M(closure.nixos.nix_profile_set) did not run before, or
    that someone else has set the profile since.
  - C(is too old to refuse it itself) means that the new system has another D-Bus implementation
    than a running one of NixOS 25.11 or older. NixOS 26.05 and newer find that themselves, see
    RV(outcome).
  - C(has no specialisation) and C(knows no specialisation) mean O(specialisation).
  - C(is still busy with another switch) means that O(lock_timeout) has passed. The unit or the
    process that switches is named.
  - C(/boot has ... bytes left) means that the system's kernel and initrd do not fit there, and that
    nothing was changed. It is only found where the boot loader copies them, as systemd-boot does,
    and GRUB where it cannot read the store.
  - C(too little for a new generation) means that there is less than 1 MiB or no inode beside the
    profile, and that nothing was changed.
  - C(is in maintenance mode) means that the host is in rescue or emergency mode. As a warning, it
    was before the task. As a failure, the activation has brought it there, as a file system does
    that cannot be mounted, or has failed there.
  - C(is still activating) means that O(timeout) has passed. What runs there goes on. See
    C(systemctl status nixos-rebuild-switch-to-configuration) on the host, and run the task again
    for the result.
  - C(The host may be switched, in part or not at all) means that the activation was killed or the
    host went down under it. Run the task again, it does what is left to do.
seealso:
  - module: closure.nixos.nixos_confirm
  - module: closure.nixos.nix_copy_closure
  - module: closure.nixos.nix_profile_set
  - module: closure.nixos.nixos_facts
"""

EXAMPLES = r"""
---
- name: Switch to the system that was copied and recorded
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
  become: true
  register: switched

- name: Say where the switch was not enough
  ansible.builtin.debug:
    msg: "Reboot this host for: {{ switched.reboot_reasons | join(', ') }}"
  when: switched.reboot_required

- name: Switch where that is safe, and elsewhere make it the boot default
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    action: auto
  become: true
  register: switched

- name: Reboot the hosts that need it
  ansible.builtin.debug:
    msg: "Reboot this host for: {{ switched.reboot_reasons | join(', ') }}"
  when: switched.actions == ['boot']

- name: Run the system's specialisation for the night
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    specialisation: backup
  become: true

- name: Switch though a user's session or the backup may fail
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    ignore_units: [backup.service, "user@*.service"]
  become: true

- name: Switch, and roll back in two minutes unless nixos_confirm comes before
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    confirm_timeout: 120
  become: true

- name: Keep the system only if the host lets people in
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    confirm_timeout: 120
    confirm: true
  become: true

- name: Try the system until the next reboot
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    action: test
  become: true

- name: Boot the profile's system next time
  closure.nixos.nixos_switch:
    action: boot
  become: true

- name: Find out which units a switch would touch
  closure.nixos.nixos_switch:
    path: "{{ built.path }}"
    action: dry-activate
  become: true
  register: dry

- name: Do not touch the database
  ansible.builtin.assert:
    that: "'postgresql.service' not in dry.plan.stop + dry.plan.restart"
  when: dry.plan is not none
"""

RETURN = r"""
path:
  description:
    - Store path of the system that was asked for.
  returned: success, and when the host cannot take it
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
actions:
  description:
    - What C(switch-to-configuration) was called with, or in check mode would be. Empty when nothing
      was left to do. With O(confirm), V(boot) comes last.
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: [switch]
system_before:
  description:
    - System that ran before the task. V(null) when the host runs no NixOS.
  returned: success, and when the activation failed
  type: str
  sample: /nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-nixos-26.05.standin
system_after:
  description:
    - System that runs after the task. In check mode it is the same as RV(system_before).
  returned: success, and when the activation failed
  type: str
  sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
seconds:
  description:
    - How long the task took.
  returned: success, and when the activation failed
  type: float
  sample: 3.284
unconfirmed:
  description:
    - Whether the host rolls back by itself unless M(closure.nixos.nixos_confirm) comes in time.
  returned: success, and when the activation failed
  type: bool
  sample: false
rolled_back:
  description:
    - Whether the guard of O(confirm_timeout) has rolled the host back already.
  returned: success, and when the activation failed
  type: bool
  sample: false
plan:
  description:
    - What dry-activate announced. V(null) unless it was asked, that is in check mode, with
      O(action=dry-activate), and in diff mode.
  returned: success, and when the activation failed
  type: dict
  contains:
    stop:
      description: Units that would be stopped. A unit that is also in RV(plan.start) changes.
      returned: always
      type: list
      elements: str
      sample: [greeter.service]
    not_stop:
      description: Units that changed and would not be stopped.
      returned: always
      type: list
      elements: str
      sample: []
    restart:
      description: Units that would be restarted.
      returned: always
      type: list
      elements: str
      sample: []
    reload:
      description: Units that would be reloaded.
      returned: always
      type: list
      elements: str
      sample: []
    start:
      description: Units that would be started.
      returned: always
      type: list
      elements: str
      sample: [greeter.service]
    user_units:
      description:
        - The same for the units of logged in users. NixOS up to 26.05 does not announce what it
          would do to them, so these lists are empty there. See RV(report.user_units) for what it
          did.
      returned: always
      type: dict
      contains:
        stop:
          description: Units that would be stopped.
          returned: always
          type: list
          elements: str
          sample: []
        not_restart:
          description: Units that changed and would not be restarted.
          returned: always
          type: list
          elements: str
          sample: []
        restart:
          description: Units that would be restarted.
          returned: always
          type: list
          elements: str
          sample: []
        reload:
          description: Units that would be reloaded.
          returned: always
          type: list
          elements: str
          sample: []
        start:
          description: Units that would be started.
          returned: always
          type: list
          elements: str
          sample: []
    expected:
      description:
        - What systemd would do besides, by the dependencies in the unit files of the new system. It
          starts what targets want, stops what requires a unit that stops, and restarts what is a
          part of one that restarts. These are not announced and not certain, because conditions and
          failures decide as well.
      returned: always
      type: dict
      contains:
        stop:
          description: Units that would stop, and that nothing would start again.
          returned: always
          type: list
          elements: str
          sample: [greeter-exporter.service]
        restart:
          description: Units that would be restarted, or stopped and started again.
          returned: always
          type: list
          elements: str
          sample: []
        reload:
          description: Managers of users, which would read their units again.
          returned: always
          type: list
          elements: str
          sample: []
        start:
          description: Units that would be started.
          returned: always
          type: list
          elements: str
          sample: [sysinit-reactivation.target]
    activate:
      description: Whether the activation script would run.
      returned: always
      type: bool
      sample: true
    restart_systemd:
      description: Whether systemd would restart itself.
      returned: always
      type: bool
      sample: false
    swap:
      description: Swap devices that would be switched off.
      returned: always
      type: list
      elements: str
      sample: []
    messages:
      description: Other lines of the output, such as those of activation scripts.
      returned: always
      type: list
      elements: str
      sample: ["would update /etc/hosts"]
    raw:
      description: All of the output.
      returned: always
      type: str
      sample: |
        Not checking switch inhibitors (action = dry-activate)
        would stop the following units: greeter.service
        would activate the configuration...
        would start the following units: greeter.service
plan_sent:
  description:
    - How many bytes were sent to the host so that it could plan a system that it does not have.
  returned: when the system was planned before its copy
  type: int
  sample: 183520
report:
  description:
    - What C(switch-to-configuration) said that it did. V(null) when it did not run.
  returned: success, and when the activation failed
  type: dict
  contains:
    stopped:
      description: Units that were stopped. A unit that is also in RV(report.started) changed.
      returned: always
      type: list
      elements: str
      sample: [greeter.service]
    not_restarted:
      description: Units that changed and were left as they are.
      returned: always
      type: list
      elements: str
      sample: []
    reloaded:
      description: Units that were reloaded.
      returned: always
      type: list
      elements: str
      sample: []
    restarted:
      description: Units that were restarted.
      returned: always
      type: list
      elements: str
      sample: []
    started:
      description: Units that were started.
      returned: always
      type: list
      elements: str
      sample: [greeter.service]
    new_units:
      description: Units that run now and did not before.
      returned: always
      type: list
      elements: str
      sample: [greeter.service, sysinit-reactivation.target]
    failed_units:
      description: Units that failed.
      returned: always
      type: list
      elements: str
      sample: []
    failed_jobs:
      description:
        - Units that could not be stopped, started, restarted or reloaded. Each is a list of the
          verb, the unit and the reason, which may be empty.
      returned: always
      type: list
      elements: list
      sample: []
    user_units:
      description:
        - What was done to the units of logged in users, each named as V(alice/sync.service). NixOS
          26.05 or newer says that.
      returned: always
      type: dict
      contains:
        stopped:
          description: Units that were stopped.
          returned: always
          type: list
          elements: str
          sample: []
        not_restarted:
          description: Units that changed and were left as they are.
          returned: always
          type: list
          elements: str
          sample: []
        reloaded:
          description: Units that were reloaded.
          returned: always
          type: list
          elements: str
          sample: []
        restarted:
          description: Units that were restarted.
          returned: always
          type: list
          elements: str
          sample: [alice/sync.service]
        started:
          description: Units that were started.
          returned: always
          type: list
          elements: str
          sample: []
        failed_units:
          description: Units that failed.
          returned: always
          type: list
          elements: str
          sample: []
        failed_jobs:
          description: Units that could not be changed, each with verb, unit and reason.
          returned: always
          type: list
          elements: list
          sample: []
        failed_users:
          description: Users whose units could not be changed.
          returned: always
          type: list
          elements: str
          sample: []
    refused:
      description:
        - Units that C(switch-to-configuration) says it stopped and that systemd did not, because
          they have C(RefuseManualStop). They are not among RV(report.stopped).
      returned: always
      type: list
      elements: str
      sample: []
    swap:
      description: Swap devices that were switched off.
      returned: always
      type: list
      elements: str
      sample: []
    failed_swap:
      description: Swap devices that could not be switched off.
      returned: always
      type: list
      elements: str
      sample: []
    activation_began:
      description: Whether the activation script began.
      returned: always
      type: bool
      sample: true
    activation_failed:
      description: Whether the activation script failed.
      returned: always
      type: bool
      sample: false
    failed_snippets:
      description: Parts of the activation script that failed.
      returned: always
      type: list
      elements: str
      sample: []
    restarted_systemd:
      description: Whether systemd restarted itself.
      returned: always
      type: bool
      sample: false
    failed_checks:
      description: Pre-switch checks that failed. Nothing was changed then.
      returned: always
      type: list
      elements: str
      sample: []
    inhibited:
      description:
        - What a running host cannot change safely. Each is a list of its name, its present value
          and its new value.
      returned: always
      type: list
      elements: list
      sample: []
    reboot_needed:
      description: Whether the switch was refused because the system needs a reboot.
      returned: always
      type: bool
      sample: false
    lock_busy:
      description: Whether the switch was refused because another one ran.
      returned: always
      type: bool
      sample: false
    bootloader_failed:
      description: Whether the boot loader could not be installed.
      returned: always
      type: bool
      sample: false
    messages:
      description: Other lines of the output, such as those of activation scripts.
      returned: success
      type: list
      elements: str
      sample: [setting up /etc...]
units:
  description:
    - What became of systemd's units in the activation, by what they were before and are after
      it. It has more than RV(report), because systemd starts, stops and restarts units by itself.
    - Only units with a file count, no sessions, devices and transient units. The units of users who
      are logged in are named as V(alice/sync.service).
    - V(null) when nothing was activated.
  returned: success, and when the activation failed
  type: dict
  contains:
    started:
      description: Units that run now and did not before, and those that have run and ended.
      returned: always
      type: list
      elements: str
      sample: [greeter.service]
    stopped:
      description: Units that do not run any more, as is right.
      returned: always
      type: list
      elements: str
      sample: []
    restarted:
      description: Units that were stopped and run again.
      returned: always
      type: list
      elements: str
      sample: []
    reloaded:
      description: Services that were reloaded.
      returned: always
      type: list
      elements: str
      sample: []
    failed:
      description: Units that have failed since.
      returned: always
      type: list
      elements: str
      sample: []
    lost:
      description:
        - Units that ran, belong to the new system too and do not run any more. Those that ended by
          themselves, that wait for a socket, a timer or a path, or whose conditions do not hold any
          more are among RV(units.stopped).
      returned: always
      type: list
      elements: str
      sample: []
outcome:
  description:
    - How C(switch-to-configuration) ended, by its exit code and its words. V(null) when it did not
      run.
    - The task succeeds with V(ok) when no unit is lost, and with V(failed-units) when no failure
      counts. With V(unknown) it succeeds only when nobody saw the end and the host is where it
      should be. Everything else is a failure.
    - V(failed-units) and V(activation-failed) mean that the system was activated all the same.
    - V(locked), V(reboot-required), V(inhibited), V(not-activated) and V(bootloader-failed) mean
      that it was not activated.
  returned: success, and when the activation failed
  type: str
  sample: ok
exit_code:
  description:
    - Exit code of C(switch-to-configuration). V(null) when it did not run, was killed, or nobody
      saw its end.
  returned: success, and when the activation failed
  type: int
  sample: 0
generation:
  description:
    - Generation that the profile points to. V(null) when there is no such profile.
  returned: success, and when the activation failed
  type: dict
  contains:
    number:
      description: Its number.
      returned: always
      type: int
      sample: 2
    path:
      description: Store path of its system.
      returned: always
      type: str
      sample: /nix/store/iwljnpc645qbb9parnraagikz0gs0rgy-nixos-system-node1-26.05.standin
    date:
      description: When it was made, in UTC. V(null) when the host cannot say.
      returned: always
      type: str
      sample: "2026-11-22T17:01:25Z"
    current:
      description: Whether the profile points to it.
      returned: always
      type: bool
      sample: true
failed_units_before:
  description:
    - Units that had failed before the task, of the system and, as V(alice/sync.service), of users.
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
newly_failed_units:
  description:
    - Units that failed in this activation and count, see O(failed_units) and O(ignore_units). Where
      nothing was left to do, those that the activation of the running system has left failed.
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
unit_logs:
  description:
    - What units of RV(newly_failed_units) have printed last, by their names, when the task failed
      for them.
  returned: success, and when the activation failed
  type: dict
  sample: {}
failed_units:
  description:
    - Units of systemd that have failed after the task.
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
reboot_required:
  description:
    - Whether something of the system takes effect only after a reboot. V(false) for a system that
      is not in the host's store.
  returned: success, and when the activation failed
  type: bool
  sample: false
reboot_reasons:
  description:
    - What that is, as in RV(closure.nixos.nixos_facts#module:ansible_facts.nixos.reboot_reasons).
  returned: success, and when the activation failed
  type: list
  elements: str
  sample: []
stdout:
  description:
    - What the activation printed on stdout, mostly what its children said. V(null) when it did not
      run.
  returned: success, and when the activation failed
  type: str
  sample: "setting up /etc...\n"
stderr:
  description:
    - What the activation printed on stderr, or the command that failed before it. V(null) when
      neither was.
  returned: success, when the activation failed, and when another command failed
  type: str
  sample: |
    Checking switch inhibitors... done
    stopping the following units: greeter.service
    activating the configuration...
    starting the following units: greeter.service
logs:
  description:
    - Directory on the host with the activation's RV(stdout) and RV(stderr) as files C(out) and
      C(err), until the next activation or boot. V(null) when it did not run.
  returned: success, and when the activation failed
  type: str
  sample: /run/closure-nixos/jobs/activation
rc:
  description:
    - Exit code of a command that failed before the activation.
  returned: when such a command failed
  type: int
  sample: 1
msg:
  description:
    - What was done, or what failed and what to do about it.
  returned: always
  type: str
  sample: now runs generation 4, nixos-system-node1-26.05.standin (was 3)
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH


def main() -> None:
    """Say that the action plugin is missing: it does the work."""
    module = AnsibleModule(**NIXOS_SWITCH, supports_check_mode=True)
    module.fail_json(
        msg="closure.nixos.nixos_switch runs on the controller, and its action plugin was not "
        "found there. Install the whole collection closure.nixos and call the module by this name."
    )


if __name__ == "__main__":
    main()

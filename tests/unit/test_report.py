# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The texts are put together from the literal messages of the version that their id names."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    Expected,
    FailedJob,
    Inhibitor,
    Report,
    UnitPlan,
    UnitState,
    UserUnitPlan,
    UserUnits,
    all_failed,
    excuse,
    excuse_snippets,
    excuse_users,
    failed_units,
    is_excused,
    last_lines,
    matching,
    outcome,
    parse_logs,
    parse_looks,
    parse_report,
    parse_unit_plan,
    recovered,
    show_plan,
    show_report,
    users_who_left,
)
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class PlanCase:
    id: str
    stderr: str
    plan: UnitPlan
    stdout: str = ""


PLANS = (
    PlanCase(
        "perl-2018",
        """\
stopping swap device: /dev/disk/by-label/swap
would stop the following units: nginx.service, sshd.service
would NOT stop the following changed units: display-manager.service
would restart systemd
would restart the following units: nix-daemon.service
would start the following units: nginx.service, sshd.service
would reload the following units: dbus.service
""",
        UnitPlan(
            stop=("nginx.service", "sshd.service"),
            not_stop=("display-manager.service",),
            restart=("nix-daemon.service",),
            reload=("dbus.service",),
            start=("nginx.service", "sshd.service"),
            restart_systemd=True,
            swap=("/dev/disk/by-label/swap",),
        ),
    ),
    PlanCase(
        "perl-23.11",
        """\
would stop swap device: /swapfile
would stop the following units: nginx.service
would activate the configuration...
would remove user \u2018alice\u2019
would restart systemd
would reload the following units: firewall.service
would restart the following units: nix-daemon.service, nix-daemon.socket
would start the following units: nginx.service
""",
        UnitPlan(
            stop=("nginx.service",),
            restart=("nix-daemon.service", "nix-daemon.socket"),
            reload=("firewall.service",),
            start=("nginx.service",),
            activate=True,
            restart_systemd=True,
            swap=("/swapfile",),
            messages=("would remove user \u2018alice\u2019",),
        ),
    ),
    PlanCase(
        "rust-24.11, nothing but /etc",
        "would activate the configuration...\n",
        UnitPlan(activate=True, messages=("setting up something dry",)),
        stdout="setting up something dry\n",
    ),
    PlanCase(
        "rust-25.11, escaped and instance names",
        r"""would stop the following units: mnt-my\x2ddisk.mount, user@1000.service
would NOT stop the following changed units: getty@tty1.service
would activate the configuration...
would restart the following units: systemd-udevd.service
would start the following units: mnt-my\x2ddisk.mount
""",
        UnitPlan(
            stop=(r"mnt-my\x2ddisk.mount", "user@1000.service"),
            not_stop=("getty@tty1.service",),
            restart=("systemd-udevd.service",),
            start=(r"mnt-my\x2ddisk.mount",),
            activate=True,
        ),
    ),
    PlanCase(
        "rust-26.05",
        """\
would activate the configuration...
warning: would not apply UID change of user \u2018bob\u2019 (1000 -> 1001) in /etc/passwd
would restart sops-nix.service
WARN: restarting or reloading systemd units from the activation script is deprecated and will \
be removed in NixOS 26.11.
would reload the following units: nginx.service
""",
        UnitPlan(
            reload=("nginx.service",),
            activate=True,
            messages=(
                "warning: would not apply UID change of user \u2018bob\u2019 (1000 -> 1001) "
                "in /etc/passwd",
                "would restart sops-nix.service",
                "WARN: restarting or reloading systemd units from the activation script is "
                "deprecated and will be removed in NixOS 26.11.",
                "would add secret: token",
            ),
        ),
        stdout="Not checking switch inhibitors (action = dry-activate)\nwould add secret: token\n",
    ),
    PlanCase(
        "rust-26.05, what its child for each user would say",
        """\
would activate the configuration...
would stop the following user units: sync.service
would NOT restart the following user units: shell.service
would reload the following user units: a.service, b.service
would restart the following user units: foo.service
would start the following user units: sync.service
""",
        UnitPlan(
            activate=True,
            user_units=UserUnitPlan(
                stop=("sync.service",),
                not_restart=("shell.service",),
                restart=("foo.service",),
                reload=("a.service", "b.service"),
                start=("sync.service",),
            ),
        ),
    ),
    PlanCase("nothing at all", "", UnitPlan()),
)


@pytest.mark.parametrize("case", PLANS, ids=lambda case: case.id)
def test_a_plan_is_read(case: PlanCase) -> None:
    expected = dataclasses.replace(case.plan, raw=case.stderr)
    assert parse_unit_plan(case.stderr, case.stdout) == expected


def test_colours_and_a_terminals_line_ends_are_taken_off() -> None:
    plan = parse_unit_plan("\x1b[1mwould stop\x1b[0m the following units: a.service\r\nodd\r\n")
    assert (plan.stop, plan.messages) == (("a.service",), ("odd",))
    assert plan.raw == "would stop the following units: a.service\nodd\n"


def test_a_plan_is_shown_by_its_verbs() -> None:
    plan = UnitPlan(stop=("a.service", "b.service"), not_stop=("c.service",), start=("a.service",))
    assert show_plan(plan) == (
        "would stop: a.service, b.service\nwould NOT stop: c.service\nwould start: a.service\n"
    )
    assert show_plan(UnitPlan(activate=True)) == ""
    each_time = Expected(restart=("sysinit-reactivation.target",), reload=("user@0.service",))
    assert show_plan(UnitPlan(expected=each_time)) == ""
    lost = Expected(stop=("e.service",), start=("f.service",))
    assert show_plan(UnitPlan(stop=("a.service",), expected=lost)) == (
        "would stop: a.service\nwould stop by dependency: e.service\n"
        "would start by dependency: f.service\n"
    )
    users = UserUnitPlan(not_restart=("d.service",))
    assert show_plan(UnitPlan(user_units=users)) == "would NOT restart for users: d.service\n"


def test_what_was_done_is_shown_by_its_verbs() -> None:
    report = Report(
        stopped=("not_a.service",),
        started=("a.service",),
        failed_units=("a.service",),
        user_units=UserUnits(not_restarted=("d.service",)),
    )
    assert show_report(report) == (
        "stopped: not_a.service\nstarted: a.service\nfailed: a.service\n"
        "NOT restarted for users: d.service\n"
    )
    assert show_report(Report(activation_began=True)) == ""


@dataclass(frozen=True)
class Run:
    """A run of switch-to-configuration, and what is to be read in it."""

    id: str
    exit_code: int | None
    stderr: str
    report: Report
    name: str
    activated: bool | None
    said: str
    stdout: str = ""


RUNS = (
    Run(
        "perl-2018, switch",
        0,
        """\
updating GRUB 2 menu...
stopping swap device: /dev/sdb1
stopping the following units: nginx.service
NOT restarting the following changed units: display-manager.service
activating the configuration...
setting up /etc...
restarting systemd...
setting up tmpfiles
reloading the following units: dbus.service
restarting the following units: nix-daemon.service
starting the following units: nginx.service
the following new units were started: hello.service, hello.timer
""",
        Report(
            stopped=("nginx.service",),
            not_restarted=("display-manager.service",),
            reloaded=("dbus.service",),
            restarted=("nix-daemon.service",),
            started=("nginx.service",),
            new_units=("hello.service", "hello.timer"),
            swap=("/dev/sdb1",),
            activation_began=True,
            restarted_systemd=True,
            messages=("updating GRUB 2 menu...", "setting up /etc...", "setting up tmpfiles"),
        ),
        "ok",
        True,
        "The configuration was activated.",
    ),
    Run(
        "perl-2018, a unit failed",
        4,
        """\
activating the configuration...
setting up tmpfiles
starting the following units: nginx.service
Job for nginx.service failed because the control process exited with error code.
warning: the following units failed: nginx.service

● nginx.service - Nginx Web Server
   Active: failed (Result: exit-code)
""",
        Report(
            started=("nginx.service",),
            failed_units=("nginx.service",),
            activation_began=True,
            messages=(
                "setting up tmpfiles",
                "Job for nginx.service failed because the control process exited with error code.",
                "● nginx.service - Nginx Web Server",
                "   Active: failed (Result: exit-code)",
            ),
        ),
        "failed-units",
        True,
        "these units failed: nginx.service. Look at `journalctl -u nginx.service` on the host.",
    ),
    Run(
        "perl-2018, systemctl failed and no unit did",
        4,
        "activating the configuration...\nFailed to reload foo.mount: Unit is masked.\n",
        Report(
            failed_jobs=(FailedJob("reload", "foo.mount", "Unit is masked."),),
            activation_began=True,
        ),
        "failed-units",
        True,
        "these units failed: foo.mount",
    ),
    Run(
        "perl-23.11, no reason said",
        4,
        "activating the configuration...\n",
        Report(activation_began=True),
        "failed-units",
        True,
        "systemd could not start, stop, restart or reload something. The output tells more.",
    ),
    Run(
        "perl-23.11, tmpfiles failed",
        3,
        "activating the configuration...\nsetting up tmpfiles\nreloading user units for ann...\n",
        Report(
            activation_began=True,
            messages=("setting up tmpfiles", "reloading user units for ann..."),
        ),
        "activation-failed",
        True,
        "systemd did not reload its units or set up its temporary files",
    ),
    Run(
        "perl-23.11, a snippet failed",
        2,
        "activating the configuration...\n",
        Report(activation_began=True, failed_snippets=("users",), messages=("setting up /etc...",)),
        "activation-failed",
        True,
        "its activation script failed in users. The output tells more.",
        stdout="setting up /etc...\nActivation script snippet 'users' failed (1)\n",
    ),
    Run(
        "perl-23.11, code 2 without a word",
        2,
        "activating the configuration...\nrestarting systemd...\n",
        Report(activation_began=True, restarted_systemd=True),
        "activation-failed",
        True,
        "its activation script or the restart of systemd failed. The output tells more.",
    ),
    Run(
        "perl-23.11, a snippet and then a unit failed",
        4,
        "activating the configuration...\nwarning: the following units failed: a.service\n",
        Report(activation_began=True, failed_snippets=("x",), failed_units=("a.service",)),
        "activation-failed",
        True,
        "its activation script failed in x and these units failed: a.service",
        stdout="Activation script snippet 'x' failed (127)\n",
    ),
    Run(
        "perl-24.05, lock busy",
        11,
        "Could not acquire lock - Resource temporarily unavailable at /nix/store/x line 99.\n",
        Report(lock_busy=True),
        "locked",
        False,
        "another switch runs on the host",
    ),
    Run(
        "rust-24.11, switch",
        0,
        """\
stopping the following units: nginx.service
activating the configuration...
reloading user units for alice...
restarting sysinit-reactivation.target
starting the following units: nginx.service
""",
        Report(
            stopped=("nginx.service",),
            started=("nginx.service",),
            activation_began=True,
            messages=(
                "reloading user units for alice...",
                "restarting sysinit-reactivation.target",
                "setting up /etc...",
            ),
        ),
        "ok",
        True,
        "The configuration was activated.",
        stdout="setting up /etc...\n",
    ),
    Run(
        "rust-24.11, boot",
        0,
        "",
        Report(),
        "ok",
        False,
        "switch-to-configuration succeeded, and activated nothing.",
    ),
    Run(
        "rust-24.11, the activation script and units failed",
        4,
        """\
activating the configuration...
Failed to run activate script
restarting sysinit-reactivation.target
Failed to restart sysinit-reactivation.target: Access denied
Failed to start nginx.service
Failed to stop swapping to /dev/sdb1: EPERM
warning: the following units failed: nginx.service, php.service
warning: user activation for bob failed
""",
        Report(
            failed_units=("nginx.service", "php.service"),
            failed_jobs=(
                FailedJob("restart", "sysinit-reactivation.target", "Access denied"),
                FailedJob("start", "nginx.service", ""),
            ),
            user_units=UserUnits(failed_users=("bob",)),
            activation_began=True,
            activation_failed=True,
            failed_swap=("/dev/sdb1",),
            messages=(
                "restarting sysinit-reactivation.target",
                "× nginx.service - Nginx Web Server",
                "Nov 22 16:31:38 web1 systemd[1]: Failed to start nginx.service",
            ),
        ),
        "activation-failed",
        True,
        "its activation script failed and these units failed: nginx.service, php.service, "
        "sysinit-reactivation.target and the units of these users failed: bob.",
        stdout="× nginx.service - Nginx Web Server\n"
        "Nov 22 16:31:38 web1 systemd[1]: Failed to start nginx.service\n",
    ),
    Run(
        "rust-25.05, the activation script failed",
        2,
        "activating the configuration...\nFailed to run activate script\n",
        Report(activation_began=True, activation_failed=True),
        "activation-failed",
        True,
        "its activation script failed. The output tells more.",
    ),
    Run(
        "rust-25.05, a pre-switch check failed",
        1,
        "Pre-switch check 'diskSpace' failed\nPre-switch checks failed\n",
        Report(failed_checks=("diskSpace",), messages=("Pre-switch checks failed",)),
        "not-activated",
        False,
        "the pre-switch check diskSpace failed.",
    ),
    Run(
        "rust-25.11, an action that it does not know",
        1,
        """\
Usage: switch-to-configuration [check|switch|boot|test|dry-activate]
check:        run pre-switch checks and exit
switch:       make the configuration the boot default and activate now
""",
        Report(
            messages=(
                "Usage: switch-to-configuration [check|switch|boot|test|dry-activate]",
                "check:        run pre-switch checks and exit",
                "switch:       make the configuration the boot default and activate now",
            )
        ),
        "not-activated",
        False,
        "switch-to-configuration ended with exit code 1",
    ),
    Run(
        "rust-24.11, not root",
        1,
        "Error: switch-to-configuration must be run as the root user\n",
        Report(messages=("Error: switch-to-configuration must be run as the root user",)),
        "not-activated",
        False,
        "(Error: switch-to-configuration must be run as the root user).",
    ),
    Run(
        "rust-25.11, an environment without its variables",
        1,
        "Error: missing required environment variable $INSTALL_BOOTLOADER\n",
        Report(messages=("Error: missing required environment variable $INSTALL_BOOTLOADER",)),
        "not-activated",
        False,
        "(Error: missing required environment variable $INSTALL_BOOTLOADER).",
    ),
    Run(
        "rust-25.05, no os-release",
        1,
        "Error: Failed to parse os-release\n",
        Report(messages=("Error: Failed to parse os-release",)),
        "not-activated",
        False,
        "(Error: Failed to parse os-release).",
    ),
    Run(
        "rust-25.05, a running system without programs",
        1,
        "Error: /run/current-system/sw/bin is missing\n",
        Report(messages=("Error: /run/current-system/sw/bin is missing",)),
        "not-activated",
        False,
        "(Error: /run/current-system/sw/bin is missing).",
    ),
    Run(
        "rust-25.11, no place for the lock",
        13,
        "Could not open lock\n",
        Report(messages=("Could not open lock",)),
        "not-activated",
        False,
        "ended with exit code 13 (Could not open lock).",
    ),
    Run(
        "rust-26.05, boot",
        0,
        "",
        Report(),
        "ok",
        False,
        "switch-to-configuration succeeded, and activated nothing.",
        stdout="Not checking switch inhibitors (action = boot)\n",
    ),
    Run(
        "rust-26.11, a snippet asks for restarts",
        0,
        """\
activating the configuration...
removing user \u2018bob\u2019
WARN: restarting or reloading systemd units from the activation script is deprecated and will \
be removed in NixOS 26.11.
restarting the following units: nginx.service
""",
        Report(
            restarted=("nginx.service",),
            activation_began=True,
            messages=(
                "removing user \u2018bob\u2019",
                "WARN: restarting or reloading systemd units from the activation script is "
                "deprecated and will be removed in NixOS 26.11.",
            ),
        ),
        "ok",
        True,
        "The configuration was activated.",
        stdout="Checking switch inhibitors... done\n",
    ),
    Run(
        "rust-25.11, systemd did not execute itself anew",
        1,
        "activating the configuration...\nrestarting systemd...\n"
        "Error: systemd daemon reexecute failed, timeout after 180s\n",
        Report(
            activation_began=True,
            restarted_systemd=True,
            messages=("Error: systemd daemon reexecute failed, timeout after 180s",),
        ),
        "unknown",
        None,
        "(Error: systemd daemon reexecute failed, timeout after 180s)",
    ),
    Run(
        "rust-25.11, a login that logind cannot describe (nixpkgs issue 429884)",
        1,
        "activating the configuration...\nError: Failed to get GID for alice\n",
        Report(activation_began=True, messages=("Error: Failed to get GID for alice",)),
        "unknown",
        None,
        "(Error: Failed to get GID for alice). The host may be switched",
    ),
    Run(
        "rust-25.11, no list of logins",
        1,
        "activating the configuration...\nUnable to list users with logind: timed out\n",
        Report(activation_began=True, messages=("Unable to list users with logind: timed out",)),
        "unknown",
        None,
        "(Unable to list users with logind: timed out)",
    ),
    Run(
        "rust-26.05, a user's activation failed",
        4,
        "activating the configuration...\nreloading user units for alice...\n"
        "Failed to restart nixos-activation.service: timed out\n"
        "warning: user activation for alice failed\n",
        Report(
            user_units=UserUnits(
                failed_jobs=(FailedJob("restart", "alice/nixos-activation.service", "timed out"),),
                failed_users=("alice",),
            ),
            activation_began=True,
            messages=("reloading user units for alice...",),
        ),
        "failed-units",
        True,
        "but these units of users failed: alice/nixos-activation.service. Look at "
        "`systemctl --user --machine=alice@ status nixos-activation.service` on the host.",
    ),
    Run(
        "any, systemd-boot was never installed",
        1,
        "Could not find any previously installed systemd-boot. If you are switching to "
        "systemd-boot from a different bootloader, you need to run `nixos-rebuild switch "
        "--install-bootloader`\nFailed to install bootloader\n",
        Report(
            bootloader_failed=True,
            messages=(
                "Could not find any previously installed systemd-boot. If you are switching to "
                "systemd-boot from a different bootloader, you need to run `nixos-rebuild switch "
                "--install-bootloader`",
            ),
        ),
        "bootloader-failed",
        False,
        "because it is not installed. Set install_bootloader: true for this task.",
    ),
    Run(
        "systemd-run before 248",
        1,
        "Failed to start transient service unit: Invalid environment block.\n",
        Report(messages=("Failed to start transient service unit: Invalid environment block.",)),
        "not-activated",
        False,
        "(Failed to start transient service unit: Invalid environment block.).",
    ),
    Run(
        "rust-25.11, no D-Bus",
        1,
        """\
Error: Failed to open dbus connection

Caused by:
    Failed to connect to socket /run/dbus/system_bus_socket: No such file or directory
""",
        Report(
            messages=(
                "Error: Failed to open dbus connection",
                "Caused by:",
                "    Failed to connect to socket /run/dbus/system_bus_socket: "
                "No such file or directory",
                "the boot loader's words",
            )
        ),
        "not-activated",
        False,
        "ended with exit code 1 (Error: Failed to open dbus connection Caused by: Failed to "
        "connect to socket /run/dbus/system_bus_socket: No such file or directory).",
        stdout="the boot loader's words\n",
    ),
    Run(
        "rust-25.11, daemon-reload timed out",
        1,
        "activating the configuration...\n"
        "Error: systemd daemon reload failed, timeout after 180s\n",
        Report(
            activation_began=True,
            messages=("Error: systemd daemon reload failed, timeout after 180s",),
        ),
        "unknown",
        None,
        "ended with exit code 1 (Error: systemd daemon reload failed, timeout after 180s). The "
        "host may be switched",
    ),
    Run(
        "rust-25.11, another init",
        100,
        """\
Warning: the new NixOS configuration has an \u2018init\u2019 that is
incompatible with the current configuration.  The new configuration
won't take effect until you reboot the system.
""",
        Report(
            reboot_needed=True,
            messages=(
                "incompatible with the current configuration.  The new configuration",
                "won't take effect until you reboot the system.",
            ),
        ),
        "reboot-required",
        False,
        "with the action boot, and reboot the host.",
    ),
    Run(
        "rust-25.11, lock busy",
        11,
        "Could not acquire lock\n",
        Report(lock_busy=True),
        "locked",
        False,
        "Wait until it has ended and run the task again.",
    ),
    Run(
        "systemd-run, the unit exists",
        1,
        "Failed to start transient service unit: Unit "
        "nixos-rebuild-switch-to-configuration.service was already loaded or has a fragment "
        "file.\n",
        Report(lock_busy=True),
        "locked",
        False,
        "another switch runs on the host",
    ),
    Run(
        "our own job, one runs",
        None,
        "activation is already running on this host\n",
        Report(lock_busy=True),
        "locked",
        False,
        "another switch runs on the host",
    ),
    Run(
        "rust-25.11, boot loader failed",
        1,
        "cp: error writing '/boot/x': No space left on device\nFailed to install bootloader\n",
        Report(
            bootloader_failed=True,
            messages=(
                "cp: error writing '/boot/x': No space left on device",
                "updating GRUB 2 menu...",
            ),
        ),
        "bootloader-failed",
        False,
        "could not be installed (cp: error writing '/boot/x': No space left on device). Often ",
        "updating GRUB 2 menu...\n",
    ),
    Run(
        "perl-23.11, boot loader failed, which it does not say",
        1,
        "cp: error writing '/boot/x': No space left on device\n",
        Report(messages=("cp: error writing '/boot/x': No space left on device",)),
        "not-activated",
        False,
        "exit code 1 (cp: error writing '/boot/x': No space left on device).",
    ),
    Run(
        "rust-25.11, not NixOS",
        2,
        "This is not a NixOS installation!\n",
        Report(messages=("This is not a NixOS installation!",)),
        "not-activated",
        False,
        "ended with exit code 2 (This is not a NixOS installation!).",
    ),
    Run(
        "rust-25.11, panic when its standard error is gone",
        101,
        "activating the configuration...\nthread 'main' panicked at library/std/src/io/stdio.rs\n",
        Report(
            activation_began=True,
            messages=("thread 'main' panicked at library/std/src/io/stdio.rs",),
        ),
        "unknown",
        None,
        "ended with exit code 101 (thread 'main' panicked",
    ),
    Run(
        "rust-25.11, panic with nothing said",
        101,
        "",
        Report(),
        "unknown",
        None,
        "ended with exit code 101. The host may be switched",
    ),
    Run(
        "rust-25.11, stopped by systemd",
        None,
        "stopping the following units: a.service\nactivating the configuration...\n",
        Report(stopped=("a.service",), activation_began=True),
        "unknown",
        None,
        "ended without an exit code. The host may be switched, in part or not at all",
    ),
    Run(
        "any, the output was lost",
        4,
        "",
        Report(),
        "unknown",
        None,
        "ended with exit code 4. The host may be switched",
    ),
    Run(
        "any, killed by a signal",
        137,
        "",
        Report(),
        "unknown",
        None,
        "ended with exit code 137",
    ),
    Run(
        "perl-23.05, cut after it had stopped units (nixpkgs issue 242737)",
        1,
        "stopping the following units: -.mount\n",
        Report(stopped=("-.mount",)),
        "unknown",
        None,
        "The host may be switched, in part or not at all",
    ),
    Run(
        "any, no such program",
        127,
        "sh: /nix/store/x/bin/switch-to-configuration: not found\n",
        Report(messages=("sh: /nix/store/x/bin/switch-to-configuration: not found",)),
        "not-activated",
        False,
        "(sh: /nix/store/x/bin/switch-to-configuration: not found).",
    ),
    Run(
        "rust-26.05, inhibited, runner of its first months",
        1,
        "Pre-switch check 'switchInhibitors' failed\nPre-switch checks failed\n",
        Report(
            failed_checks=("switchInhibitors",),
            inhibited=(Inhibitor("dbus-implementation", "dbus", "broker"),),
            messages=(
                "Pre-switch checks failed",
                "There are changes to critical components of the system:",
                "Switching into this system is not recommended.",
                "You probably want to run 'nixos-rebuild boot' and reboot your system instead.",
            ),
        ),
        "inhibited",
        False,
        "a running host cannot change dbus-implementation from dbus to broker safely.",
        stdout="""\
Checking switch inhibitors...

There are changes to critical components of the system:

dbus-implementation : dbus -> broker

Switching into this system is not recommended.
You probably want to run 'nixos-rebuild boot' and reboot your system instead.
""",
    ),
    Run(
        "rust-26.05, inhibited twice, all on stderr",
        1,
        """\
not : an -> inhibitor
There are changes to critical components of the system:
a : 1 -> 2
b : x y -> z
Switching into this system is not recommended.
nor : is -> this
Pre-switch check 'switchInhibitors' failed
""",
        Report(
            failed_checks=("switchInhibitors",),
            inhibited=(Inhibitor("a", "1", "2"), Inhibitor("b", "x y", "z")),
            messages=(
                "not : an -> inhibitor",
                "There are changes to critical components of the system:",
                "Switching into this system is not recommended.",
                "nor : is -> this",
            ),
        ),
        "inhibited",
        False,
        "cannot change a from 1 to 2 and b from x y to z safely.",
    ),
    Run(
        "rust-26.05, inhibited in its first form",
        1,
        """\
Found diff in switch inhibitors:
The new configuration contains changes to packages that were
listed as switch inhibitors.
Pre-switch check 'switchInhibitors' failed
""",
        Report(
            failed_checks=("switchInhibitors",),
            messages=(
                "Found diff in switch inhibitors:",
                "The new configuration contains changes to packages that were",
                "listed as switch inhibitors.",
            ),
        ),
        "inhibited",
        False,
        "cannot change what its switch inhibitors guard safely.",
    ),
    Run(
        "rust-26.05, units of users",
        4,
        """\
activating the configuration...
reloading user units for alice...
stopping the following user units: sync.service
NOT restarting the following user units: shell.service
reloading the following user units: bar.service
restarting the following user units: foo.service
starting the following user units: sync.service
restarting the following user units: nixos-activation.service
NOT restarting (post-activation) the following user units: hm-a.service
reloading (post-activation) the following user units: hm-b.service
restarting (post-activation) the following user units: hm-c.service
starting (post-activation) the following user units: hm-d.service
Failed to restart user unit foo.service: timed out
Failed to start user unit sync.service
warning: the following user units failed: foo.service, sync.service
See `systemctl --user status foo.service sync.service` for details.
warning: user activation for alice failed
restarting sysinit-reactivation.target
restarting the following units: nix-daemon.service
""",
        Report(
            restarted=("nix-daemon.service",),
            user_units=UserUnits(
                stopped=("alice/sync.service",),
                not_restarted=("alice/shell.service", "alice/hm-a.service"),
                reloaded=("alice/bar.service", "alice/hm-b.service"),
                restarted=(
                    "alice/foo.service",
                    "alice/nixos-activation.service",
                    "alice/hm-c.service",
                ),
                started=("alice/sync.service", "alice/hm-d.service"),
                failed_units=("alice/foo.service", "alice/sync.service"),
                failed_jobs=(
                    FailedJob("restart", "alice/foo.service", "timed out"),
                    FailedJob("start", "alice/sync.service", ""),
                ),
                failed_users=("alice",),
            ),
            activation_began=True,
            messages=(
                "reloading user units for alice...",
                "See `systemctl --user status foo.service sync.service` for details.",
                "restarting sysinit-reactivation.target",
            ),
        ),
        "failed-units",
        True,
        "these units of users failed: alice/foo.service, alice/sync.service. Look at "
        "`systemctl --user --machine=alice@ status foo.service sync.service` on the host.",
    ),
    Run(
        "rust-26.05, one of two swap devices stays",
        0,
        "stopping swap device: /dev/sda2\nstopping swap device: /dev/sdb2\n"
        "Failed to stop swapping to /dev/sdb2: Cannot allocate memory (os error 12)\n"
        "activating the configuration...\n",
        Report(swap=("/dev/sda2",), failed_swap=("/dev/sdb2",), activation_began=True),
        "ok",
        True,
        "The configuration was activated.",
    ),
    Run(
        "perl-23.11, swap stays",
        0,
        "stopping swap device: /dev/sdb2\n"
        "swapoff: /dev/sdb2: swapoff failed: Cannot allocate memory\n"
        "activating the configuration...\n",
        Report(failed_swap=("/dev/sdb2",), activation_began=True),
        "ok",
        True,
        "The configuration was activated.",
    ),
)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_a_report_is_read(run: Run) -> None:
    assert parse_report(run.stderr, run.stdout) == run.report


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_the_outcome_of_a_run(run: Run) -> None:
    result = outcome(run.exit_code, parse_report(run.stderr, run.stdout))
    assert (result.name, result.activated) == (run.name, run.activated)
    assert run.said in result.sentence


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_a_report_is_plain_data_for_a_result(run: Run) -> None:
    data = json.loads(json.dumps(dataclasses.asdict(run.report)))
    assert data["messages"] == list(run.report.messages)


@pytest.mark.parametrize(
    ("code", "name"), [(-9, "unknown"), (127, "not-activated"), (128, "unknown")]
)
def test_a_run_that_a_signal_ended_may_have_done_anything(code: int, name: str) -> None:
    assert outcome(code, Report()).name == name


def test_code_100_needs_no_words() -> None:
    assert outcome(100, Report()).name == "reboot-required"


ALIVE, WAITS, FAILED = "active running 1", "activating auto-restart 1", "failed failed 5"


@pytest.mark.parametrize(
    ("verb", "looks", "recovers"),
    [
        ("", [ALIVE], True),
        ("", [FAILED], False),
        ("", [ALIVE, ALIVE], True),
        ("", [WAITS, ALIVE], False),
        ("", [ALIVE, "active running 2"], False),
        ("", ["inactive dead 0"], False),
        ("start", [ALIVE], True),
        ("restart", [ALIVE], True),
        ("stop", [ALIVE], False),
        ("reload", [ALIVE], False),
        ("", [], False),
    ],
)
def test_a_unit_that_runs_and_goes_on_running_has_recovered(
    verb: str, looks: list[str], recovers: bool
) -> None:
    report = Report(
        failed_units=("a.service", "gone.mount"),
        failed_jobs=(FailedJob(verb, "a.service", ""),) if verb else (),
    )
    text = "".join(f"a.service {look}\ngone.mount inactive dead \n\n" for look in looks)
    assert recovered(report, parse_looks(text) if looks else ()) == ("a.service",) * recovers


def test_a_look_is_what_systemd_says_of_each_unit() -> None:
    (look,) = parse_looks("a.service active running 1\nb.mount inactive dead \n\n")
    assert look["a.service"] == UnitState("active", "running", "1")
    assert look["b.mount"] == UnitState("inactive", "dead", "")


def test_what_units_said_last_is_said_without_what_is_no_text() -> None:
    logs = parse_logs("a.service=first\na.service=no \x1b[31mport=80\nb.service=x\nodd\n")
    assert logs == {"a.service": ["first", "no ?[31mport=80"], "b.service": ["x"]}
    assert last_lines(logs) == " a.service said: 'no ?[31mport=80'. b.service said: 'x'."
    assert last_lines({}) == ""


def test_excused_units_are_no_failures() -> None:
    jobs = tuple(FailedJob("start", unit, "") for unit in ("a.service", "b.service"))
    report = Report(failed_units=("a.service", "user@1.service"), failed_jobs=jobs)
    ignored = matching(failed_units(report), ["user@*", "b.service"])
    assert ignored == ("user@1.service", "b.service")
    assert failed_units(excuse(report, ignored)) == ("a.service",)


def test_units_of_users_are_matched_with_and_without_the_user() -> None:
    units = ("alice/own.service", "bob/own.service", "own.service")
    assert matching(units, ["own.*"]) == units
    assert matching(units, ["alice/*"]) == ("alice/own.service",)


def test_a_user_whose_units_are_excused_did_not_fail() -> None:
    users = ("alice", "bob", "carol")
    failed = ("alice/a.service", "bob/b.service")
    report = Report(user_units=UserUnits(failed_units=failed, failed_users=users))
    assert excuse(report, failed[:1]).user_units.failed_users == ("bob", "carol")


@pytest.mark.parametrize(
    ("looks", "left"),
    [
        ("alice/default.target gone - 0\nbob/b.service active running 0\n", ["alice"]),
        ("bob/b.service inactive dead 0\n\nbob/b.service gone - 0\n", ["bob"]),
        ("", []),
    ],
)
def test_a_user_who_has_left_is_one_whose_units_are_gone(looks: str, left: list[str]) -> None:
    assert sorted(users_who_left(parse_looks(looks) if looks else ())) == left


def test_what_failed_for_a_user_who_has_left_does_not_count() -> None:
    found = UserUnits(failed_units=("alice/a.service", "bob/b.service"), failed_users=("carol",))
    report = Report(failed_units=("x.service",), user_units=found)
    known = excuse_users(report, {"alice", "carol"})
    assert all_failed(known) == ("x.service", "bob/b.service")
    assert known.user_units.failed_users == ()
    alone = Report(user_units=USERS)
    assert is_excused(4, alone, excuse_users(alone, {"alice"}))
    assert not is_excused(4, alone, excuse_users(alone, {"bob"}))


USERS = UserUnits(failed_users=("alice",))
# A user's unit that fails makes the activation of the user's units fail.
OWN = UserUnits(failed_units=("alice/own.service",), failed_users=("alice",))


@pytest.mark.parametrize(
    ("report", "names", "excused"),
    [
        (Report(failed_units=("a.service",)), ["a.service"], [4]),
        (Report(failed_units=("a.service", "b.service")), ["a.service"], []),
        (Report(failed_units=("a.service",), user_units=USERS), ["a.service"], []),
        (Report(), [], []),
        (Report(user_units=OWN), ["alice/own.service"], [4]),
        (Report(user_units=OWN), ["own.service"], []),
        (Report(activation_failed=True, failed_snippets=("x",)), ["x"], [2]),
        (Report(failed_snippets=("x",)), ["x"], [2]),
        (Report(failed_snippets=("x", "y")), ["x"], []),
        (Report(activation_failed=True), ["x"], []),
        (Report(failed_units=("a.service",), failed_snippets=("x",)), ["a.service"], []),
        (Report(failed_units=("a.service",), failed_snippets=("x",)), ["a.service", "x"], [2, 4]),
    ],
)
def test_a_run_is_excused_when_all_its_failures_are(
    report: Report, names: list[str], excused: list[int]
) -> None:
    counted = excuse_snippets(excuse(report, names), names)
    codes = [code for code in (None, 0, 1, 2, 3, 4) if is_excused(code, report, counted)]
    assert codes == excused


def test_a_users_unit_is_named() -> None:
    said = outcome(4, Report(activation_began=True, user_units=OWN)).sentence
    assert "these units of users failed: alice/own.service. Look at" in said


def test_a_unit_that_failed_twice_is_named_once() -> None:
    job = FailedJob("start", "a.service", "")
    assert failed_units(Report(failed_units=("a.service",), failed_jobs=(job, job))) == (
        "a.service",
    )


# Lines no version prints: no control characters, which are taken off, and not blank.
LINES = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1)
NEAR_MISSES = st.sampled_from(
    [
        " stopping the following units: a.service",
        "would stop the following units of users: a.service",
        "stopping the following units:",
        "activating the configuration",
        "Failed to start the engine",
        "foo: Failed to start a.service",
        "Activation script snippet 'x' failed",
        "Nov 22 16:31:38 web1 systemd[1]: the following new units were started: a.service",
    ]
)
UNKNOWN = st.lists(st.one_of(LINES.filter(str.strip), NEAR_MISSES), max_size=12)


def interleave(draw: st.DrawFn, text: str, unknown: list[str]) -> list[str]:
    lines = [line for line in text.split("\n") if line]
    for line in unknown:
        lines.insert(draw(st.integers(0, len(lines))), line)
    return lines


@st.composite
def noisy_plans(draw: st.DrawFn) -> tuple[UnitPlan, list[str], list[str]]:
    case = draw(st.sampled_from(PLANS))
    unknown = draw(UNKNOWN)
    return parse_unit_plan(case.stderr), unknown, interleave(draw, case.stderr, unknown)


@st.composite
def noisy_runs(draw: st.DrawFn) -> tuple[Report, list[str], list[str]]:
    run = draw(st.sampled_from(RUNS))
    unknown = draw(UNKNOWN)
    return parse_report(run.stderr, ""), unknown, interleave(draw, run.stderr, unknown)


def kept(lines: list[str], known: tuple[str, ...], unknown: list[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if line in known or line in unknown)


@given(noisy_plans())
def test_unknown_lines_are_kept_and_change_no_plan(
    noisy: tuple[UnitPlan, list[str], list[str]],
) -> None:
    quiet, unknown, lines = noisy
    plan = parse_unit_plan("\n".join(lines))
    assert plan.messages == kept(lines, quiet.messages, unknown)
    assert dataclasses.replace(plan, messages=quiet.messages, raw=quiet.raw) == quiet


@given(noisy_runs())
def test_unknown_lines_are_kept_and_change_no_report(
    noisy: tuple[Report, list[str], list[str]],
) -> None:
    quiet, unknown, lines = noisy
    report = parse_report("\n".join(lines), "")
    assert report.messages == kept(lines, quiet.messages, unknown)
    assert dataclasses.replace(report, messages=quiet.messages) == quiet


@given(st.text(), st.text(), st.one_of(st.none(), st.integers(-255, 255)))
def test_any_text_and_code_have_an_outcome(stderr: str, stdout: str, code: int | None) -> None:
    parse_unit_plan(stderr, stdout)
    result = outcome(code, parse_report(stderr, stdout))
    assert result.sentence.endswith((".", "`."))
    assert (result.name == "ok") == (code == 0)

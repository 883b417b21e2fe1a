# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What programs say that do not let a login become root, as recorded, and what helps."""

from __future__ import annotations

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._host.become import (
    cure,
    in_one_line,
    is_unanswered,
)

WAITED = "Timeout (12s) waiting for privilege escalation prompt: "
SAID = {
    "sudo 1.9, requiretty": ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
    "sudo 1.9, asks": ("sudo: a password is required", "NOPASSWD: /bin/sh"),
    "sudo-rs, asks": ("sudo: interactive authentication is required", "NOPASSWD: /bin/sh"),
    "Ansible's words of it": ("Missing sudo password", "NOPASSWD: /bin/sh"),
    "sudo 1.9, refuses": (
        "Sorry, user deploy is not allowed to execute '/bin/sh -c x' as root on web1.",
        "rule like `LOGIN ALL=(root) NOPASSWD: /bin/sh`",
    ),
    "sudo 1.9, unknown": ("deploy is not in the sudoers file.", "rule like"),
    "sudo-rs, refuses": ("sudo: I'm sorry deploy. I'm afraid I can't do that", "rule like"),
    "sudo 1.9, missing": ("bash: line 1: sudo: command not found", "Check the login's shell"),
    "sudo 1.9, names": ("sudo: unable to resolve host web1", "Check the login's shell"),
    "doas, refuses": ("doas: Operation not permitted", "permit nopass LOGIN"),
    "doas, asks": ("doas: Authentication required", "permit nopass LOGIN"),
    "doas, off": (
        "doas: doas is not enabled, /etc/doas.conf: No such file or directory",
        "Check the login's shell",
    ),
    "run0, asks": (
        "Failed to start transient service unit: Interactive authentication required.",
        "org.freedesktop.systemd1.manage-units",
    ),
    "run0, other": ("Failed to start transient service unit: Connection timed out", "Check the"),
    "su, waits": (WAITED, "Set ansible_become_password"),
    "Ansible's words of a wrong one": ("Incorrect sudo password", "Correct ansible_become_pass"),
    "words of a login": ("motd: sudo: a password is required", "Check the login's shell"),
}


@pytest.mark.parametrize(("said", "expected"), SAID.values(), ids=SAID)
def test_only_a_programs_own_words_are_explained(said: str, expected: str) -> None:
    assert expected in cure(f"Debian 13\n{said}\n", here=False)


def test_on_the_controller_the_inventory_is_the_cure() -> None:
    assert "set ansible_become: false" in cure("sudo: a password is required", here=True)


def test_a_program_that_says_nothing_is_told_from_a_lost_connection() -> None:
    assert is_unanswered(WAITED)
    assert is_unanswered("Timed out waiting for become success or become password prompt.")
    assert not is_unanswered("Connection timed out during banner exchange")


def test_what_was_said_and_the_cure_stand_in_one_line() -> None:
    said = (
        "Premature end of stream waiting for become success.\n"
        ">>> Standard Error\n/bin/sh: 1: /nowhere/sudo: not found\n"
    )
    assert in_one_line(said) == (
        "Premature end of stream waiting for become success; /bin/sh: 1: /nowhere/sudo: not found"
    )

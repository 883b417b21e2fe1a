# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a host does not let a login become another user. Private to the collection.

Each program is known by its own words and no others; what is not known is shown as it is.
"""

from __future__ import annotations

import re

#: sudo -n, of sudo and of sudo-rs, when it would have to ask.
SUDO_ASKS = re.compile(
    "^sudo: (?:a password is required|a terminal is required to read the password"
    "|interactive authentication is required)",
    re.MULTILINE,
)
# Ansible's connection plugins, when what they wait for does not come.
_WAITED = re.compile("waiting for (?:privilege escalation prompt|become success)")
_HEADING = re.compile(">>> Standard (?:Output|Error)$")

_HERE = (
    "This is the controller: where ansible_become is set for all hosts, set ansible_become: false "
    "for this one, as in host_vars/localhost.yml."
)
_RULE = "`LOGIN ALL=(root) NOPASSWD: /bin/sh`"
_CURES = (
    (
        re.compile("^sudo: sorry, you must have a tty to run sudo", re.MULTILINE),
        "Scripts travel without a terminal: put `Defaults !requiretty` into the sudoers there.",
    ),
    (
        re.compile(f"{SUDO_ASKS.pattern}|^Missing sudo password", re.MULTILINE),
        f"Set ansible_become_password, or give its sudo a rule like {_RULE}. "
        "One for single programs is not enough: see docs/security.md.",
    ),
    (
        re.compile(
            "^(?:sudo: )?(?:Sorry, user .* is not allowed to execute |I'm sorry .* I'm afraid I "
            "can't do that|.* is not in the sudoers file)",
            re.MULTILINE,
        ),
        f"Give its sudo a rule like {_RULE}.",
    ),
    (
        re.compile("^doas: (?:Operation not permitted|Authentication required)", re.MULTILINE),
        "Its /etc/doas.conf has to say `permit nopass LOGIN as root`.",
    ),
    (
        re.compile(
            "^Failed to start transient service unit: (?:Interactive authentication required"
            "|Access denied)",
            re.MULTILINE,
        ),
        "Its polkit has to allow this login org.freedesktop.systemd1.manage-units.",
    ),
    (
        re.compile("^Incorrect .* password", re.MULTILINE),
        "Correct ansible_become_password. Where it is right, the login may not run /bin/sh there.",
    ),
    (_WAITED, "Set ansible_become_password, or use a become method that asks for none."),
)
_OTHERS = "Check the login's shell and become settings for this host."


def is_unanswered(said: str) -> bool:
    """Whether a connection plugin has waited for a become program in vain."""
    return bool(_WAITED.search(said))


def in_one_line(said: str) -> str:
    """Return what was said as the part of a sentence, so that the cure stands beside it.

    :param said: by the become program, or by Ansible about it; Ansible puts headings into it
    """
    lines = (line.strip() for line in said.splitlines())
    return "; ".join(line.rstrip(".:") for line in lines if line and not _HEADING.match(line))


def cure(said: str, here: bool) -> str:
    """Return what to do about a login that may not become another user.

    :param said: by the become program, or by Ansible about it
    :param here: whether the host is the controller
    """
    if here:
        return _HERE
    return next((what for words, what in _CURES if words.search(said)), _OTHERS)

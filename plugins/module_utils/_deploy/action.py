# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what a deployment does with a system, and what is true of that."""

from __future__ import annotations

import enum


class Action(enum.Enum):
    """What ``deploy_action`` says. Beside those of nixos_switch, it can be a reboot."""

    SWITCH = "switch"
    BOOT = "boot"
    TEST = "test"
    #: becomes one of the first two on the host
    AUTO = "auto"
    REBOOT = "reboot"

    @property
    def runs_now(self) -> bool:
        """Whether something of the system runs that could be on trial."""
        return self is not Action.BOOT

    @property
    def excludes_reboot(self) -> bool:
        """Whether it says that the host is not rebooted for it."""
        return self in (Action.BOOT, Action.TEST)

    @property
    def may_boot(self) -> bool:
        """Whether the host may come to run the system by a boot, which knows no specialisation."""
        return self in (Action.BOOT, Action.AUTO, Action.REBOOT)

    @property
    def verb(self) -> str:
        """What the host did, in the line at the end."""
        verbs = {Action.BOOT: "will boot", Action.TEST: "tests", Action.REBOOT: "rebooted"}
        return verbs.get(self, "switched")

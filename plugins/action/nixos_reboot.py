# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_reboot): reboots a host and waits until it is back."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_REBOOT
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.reboot import reboot
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Reboot, and say what came up."""

    spec = NIXOS_REBOOT

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Reboot, or in check mode say so."""
        return reboot(self.target(), args["timeout"], self.progress(), self.check)

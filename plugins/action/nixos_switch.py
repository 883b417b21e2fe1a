# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_switch): activates a NixOS system."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import Activation
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import Trial
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Find out what is left to do, and do only that."""

    spec = NIXOS_SWITCH

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Activate the system, or in check mode say what that would do."""
        given = (self.target(), args, self.progress(), self.check, self.diff)
        trial = bool(args["confirm_timeout"])
        activation = Trial(*given, self.fresh_connection) if trial else Activation(*given)
        return {"unconfirmed": False, "rolled_back": False} | activation.run()

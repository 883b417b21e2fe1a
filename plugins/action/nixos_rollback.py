# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_rollback): rolls back to a recorded system."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    RollbackOptions,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_ROLLBACK
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.rollback import roll_back
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


class ActionModule(ClosureAction):
    """Choose what to roll back to, and switch there, the profile first."""

    spec = NIXOS_ROLLBACK

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Roll back, or in check mode say where to and what that would do."""
        host = self.target()
        if args["connect_timeout"]:
            limit = args["connect_timeout"]
            host = Host(self._connection, host.name, host.task_run, retry_for=limit, answers=True)
        options = options_of(RollbackOptions, args)
        return roll_back(host, options, self.progress(), self.check, self.diff)

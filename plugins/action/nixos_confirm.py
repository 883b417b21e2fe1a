# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_confirm): confirms the system that a host has on trial."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    ConfirmOptions,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_CONFIRM
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.confirmation import (
    Confirmation,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


class ActionModule(ClosureAction):
    """Come to the host by a new connection, and tell it that its system is good."""

    spec = NIXOS_CONFIRM

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Confirm, or in check mode say what that would do."""
        options = options_of(ConfirmOptions, args)
        return Confirmation(self._at(args), options, self.progress(), self.check).run()

    def _at(self, args: dict[str, t.Any]) -> Host:
        """Return the host at the address that it has now."""
        for option in ("host", "port"):
            if args[option] is None:
                continue
            if option not in self._connection.option_definitions:
                plugin = self._connection.transport
                raise ClosureError(f"{option}: the connection plugin {plugin} takes no {option}.")
            self._connection.set_option(option, args[option])
        return self.fresh_connection(args["connect_timeout"])

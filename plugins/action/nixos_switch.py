# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_switch): activates a NixOS system."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    SwitchOptions,
    TrialOptions,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import (
    Activation,
    Procedure,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.plain import Plain
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import Trial
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Find out what is left to do, and do only that."""

    spec = NIXOS_SWITCH

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Activate the system, or in check mode say what that would do."""
        host, progress = self.target(), self.progress()
        options, trial = options_of(SwitchOptions, args), options_of(TrialOptions, args)
        looks = self.check or options.action.only_looks
        procedure: Procedure = Plain(host, options, progress)
        if trial.confirm_timeout:
            procedure = Trial(host, options, trial, self.fresh_connection, progress, looks)
        source = self.build_host(args["build_host"]) if looks and args["build_host"] else None
        activation = Activation(host, options, procedure, progress, self.check, self.diff, source)
        return {"unconfirmed": False, "rolled_back": False} | activation.run()

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_switch): activates a NixOS system."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    ConfirmOptions,
    SwitchOptions,
    TrialOptions,
    check_confirm,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import (
    Result,
    is_to_confirm,
    with_confirmation,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError, as_result
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import (
    Activation,
    Procedure,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.confirmation import (
    Confirmation,
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
        check_confirm(trial, options.action)
        looks = self.check or options.action.only_looks
        on_trial = Trial(host, options, trial, self.fresh_connection, progress, looks)
        procedure: Procedure = on_trial if trial.confirm_timeout else Plain(host, options, progress)
        source = self.build_host(args["build_host"]) if looks and args["build_host"] else None
        activation = Activation(host, options, procedure, progress, self.check, self.diff, source)
        result = {"unconfirmed": False, "rolled_back": False} | activation.run()
        if trial.confirm and not result.get("failed") and is_to_confirm(options.action, result):
            return with_confirmation(result, self._confirm(on_trial, str(result["path"])))
        return result

    def _confirm(self, tried: Trial, path: str) -> Result:
        """Come in by a new connection and confirm the system; return what that says."""
        host = self.fresh_connection(tried.trial.confirm_timeout)
        host.require_boot(tried.host.boot)
        options = ConfirmOptions(
            path=path,
            profile=tried.options.profile,
            ignore_units=tried.options.ignore_units,
            connection="new",
            timeout=tried.options.timeout,
        )
        try:
            return Confirmation(host, options, tried.progress, self.check, tried.runs_since).run()
        except ClosureError as error:
            return as_result(error)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_option_info): the values of NixOS options."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.nix import Request
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    Options,
    options_goal,
    problems_of,
    values_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_OPTION_INFO
from ansible_collections.closure.nixos.plugins.plugin_utils._build.builder import Builder
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import Outcome
from ansible_collections.closure.nixos.plugins.plugin_utils._build.requests import (
    Outcomes,
    RequestsAction,
)


class ActionModule(RequestsAction):
    """Evaluate the options of all systems together."""

    spec = NIXOS_OPTION_INFO

    def answer(
        self, builder: Builder, args: dict[str, t.Any], requests: dict[str, Request]
    ) -> Outcomes:
        """Return the values that each host has."""
        found = builder.evaluate(requests, options_goal(args["options"], args["details"]))
        return {
            host: _outcome(it, args["details"]) if isinstance(it, Options) else it
            for host, it in found.items()
        }

    def evaluator(self, args: dict[str, t.Any]) -> Builder:
        """Return what evaluates."""
        return Builder(
            self.build_host(args["build_host"]), self.progress(), timeout=args["timeout"]
        )


def _outcome(found: Options, details: bool) -> Outcome:
    outcome: Outcome = {"changed": False, "option_values": values_of(found)}
    if details:
        outcome["option_details"] = {name: it for name, it in found.found.items() if "type" in it}
    if problems := problems_of(found):
        outcome |= {"failed": True, "msg": "\n".join(problems)}
    return outcome

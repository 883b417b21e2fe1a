# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_option_info): the values of NixOS options."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import Answer
from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import Asked
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    NixosOptions,
    option_units,
    read_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_OPTION_INFO
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import (
    Evaluator,
    Outcome,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._build.requests import (
    Outcomes,
    Ready,
    RequestsAction,
)


@dataclasses.dataclass(frozen=True)
class OptionsAsked:
    """Which options of each system, whether with what the module system says of them."""

    names: tuple[str, ...]
    details: bool
    timeout: float


class ActionModule(RequestsAction[OptionsAsked]):
    """Evaluate the options of all systems together."""

    spec = NIXOS_OPTION_INFO

    def act(self, args: dict[str, t.Any]) -> Outcome:
        """Return the options of the host's system, or of all of `systems`."""
        asked = Asked.of(args)
        options = OptionsAsked(tuple(args["options"]), args["details"], args["timeout"])
        return self.ask(asked, self.build_host(asked.build_host), options)

    def evaluation(self, options: OptionsAsked) -> EvaluationOptions:
        """Return how to evaluate."""
        return EvaluationOptions(timeout=options.timeout)

    def answer(
        self,
        evaluator: Evaluator,
        options: OptionsAsked,
        requests: dict[str, Request],
        ready: Ready | None,  # one evaluation has them all
    ) -> Outcomes:
        """Return the values that each host has."""
        units = {host: option_units(host, options.names, options.details) for host in requests}
        answers = evaluator.evaluate(requests, "option", [*itertools.chain(*units.values())])

        def explain(host: str, said: Answer) -> str:
            return evaluator.explain(said, requests[host])

        return {
            host: _outcome(
                read_options(answers, own, functools.partial(explain, host)), options, evaluator
            )
            for host, own in units.items()
        }


def _outcome(found: NixosOptions, options: OptionsAsked, evaluator: Evaluator) -> Outcome:
    outcome: Outcome = {
        "changed": False,
        "option_values": found.values,
        "option_errors": found.errors,
    }
    if options.details:
        outcome["option_details"] = found.details
    if found.errors:
        outcome |= {"failed": True, "msg": "\n".join(dict.fromkeys(found.errors.values()))}
    if found.trace:
        outcome["trace"] = evaluator.trace(found.trace)
    return outcome

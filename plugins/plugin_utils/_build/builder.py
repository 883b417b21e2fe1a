# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: building systems and packages on a build host."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._build.build_log import BuildLog
from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    PACKAGE,
    VM,
    BuildOptions,
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.build_plan import (
    BuildPlan,
    Built,
    Evaluated,
    parse_build_plans,
    parse_built,
    read_evaluated,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import Unit
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import explain_build
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import (
    Evaluator,
    Outcome,
    failure,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._build.requests import (
    Outcomes,
    Ready,
    RequestsAction,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult

_NOTHING = BuildPlan()


@dataclasses.dataclass(frozen=True)
class Builder:
    """Evaluates and builds systems on one host, or packages where the options say so."""

    evaluator: Evaluator
    options: BuildOptions
    #: gets what is told of a host before all are done
    ready: Ready | None = None

    def make(self, requests: Mapping[str, Request]) -> Outcomes:
        """Evaluate all systems, and build those that evaluate, or say what that would do."""
        start = time.monotonic()
        outcomes, systems = self._evaluate(requests)
        seconds = round(time.monotonic() - start, 3)
        if systems:
            dry = self.options.dry
            outcomes |= self._dry_build(systems) if dry else self._build(systems, seconds)
        return {host: it | {"seconds_evaluation": seconds} for host, it in outcomes.items()}

    def _evaluate(
        self, requests: Mapping[str, Request]
    ) -> tuple[Outcomes, dict[str, Evaluated]]:
        """Return the failures of those that do not evaluate, and the others."""
        units = [Unit(host) for host in requests]
        answers = self.evaluator.evaluate(requests, self.options.goal, units)
        found = {unit.host: answers[unit] for unit in units}
        failures = {
            host: self.evaluator.failure(it, requests[host])
            for host, it in found.items()
            if it.found is None
        }
        systems = {host: it.found for host, it in found.items() if host not in failures}
        return failures, {host: read_evaluated(it) for host, it in systems.items()}

    def _build(self, systems: Mapping[str, Evaluated], evaluation: float) -> Outcomes:
        """Build all systems together; where one fails, that host has its failure as result.

        :param evaluation: how many seconds that took
        """
        log, start, early = BuildLog(), time.monotonic(), _Early(systems, self, evaluation)

        def hear(out: bytes, err: bytes) -> None:
            early.feed(out, round(time.monotonic() - start, 3))
            log.feed(err, time.monotonic())
            if log.summary:
                self.evaluator.progress.say(log.summary)

        words = ("build", self.options.roots, *self._words(systems))
        ended = self.evaluator.run("build", *words, hear=hear)
        ended = dataclasses.replace(ended, stderr=log.text)
        seconds = round(time.monotonic() - start, 3)
        plans, built = parse_build_plans(ended.stdout), parse_built(ended.stdout)
        outcomes = {}
        for host, system in systems.items():
            root = self.options.root_of(host)
            outcomes[host] = (
                self.built(system, plans.get(root), built[root], seconds)
                if root in built
                else self._not_built(system, plans.get(root, _NOTHING), ended)
            )
        return outcomes

    def built(
        self, system: Evaluated, plan: BuildPlan | None, built: Built, seconds: float
    ) -> Outcome:
        """Return the outcome of a host whose system is there."""
        if not built.version and self.options.goal not in (PACKAGE, VM):
            return failure(
                f"{system.out} is not a NixOS system: it has no file nixos-version. Name the "
                "attribute of a system, such as web1.system.",
                drv_path=system.drv,
            )
        return self._outcome(system, plan, built, seconds)

    def _not_built(self, system: Evaluated, plan: BuildPlan, ended: JobResult) -> Outcome:
        message = explain_build(ended.stderr, system.drv, plan.derivations)
        said = self.evaluator.trace(ended.stderr)
        return failure(message, rc=ended.exit_code, trace=said, drv_path=system.drv)

    def _dry_build(self, systems: Mapping[str, Evaluated]) -> Outcomes:
        """Say which systems would be built, and build none."""
        ended = self.evaluator.run("plan", "each_system", "plan", *self._words(systems))
        plans, root = parse_build_plans(ended.stdout), self.options.root_of
        return {host: self._outcome(it, plans.get(root(host))) for host, it in systems.items()}

    def _words(self, systems: Mapping[str, Evaluated]) -> list[str]:
        named = ((self.options.root_of(host), it) for host, it in systems.items())
        return [word for name, it in named for word in (name, it.wanted, it.out)]

    def _outcome(
        self,
        system: Evaluated,
        plan: BuildPlan | None,
        built: Built | None = None,
        seconds: float = 0,
    ) -> Outcome:
        doing = plan or _NOTHING
        outcome: Outcome = {
            "drv_path": system.drv,
            "path": system.out,
            "changed": plan is not None,
            "closure_bytes": built and built.closure_bytes,
            "built": len(doing.derivations),
            "fetched": len(doing.paths),
            "plan": dataclasses.asdict(doing),
            "seconds_build": seconds,
        }
        if self.options.goal == PACKAGE:
            return outcome
        return outcome | {
            "platform": built and built.platform,
            "nixos_version": built and built.version,
        }


class _Early:
    """Tells which systems are there while others are built."""

    def __init__(
        self, systems: Mapping[str, Evaluated], builder: Builder, evaluation: float
    ) -> None:
        self._left = {builder.options.root_of(host): host for host in systems}
        self._systems = systems
        self._builder = builder
        self._evaluation = evaluation
        self._heard = b""

    def feed(self, out: bytes, seconds: float) -> None:
        """Take what came new on the output of ``build``, so long after its start."""
        ready = self._builder.ready
        if not (out and ready):
            return
        self._heard += out
        text = self._heard[: self._heard.rfind(b"\n") + 1].decode(errors="replace")
        plans = parse_build_plans(text)
        for root, built in parse_built(text).items():
            if host := self._left.pop(root, None):
                system = self._systems[host]
                outcome = self._builder.built(system, plans.get(root), built, seconds)
                ready(host, outcome | {"seconds_evaluation": self._evaluation})


class BuildAction(RequestsAction[BuildOptions]):
    """Evaluates what all hosts ask for together, and builds it together."""

    def evaluation(self, options: BuildOptions) -> EvaluationOptions:
        """Return how to evaluate."""
        return options.evaluation

    def answer(
        self,
        evaluator: Evaluator,
        options: BuildOptions,
        requests: dict[str, Request],
        ready: Ready | None,
    ) -> Outcomes:
        """Return what was built, or in check mode would be, for each host."""
        return Builder(evaluator, options, ready).make(requests)

    def again(self, options: BuildOptions, outcome: Outcome) -> Outcome:
        """Return an outcome as it is when everything is done already: a dry build does nothing."""
        if options.dry or outcome.get("failed"):
            return outcome
        done = {"changed": False, "built": 0, "fetched": 0, "plan": dataclasses.asdict(_NOTHING)}
        return outcome | done | {"seconds_evaluation": 0, "seconds_build": 0}

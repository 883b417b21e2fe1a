# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: building systems on a build host."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._build.nix import Evaluated, explain_build
from ansible_collections.closure.nixos.plugins.module_utils._build.build_plan import (
    Built,
    BuildPlan,
    parse_built,
    parse_build_plans,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.build_log import BuildLog
from ansible_collections.closure.nixos.plugins.plugin_utils._build.evaluation import (
    Evaluator,
    Outcome,
    failure,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult

_NOTHING = BuildPlan()


@dataclasses.dataclass
class Builder(Evaluator):
    """Evaluates and builds systems on one host.

    :param roots: directory of the garbage collector roots there, empty for the default
    """

    roots: str = ""

    def build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Build all systems together; where one fails, that host has its failure as result."""
        log, start = BuildLog(), time.monotonic()

        def hear(_out: bytes, err: bytes) -> None:
            log.feed(err)
            if log.summary:
                self.progress.say(log.summary)

        ended = self.run("build", "build", self.roots, *_words(systems), hear=hear)
        ended = dataclasses.replace(ended, stderr=log.text)
        seconds = round(time.monotonic() - start, 3)
        plans, built = parse_build_plans(ended.stdout), parse_built(ended.stdout)
        return {
            host: _built(system, plans.get(host), built[host], seconds)
            if host in built
            else _not_built(system, plans.get(host, _NOTHING), ended)
            for host, system in systems.items()
        }

    def dry_build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Say which systems would be built, and build none."""
        ended = self.run("plan", "each_system", "plan", *_words(systems), hear=_ignore)
        plans = parse_build_plans(ended.stdout)
        return {host: _system(system, plans.get(host)) for host, system in systems.items()}


def _ignore(_out: bytes, _err: bytes) -> None:
    """The plan says nothing while it is made."""


def _words(systems: Mapping[str, Evaluated]) -> list[str]:
    return [word for host, it in systems.items() for word in (host, it.drv, it.out)]


def _system(
    system: Evaluated, plan: BuildPlan | None, built: Built | None = None, seconds: float = 0
) -> Outcome:
    doing = plan or _NOTHING
    return {
        "drv_path": system.drv,
        "path": system.out,
        "changed": plan is not None,
        "platform": built and built.platform,
        "nixos_version": built and built.version,
        "closure_bytes": built and built.closure_bytes,
        "built": len(doing.derivations),
        "fetched": len(doing.paths),
        "plan": dataclasses.asdict(doing),
        "seconds_build": seconds,
    }


def _built(system: Evaluated, plan: BuildPlan | None, built: Built, seconds: float) -> Outcome:
    if not built.version:
        return failure(
            f"{system.out} is not a NixOS system: it has no file nixos-version. Name the "
            "attribute of a system, such as web1.system.",
            drv_path=system.drv,
        )
    return _system(system, plan, built, seconds)


def _not_built(system: Evaluated, plan: BuildPlan, ended: JobResult) -> Outcome:
    message = explain_build(ended.stderr, system.drv, plan.derivations)
    return failure(message, ended, drv_path=system.drv)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating and building systems on a build host."""

from __future__ import annotations

import dataclasses
import time
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._nix import (
    Evaluated,
    Found,
    Goal,
    Request,
    chunks,
    evaluation,
    explain_build,
    explain_evaluation,
    failed_host,
    heap_bytes,
    parse_evaluation,
    search_path_use,
    warnings_in,
)
from ansible_collections.closure.nixos.plugins.module_utils._plan import (
    Built,
    Plan,
    parse_built,
    parse_plans,
)
from ansible_collections.closure.nixos.plugins.module_utils._progress import BuildLog
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script

Outcome = dict[str, t.Any]
Hear = Callable[[bytes, bytes], None]

_SOURCES = ("store", "build")
_NOTHING = Plan()


class _SearchPathUsedError(Exception):
    """The evaluation looked something up in ``NIX_PATH``, which was empty."""


@dataclasses.dataclass
class Builder:
    """Builds systems on one host.

    :param directory: what relative paths in expressions start from, where the host has it
    :param settings: lines of nix.conf that count for these systems
    :param roots: directory of the garbage collector roots there, empty for the default
    :param lease: seconds that a build goes on when nobody asks after it
    :param timeout: seconds for an evaluation, and for a build
    :param memory: bytes that an evaluation may take, 0 for no limit
    """

    host: Host
    progress: Progress
    directory: str = "/"
    settings: str = ""
    roots: str = ""
    lease: int = 30
    timeout: float = 86400
    memory: int = 0

    def evaluate(
        self, requests: Mapping[str, Request], goal: Goal[Found]
    ) -> dict[str, Found | Outcome]:
        """Evaluate all requests at once; where one fails, that host has its failure as result."""
        pure = {host: it for host, it in requests.items() if not it.search_path}
        other = {host: it for host, it in requests.items() if it.search_path}
        systems = self._evaluate_all(pure, goal, search_path=False)
        try:
            return systems | self._evaluate_all(other, goal, search_path=False)
        except _SearchPathUsedError as use:
            self.progress.warn(str(use))
            return systems | self._evaluate_all(other, goal, search_path=True)

    def build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Build all systems together; where one fails, that host has its failure as result."""
        log, start = BuildLog(), time.monotonic()

        def hear(_out: bytes, err: bytes) -> None:
            log.feed(err)
            if log.summary:
                self.progress.say(log.summary)

        ended = self._run("build", "build", self.roots, *_words(systems), hear=hear)
        ended = dataclasses.replace(ended, stderr=log.text)
        seconds = round(time.monotonic() - start, 3)
        plans, built = parse_plans(ended.stdout), parse_built(ended.stdout)
        return {
            host: _built(system, plans.get(host), built[host], seconds)
            if host in built
            else _not_built(system, plans.get(host, _NOTHING), ended)
            for host, system in systems.items()
        }

    def dry_build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Say which systems would be built, and build none."""
        ended = self._run("plan", "each_system", "plan", *_words(systems), hear=_ignore)
        plans = parse_plans(ended.stdout)
        return {host: _system(system, plans.get(host)) for host, system in systems.items()}

    def ask(self, expression: str) -> Ended:
        """Evaluate an expression to one line of JSON, without looking at ``NIX_PATH``."""
        return self._evaluate(expression, search_path=False)

    def _evaluate_all(
        self, requests: Mapping[str, Request], goal: Goal[Found], search_path: bool
    ) -> dict[str, Found | Outcome]:
        """Evaluate in as many turns as the memory takes; the first host tells what one takes."""
        systems: dict[str, Found | Outcome] = {}
        hosts, heap = list(requests), 0
        while hosts:
            now, hosts = chunks(hosts, self.memory, heap)
            some = {host: requests[host] for host in now}
            found, heap = self._evaluate_some(some, goal, search_path)
            heap //= len(now)
            systems |= found
        return systems

    def _evaluate_some(
        self, requests: dict[str, Request], goal: Goal[Found], search_path: bool
    ) -> tuple[dict[str, Found | Outcome], int]:
        """Evaluate together; without the host that ends the evaluation, when one does."""
        systems: dict[str, Found | Outcome] = {}
        left = dict(requests)
        while True:
            ended = self._evaluate(evaluation(left, goal), search_path, "--show-trace")
            if ended.exit_code == 0:
                break
            culprit = failed_host(ended.stderr)
            for host in [culprit] if culprit in left else list(left):
                alone = self._evaluate_alone(host, left.pop(host), goal, search_path)
                systems[host] = alone
            if not left:
                return systems, 0
        for warning in warnings_in(ended.stderr):
            self.progress.warn(warning)
        for host, system in parse_evaluation(ended.stdout, goal).items():
            if system is None:
                alone = self._evaluate_alone(host, left[host], goal, search_path)
                systems[host] = alone
            else:
                systems[host] = system
        return systems, heap_bytes(ended.stdout)

    def _evaluate_alone(
        self, host: str, request: Request, goal: Goal[Found], search_path: bool
    ) -> Found | Outcome:
        ended = self._evaluate(evaluation({host: request}, goal, alone=True), search_path)
        found = parse_evaluation(ended.stdout, goal)[host] if ended.exit_code == 0 else None
        if found is not None:
            return found
        use = search_path_use(ended.stderr)
        if use and request.search_path and not search_path:
            raise _SearchPathUsedError(
                f"{use['position']} looks <{use['name']}> up in NIX_PATH, so what is built depends "
                "on who builds it. Pin nixpkgs and import the pin there instead."
            )
        return _failure(explain_evaluation(ended.stderr, request), ended)

    def _evaluate(self, expression: str, search_path: bool, *options: str) -> Ended:
        words = (self.directory, "true" if search_path else "false", expression, *options)
        return self._run("evaluate", "evaluate", *words, hear=self._hear_evaluation)

    def _run(self, name: str, *words: str, hear: Hear) -> Ended:
        command = script("configured", self.settings, *words, sources=_SOURCES)
        return run_leased(self.host, name, command, self.timeout, hear, self.lease)

    def _hear_evaluation(self, _out: bytes, err: bytes) -> None:
        lines = err.decode(errors="replace").splitlines()
        self.progress.say(f"evaluating: {lines[-1]}" if lines else "evaluating")


def _ignore(_out: bytes, _err: bytes) -> None:
    """The plan says nothing while it is made."""


def _words(systems: Mapping[str, Evaluated]) -> list[str]:
    return [word for host, it in systems.items() for word in (host, it.drv, it.out)]


def _system(
    system: Evaluated, plan: Plan | None, built: Built | None = None, seconds: float = 0
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


def _built(system: Evaluated, plan: Plan | None, built: Built, seconds: float) -> Outcome:
    if not built.version:
        return _failure(
            f"{system.out} is not a NixOS system: it has no file nixos-version. Name the "
            "attribute of a system, such as web1.system.",
            drv_path=system.drv,
        )
    return _system(system, plan, built, seconds)


def _not_built(system: Evaluated, plan: Plan, ended: Ended) -> Outcome:
    message = explain_build(ended.stderr, system.drv, plan.derivations)
    return _failure(message, ended, drv_path=system.drv)


def _failure(message: str, ended: Ended | None = None, **details: t.Any) -> Outcome:
    said = {"rc": ended.exit_code, "stderr": ended.stderr} if ended else {}
    return {"failed": True, "msg": message, **said, **details}

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating and building systems on a build host."""

from __future__ import annotations

import dataclasses
import time
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._nix import (
    Evaluated,
    Found,
    Goal,
    Request,
    chunks,
    error_place,
    evaluation,
    explain_build,
    explain_evaluation,
    failed_host,
    fails_too,
    heap_bytes,
    jobs,
    parse_evaluation,
    parse_jobs,
    search_path_use,
    warnings_in,
    without_trace,
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
# Linux takes 128 KiB as one argument of a program (MAX_ARG_STRLEN).
_LONGEST_ARGUMENT = 128 * 1024 - 1
_NOT_FOUND = 127


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
    :param workers: of nix-eval-jobs, which evaluates then; 0 for Nix's own evaluator
    """

    host: Host
    progress: Progress
    directory: str = "/"
    settings: str = ""
    roots: str = ""
    lease: int = 30
    timeout: float = 86400
    memory: int = 0
    workers: int = 0

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
        ended = self._evaluate(expression, search_path=False)
        return dataclasses.replace(ended, stderr=without_trace(ended.stderr))

    def _evaluate_all(
        self, requests: Mapping[str, Request], goal: Goal[Found], search_path: bool
    ) -> dict[str, Found | Outcome]:
        """Evaluate in as many turns as the memory takes; the first host tells what one takes."""
        systems: dict[str, Found | Outcome] = {}
        if self.workers and goal.job and requests:
            systems = self._evaluate_jobs(requests, goal, search_path)
        # Where nix-eval-jobs ended early, Nix itself can say why.
        hosts, heap = [host for host in requests if host not in systems], 0
        while hosts:
            now, hosts = chunks(hosts, self.memory, heap)
            some = {host: requests[host] for host in now}
            found, heap = self._evaluate_some(some, goal, search_path)
            heap //= len(now)
            systems |= found
        return systems

    def _evaluate_jobs(
        self, requests: Mapping[str, Request], goal: Goal[Found], search_path: bool
    ) -> dict[str, Found | Outcome]:
        """Have nix-eval-jobs evaluate, and return the hosts of which it says something."""
        expression = jobs(requests, goal)
        if len(expression.encode()) > _LONGEST_ARGUMENT and len(requests) > 1:
            hosts = list(requests)
            halves = hosts[::2], hosts[1::2]
            some = ({host: requests[host] for host in half} for half in halves)
            one, other = (self._evaluate_jobs(it, goal, search_path) for it in some)
            return one | other
        words = (self.directory, str(search_path).lower(), expression, *self._job_options())
        ended = self._run("evaluate", "evaluate_jobs", *words, hear=self._hear_evaluation)
        if ended.exit_code == _NOT_FOUND:
            raise ClosureError(
                f"{self.host.name} has no nix-eval-jobs on its PATH, and eval_workers asks for it. "
                "Install it there, or leave eval_workers out: Nix itself evaluates then.",
                rc=ended.exit_code,
                stderr=ended.stderr,
            )
        self._warn(ended)
        found, errors = parse_jobs(ended.stdout, goal)
        failed = {
            host: self._failure(Ended(1, "", "", error), requests[host], search_path)
            for host, error in errors.items()
        }
        return {**found, **failed}

    def _job_options(self) -> list[str]:
        options = ["--workers", str(self.workers)]
        if self.memory:
            each = max(1, self.memory // self.workers // 1024**2)
            options += ["--max-memory-size", str(each)]
        return options

    def _evaluate_some(
        self, requests: dict[str, Request], goal: Goal[Found], search_path: bool
    ) -> tuple[dict[str, Found | Outcome], int]:
        """Evaluate together; without the hosts that end the evaluation, when some do."""
        systems: dict[str, Found | Outcome] = {}
        left = requests
        while left:
            ended = self._evaluate(evaluation(left, goal), search_path)
            if ended.exit_code == 0:
                break
            failed = self._culprits(ended, left, goal, search_path)
            systems |= failed
            left = {host: it for host, it in left.items() if host not in systems}
        else:
            return systems, 0
        self._warn(ended)
        found = parse_evaluation(ended.stdout, goal)
        failing = {host: left[host] for host, it in found.items() if it is None}
        systems |= {host: it for host, it in found.items() if it is not None}
        return systems | self._evaluate_each(failing, goal, search_path), heap_bytes(ended.stdout)

    def _culprits(
        self, ended: Ended, requests: dict[str, Request], goal: Goal[Found], search_path: bool
    ) -> dict[str, Found | Outcome]:
        """Return the failures of the host that ended an evaluation and of those sure to end it."""
        culprit = failed_host(ended.stderr)
        if culprit not in requests:
            return self._evaluate_each(requests, goal, search_path, known=False)
        return {
            host: self._failure(ended, it, search_path)
            for host, it in requests.items()
            if host == culprit or fails_too(ended.stderr, requests[culprit], it)
        }

    def _evaluate_each(
        self,
        requests: dict[str, Request],
        goal: Goal[Found],
        search_path: bool,
        known: bool = True,
    ) -> dict[str, Found | Outcome]:
        """Evaluate one by one, until the error of the others is sure.

        :param known: that each of them fails is known, and only why is not
        """
        systems: dict[str, Found | Outcome] = {}
        last = ""
        while left := {host: it for host, it in requests.items() if host not in systems}:
            host, request = next(iter(left.items()))
            found = self._evaluate_alone(host, request, goal, search_path)
            if not isinstance(found, Ended):
                systems[host] = found
                continue
            said = error_place(found.stderr)
            if known and said and said == last:
                return systems | {
                    name: _presumed(self._failure(found, it, search_path), name != host)
                    for name, it in left.items()
                }
            last = said
            systems |= {
                name: self._failure(found, it, search_path)
                for name, it in left.items()
                if name == host or fails_too(found.stderr, request, it)
            }
        return systems

    def _evaluate_alone(
        self, host: str, request: Request, goal: Goal[Found], search_path: bool
    ) -> Found | Ended:
        text = evaluation({host: request}, goal, alone=True)
        ended = self._evaluate(text, search_path)
        found = parse_evaluation(ended.stdout, goal)[host] if ended.exit_code == 0 else None
        return ended if found is None else found

    def _failure(self, ended: Ended, request: Request, search_path: bool) -> Outcome:
        """Say why a system was not evaluated.

        :raises _SearchPathUsedError: it may be evaluated with ``NIX_PATH``, and was not
        """
        ended = dataclasses.replace(ended, stderr=without_trace(ended.stderr))
        use = search_path_use(ended.stderr)
        if use and request.search_path and not search_path:
            raise _SearchPathUsedError(
                f"{use['position']} looks <{use['name']}> up in NIX_PATH, so what is built depends "
                "on who builds it. Pin nixpkgs and import the pin there instead."
            )
        return _failure(explain_evaluation(ended.stderr, request), ended)

    def _warn(self, ended: Ended) -> None:
        for warning in warnings_in(ended.stderr):
            self.progress.warn(warning)

    def _evaluate(self, expression: str, search_path: bool) -> Ended:
        words = (self.directory, str(search_path).lower(), expression, "--show-trace")
        return self._run("evaluate", "evaluate", *words, hear=self._hear_evaluation)

    def _run(self, name: str, *words: str, hear: Hear) -> Ended:
        command = script("configured", self.settings, *words, sources=_SOURCES)
        return run_leased(self.host, name, command, self.timeout, hear, self.lease)

    def _hear_evaluation(self, _out: bytes, err: bytes) -> None:
        lines = err.decode(errors="replace").splitlines()
        self.progress.say(f"evaluating: {lines[-1]}" if lines else "evaluating")


def _presumed(failure: Outcome, presumed: bool) -> Outcome:
    note = "\nTwo other hosts fail with this error, of this one is known only that it fails too."
    return failure | ({"msg": failure["msg"] + note} if presumed else {})


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

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating Nix code on a build host, for many hosts together."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    Found,
    Goal,
    Request,
    chunks,
    error_place,
    evaluation,
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
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

Outcome = dict[str, t.Any]
Requests = Mapping[str, Request]
Hear = Callable[[bytes, bytes], None]

_PRESUMED = "\nTwo other hosts fail with this error, of this one is known only that it fails too."
# Linux takes 128 KiB as one argument of a program (MAX_ARG_STRLEN).
_LONGEST_ARGUMENT = 128 * 1024 - 1
_NOT_FOUND = 127


class _SearchPathUsedError(Exception):
    """The evaluation looked something up in ``NIX_PATH``, which was empty."""


@dataclasses.dataclass
class Evaluator:
    """Evaluates on one host.

    :param directory: what relative paths in expressions start from, where the host has it
    :param origin: where a directory there is from, in whose place messages name that
    :param settings: lines of nix.conf that count
    :param lease: seconds that a command goes on when nobody asks after it
    :param timeout: seconds for a command
    :param memory: bytes that an evaluation may take, 0 for no limit
    :param workers: of nix-eval-jobs, which evaluates then; 0 for Nix's own evaluator
    """

    host: Host
    progress: Progress
    directory: str = "/"
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: str = ""
    lease: int = 30
    timeout: float = 86400
    memory: int = 0
    workers: int = 0

    def evaluate(self, requests: Requests, goal: Goal[Found]) -> dict[str, Found | Outcome]:
        """Evaluate all requests at once; where one fails, that host has its failure as result."""
        pure = {host: it for host, it in requests.items() if not it.search_path}
        other = {host: it for host, it in requests.items() if it.search_path}
        strict = _Evaluation(self, goal, search_path=False)
        systems = strict.all(pure)
        try:
            return systems | strict.all(other)
        except _SearchPathUsedError as use:
            self.progress.warn(str(use))
            return systems | _Evaluation(self, goal, search_path=True).all(other)

    def ask(self, expression: str) -> JobResult:
        """Evaluate an expression to one line of JSON, without looking at ``NIX_PATH``."""
        ended = self.nix("evaluate", False, expression, "--show-trace")
        return dataclasses.replace(ended, stderr=without_trace(ended.stderr))

    def nix(self, function: str, search_path: bool, expression: str, *options: str) -> JobResult:
        """Have a function of ``build.sh`` evaluate an expression."""
        words = (function, self.directory, str(search_path).lower(), expression, *options)
        return self.run("evaluate", *words, hear=self._hear)

    def run(self, what: str, *words: str, hear: Hear) -> JobResult:
        """Run a function of ``build.sh`` with our settings, as a job that ends with us."""
        command = script("configured", self.settings, *words)
        return run_leased(self.host, what, command, self.timeout, hear, self.lease)

    def shown(self, text: str) -> str:
        """Return a message with the paths that people know."""
        for there, here in self.origin.items():
            text = text.replace(there, here)
        return text

    def _hear(self, _out: bytes, err: bytes) -> None:
        lines = err.decode(errors="replace").splitlines()
        self.progress.say(f"evaluating: {lines[-1]}" if lines else "evaluating")


@dataclasses.dataclass
class _Evaluation(t.Generic[Found]):
    """What is asked of all hosts, in one way to look at ``NIX_PATH``."""

    by: Evaluator
    goal: Goal[Found]
    search_path: bool

    def all(self, requests: Requests) -> dict[str, Found | Outcome]:
        """Evaluate in as many turns as the memory takes; the first host tells what one takes."""
        systems: dict[str, Found | Outcome] = {}
        if requests and self.by.workers and self.goal.job:
            systems = self._jobs(requests)
        hosts, heap = list(_without(requests, systems)), 0
        while hosts:
            now, hosts = chunks(hosts, self.by.memory, heap)
            found, heap = self._together({host: requests[host] for host in now})
            heap //= len(now)
            systems |= found
        return systems

    def _jobs(self, requests: Requests) -> dict[str, Found | Outcome]:
        """Have nix-eval-jobs evaluate, and return the hosts of which it says something."""
        expression = jobs(requests, self.goal)
        if len(expression.encode()) > _LONGEST_ARGUMENT and len(requests) > 1:
            half = dict(list(requests.items())[::2])
            return self._jobs(half) | self._jobs(_without(requests, half))
        ended = self.by.nix("evaluate_jobs", self.search_path, expression, *self._job_options())
        if ended.exit_code == _NOT_FOUND:
            raise _no_jobs(self.by.host.name, ended)
        self._warn(ended)
        found, errors = parse_jobs(ended.stdout, self.goal)
        failed = {
            host: self._failure(JobResult(1, "", "", error), requests[host])
            for host, error in errors.items()
        }
        left = [host for host in requests if host not in found and host not in errors]
        self._warn_of(left, ended)
        return {**found, **failed}

    def _warn_of(self, left: list[str], ended: JobResult) -> None:
        """Say why Nix itself evaluates some hosts: a worker may have been killed, or be too old."""
        last = (ended.stderr.strip().splitlines() or ["without a word"])[-1]
        if left:
            self.by.progress.warn(
                f"nix-eval-jobs on {self.by.host.name} says nothing of {', '.join(left)}, so Nix "
                f"itself evaluates there. It ended: {last}"
            )

    def _job_options(self) -> list[str]:
        options = ["--workers", str(self.by.workers)]
        if self.by.memory:
            each = max(1, self.by.memory // self.by.workers // 1024**2)
            options += ["--max-memory-size", str(each)]
        return options

    def _together(self, requests: Requests) -> tuple[dict[str, Found | Outcome], int]:
        """Evaluate together, without the hosts that end the evaluation; and say its memory."""
        systems: dict[str, Found | Outcome] = {}
        while left := _without(requests, systems):
            ended = self._nix(evaluation(left, self.goal))
            if ended.exit_code == 0:
                return systems | self._read(ended, left), heap_bytes(ended.stdout)
            culprit = failed_host(ended.stderr)
            known = culprit in left
            failed = self._failures(ended, str(culprit), left) if known else self._each(left)
            systems |= failed
        return systems, 0

    def _read(self, ended: JobResult, requests: Requests) -> dict[str, Found | Outcome]:
        """Return what was found; of each host that failed, only Nix alone with it says why."""
        self._warn(ended)
        found = parse_evaluation(ended.stdout, self.goal)
        failing = {host: requests[host] for host, it in found.items() if it is None}
        systems = {host: it for host, it in found.items() if it is not None}
        return {**systems, **self._each(failing, failing=True)}

    def _each(self, requests: Requests, failing: bool = False) -> dict[str, Found | Outcome]:
        """Evaluate one by one, until what the others would say is known.

        :param failing: that each of them fails is known, and only why is not
        """
        systems: dict[str, Found | Outcome] = {}
        last = ""
        while left := _without(requests, systems):
            host, request = next(iter(left.items()))
            ended = self._nix(evaluation({host: request}, self.goal, alone=True))
            found = parse_evaluation(ended.stdout, self.goal)[host] if not ended.exit_code else None
            if found is not None:
                systems[host] = found
                continue
            said = error_place(ended.stderr)
            if failing and said and said == last:
                return systems | self._presumed(ended, left)
            last = said
            failed = self._failures(ended, host, left)
            systems |= failed
        return systems

    def _failures(self, ended: JobResult, culprit: str, requests: Requests) -> dict[str, Outcome]:
        """Return the failures of a host and of those that are sure to fail as it does."""
        return {
            host: self._failure(ended, it)
            for host, it in requests.items()
            if host == culprit or fails_too(ended.stderr, requests[culprit], it)
        }

    def _presumed(self, ended: JobResult, requests: Requests) -> dict[str, Outcome]:
        """Return the failures of a host and of those that fail as well, why ever."""
        failures = {host: self._failure(ended, it) for host, it in requests.items()}
        for host in list(failures)[1:]:
            failures[host]["msg"] += _PRESUMED
        return failures

    def _failure(self, ended: JobResult, request: Request) -> Outcome:
        """Say why a system was not evaluated.

        :raises _SearchPathUsedError: it may be evaluated with ``NIX_PATH``, and was not
        """
        ended = dataclasses.replace(ended, stderr=without_trace(ended.stderr))
        use = search_path_use(ended.stderr)
        if use and request.search_path and not self.search_path:
            raise _SearchPathUsedError(
                f"{self.by.shown(use['position'])} looks <{use['name']}> up in NIX_PATH, so what "
                "is built depends on who builds it. Pin nixpkgs and import the pin there instead."
            )
        message = self.by.shown(explain_evaluation(ended.stderr, request))
        return failure(message, dataclasses.replace(ended, stderr=self.by.shown(ended.stderr)))

    def _nix(self, expression: str) -> JobResult:
        return self.by.nix("evaluate", self.search_path, expression, "--show-trace")

    def _warn(self, ended: JobResult) -> None:
        for warning in warnings_in(ended.stderr):
            self.by.progress.warn(self.by.shown(warning))


def failure(message: str, ended: JobResult | None = None, **details: t.Any) -> Outcome:
    """Return the outcome of a host that failed."""
    said = {"rc": ended.exit_code, "stderr": ended.stderr} if ended else {}
    return {"failed": True, "msg": message, **said, **details}


def _without(requests: Requests, done: Mapping[str, object]) -> dict[str, Request]:
    return {host: it for host, it in requests.items() if host not in done}


def _no_jobs(name: str, ended: JobResult) -> ClosureError:
    return ClosureError(
        f"{name} has no nix-eval-jobs on its PATH, and eval_workers asks for it. Install it there, "
        "or leave eval_workers out: Nix itself evaluates then.",
        rc=ended.exit_code,
        stderr=ended.stderr,
    )

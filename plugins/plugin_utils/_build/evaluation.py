# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating Nix code on a build host, for many hosts together."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.module_utils._build.build_options import (
    SYSTEM,
    EvaluationOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import (
    Answer,
    Answers,
    Share,
    Unit,
    data_of,
    parse_answers,
    parse_jobs,
    shares_of,
    warnings_of,
    workers_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import (
    explain_evaluation,
    search_path_use,
    shortened,
    unmatched_inputs,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.nix_files import nix_files
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

Outcome = dict[str, t.Any]
Requests = Mapping[str, Request]
Hear = Callable[[bytes, bytes], None]

_NOT_FOUND = 127
# The verbosity at which results are shown whole (-vvv). A trace has thousands of lines.
_ALL = 3


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Evaluates on one host.

    :param directory: what relative paths in expressions start from, where the host has it
    :param origin: where a directory there is from, in whose place messages name that
    """

    host: Host
    progress: Progress
    options: EvaluationOptions
    directory: str = "/"
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def evaluate(self, requests: Requests, goal: str, units: Sequence[Unit]) -> Answers:
        """Answer all units, each for itself: one that fails costs no other its answer.

        :param goal: what is asked of each system, a Nix file of that name
        """
        requests, answers = self._lock(requests, units)
        units = [unit for unit in units if unit not in answers]
        if units:
            answers |= self._answers(requests, goal, units, search_path=False)
        again = [unit for unit in units if self._looks_up(requests[unit.host], answers[unit])]
        if again:
            hosts = {unit.host for unit in again}
            own = {host: it for host, it in requests.items() if host in hosts}
            answers |= self._answers(own, goal, again, search_path=True)
        for warning in warnings_of(answers):
            self.progress.warn(self.shown(warning))
        return answers

    def failure(self, answer: Answer, request: Request) -> Outcome:
        """Return the outcome of a host whose system does not evaluate."""
        return failure(
            self.explain(answer, request), rc=answer.status, trace=self.trace(answer.stderr)
        )

    def explain(self, answer: Answer, request: Request) -> str:
        """Say why a unit was not evaluated."""
        return self.shown(explain_evaluation(answer.stderr, request, answer.search_path))

    def trace(self, stderr: str) -> str:
        """Return what Nix said, for the result: all of it for who wants to see all."""
        text = self.shown(stderr)
        return text if Display().verbosity >= _ALL else shortened(text)

    def run(self, what: str, *words: str, hear: Hear = lambda out, err: None) -> JobResult:
        """Run a function of ``build.sh`` with our settings, as a job that ends with us."""
        options = self.options
        command = script("configured", options.settings, *words)
        return run_leased(self.host, what, command, options.timeout, hear, options.lease)

    def shown(self, text: str) -> str:
        """Return a message with the paths that people know."""
        for there, here in self.origin.items():
            text = text.replace(there, here)
        return text

    def _lock(self, requests: Requests, units: Sequence[Unit]) -> tuple[Requests, Answers]:
        """Lock flakes with their other inputs; return the requests for those, and what failed."""
        flakes = {host: json.dumps(it.flake) for host, it in requests.items() if it.overrides}
        distinct = enumerate(dict.fromkeys(flakes.values()))
        made = {flake: self._locked(flake, number) for number, flake in distinct}
        own = {
            host: dataclasses.replace(requests[host], source=it)
            for host, flake in flakes.items()
            if not isinstance(it := made[flake], Answer)
        }
        failed = {host: made[flake] for host, flake in flakes.items() if host not in own}
        answers = {unit: failed[unit.host] for unit in units if unit.host in failed}
        return {**requests, **own}, t.cast(Answers, answers)

    def _locked(self, flake: str, number: int) -> dict[str, t.Any] | Answer:
        """Lock a flake; return it as a source, or what Nix said."""
        own = json.loads(flake)
        words = [word for pair in own["overrides"].items() for word in pair]
        ended = self.run("lock", "flake_lock", nix_files(flake), f".flake-{number}", *words)
        if unknown := unmatched_inputs(ended.stderr):
            said = f"error: it has no input {', '.join(unknown)}, which override_inputs names"
            return Answer(None, said, 1)
        if ended.exit_code != 0:
            return Answer(None, ended.stderr or ended.how, ended.exit_code)
        return {"flake": own | {"locked": ended.stdout.strip()}}

    def _looks_up(self, request: Request, answer: Answer) -> bool:
        """Whether a unit failed for want of ``NIX_PATH``, which it may look at; and warn of that."""
        use = search_path_use(answer.stderr) if answer.found is None else None
        if use is None or not request.search_path:
            return False
        name, position = use
        self.progress.warn(
            f"{self.shown(position)} looks <{name}> up in NIX_PATH, so what is built depends on "
            "who builds it. Pin nixpkgs and import the pin there instead."
        )
        return True

    def _answers(
        self, requests: Requests, goal: str, units: Sequence[Unit], search_path: bool
    ) -> Answers:
        answers: Answers = {}
        if self.options.program == "nix-eval-jobs" and goal == SYSTEM:
            answers = self._by_jobs(requests, units, search_path)
        left = [unit for unit in units if unit not in answers]
        if left:
            answers |= self._by_nix(requests, goal, left, search_path)
        return {
            unit: dataclasses.replace(it, search_path=search_path) for unit, it in answers.items()
        }

    def _by_nix(
        self, requests: Requests, goal: str, units: Sequence[Unit], search_path: bool
    ) -> Answers:
        workers, memory = self._workers(len({unit.host for unit in units}))
        shares = shares_of(requests, units, workers)
        sizes = {f"size.{n}": str(len(share.units)) for n, share in enumerate(shares)}
        ended = self._nix(
            search_path,
            *("evaluate", nix_files(data_of(requests, shares), sizes)),
            *(goal, str(workers), str(memory)),
            *(share.expression for share in shares),
            total=len(units),
        )
        if ended.exit_code != 0:
            raise ClosureError(
                f"{self.host.name} does not evaluate: {ended.stderr.strip() or ended.how}",
                rc=ended.exit_code,
            )
        return parse_answers(ended.stdout, shares)

    def _workers(self, hosts: int) -> tuple[int, int]:
        """Return how many processes evaluate, and the bytes for each; who has one host need not ask."""
        options = self.options
        if hosts == 1:
            return 1, 0
        machine = "1 0"
        if options.workers == "auto":
            reply = self.host.run(script("machine"))
            require_success(self.host, reply, "does not say what memory it has")
            machine = reply.text
        return workers_of(options.workers, machine, hosts, options.memory)

    def _by_jobs(self, requests: Requests, units: Sequence[Unit], search_path: bool) -> Answers:
        """Have nix-eval-jobs evaluate, and return the answers that it gives."""
        answers: Answers = {}
        for share in shares_of(requests, units, 1):
            own = {unit.host: requests[unit.host] for unit in share.units}
            ended = self._nix(
                search_path,
                *("evaluate_jobs", nix_files(data_of(own, [share]))),
                *(self._job_options(), share.expression),
                total=len(units),
            )
            if ended.exit_code == _NOT_FOUND:
                raise _no_jobs(self.host.name, ended)
            answers |= self._job_answers(share, ended)
        return answers

    def _job_answers(self, share: Share, ended: JobResult) -> Answers:
        found, errors = parse_jobs(ended.stdout)
        answers = {unit: Answer(found[unit.host], "") for unit in share.units if unit.host in found}
        answers |= {
            unit: Answer(None, errors[unit.host], 1) for unit in share.units if unit.host in errors
        }
        self._warn_of([unit.host for unit in share.units if unit not in answers], ended)
        return answers

    def _job_options(self) -> str:
        workers = 1 if self.options.workers == "auto" else int(self.options.workers)
        memory = max(1, self.options.memory // workers // 1024**2) if self.options.memory else 0
        return f"--workers {workers}" + (f" --max-memory-size {memory}" if memory else "")

    def _warn_of(self, left: list[str], ended: JobResult) -> None:
        """Say why Nix itself evaluates some hosts: a worker may have been killed, or be too old."""
        last = (ended.stderr.strip().splitlines() or ["without a word"])[-1]
        if left:
            self.progress.warn(
                f"nix-eval-jobs on {self.host.name} says nothing of {', '.join(left)}, so Nix "
                f"itself evaluates there. It ended: {last}"
            )

    def _nix(self, search_path: bool, *words: str, total: int) -> JobResult:
        def hear(_out: bytes, err: bytes) -> None:
            done = (err.decode(errors="replace").split() or [""])[-1]
            self.progress.say(f"evaluating {done}/{total}" if done.isdigit() else "evaluating")

        where = ("looking_up", self.directory, str(search_path).lower())
        return self.run("evaluate", *where, *words, hear=hear)


def failure(message: str, **details: t.Any) -> Outcome:
    """Return the outcome of a host that failed."""
    return {"failed": True, "msg": message, **details}


def _no_jobs(name: str, ended: JobResult) -> ClosureError:
    return ClosureError(
        f"{name} has no nix-eval-jobs on its PATH, and evaluator asks for it. Install it there, "
        "or leave evaluator out: Nix itself evaluates then.",
        rc=ended.exit_code,
        stderr=ended.stderr,
    )

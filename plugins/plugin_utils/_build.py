# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating and building systems on a build host."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._nix import (
    Evaluated,
    Request,
    evaluation,
    explain_build,
    explain_evaluation,
    parse_evaluation,
    warnings_in,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script

Outcome = dict[str, t.Any]

_SOURCES = ("store", "build")


@dataclasses.dataclass
class Builder:
    """Builds systems on one host.

    :param roots: directory of the garbage collector roots there, empty for the default
    :param lease: seconds that a build goes on when nobody asks after it
    :param timeout: seconds for an evaluation, and for a build
    """

    host: Host
    progress: Progress
    roots: str = ""
    lease: int = 30
    timeout: float = 86400

    def evaluate(self, requests: Mapping[str, Request]) -> dict[str, Evaluated | Outcome]:
        """Evaluate all requests at once; where one fails, that host has its failure as result."""
        systems: dict[str, Evaluated | Outcome] = {}
        together = self._evaluate(evaluation(requests))
        if together.exit_code == 0:
            found = parse_evaluation(together.stdout)
            systems = {host: system for host, system in found.items() if system}
        for host in requests.keys() - systems.keys():
            systems[host] = self._evaluate_alone(host, requests[host])
        for warning in warnings_in(together.stderr):
            self.progress.warn(warning)
        return systems

    def build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Build all systems together; where one fails, that host has its failure as result."""
        words = [word for host, it in systems.items() for word in (host, it.drv, it.out)]
        ended = self._run("build", script("build", self.roots, *words, sources=_SOURCES))
        lines = [line.split(" ") for line in ended.stdout.splitlines()]
        before = {host for host, when, *_ in lines if when == "before"}
        after = {host: more for host, when, *more in lines if when == "after"}
        return {
            host: _built(system, host not in before, *after[host])
            if host in after
            else _failure(explain_build(ended.stderr, system.drv), ended, drv_path=system.drv)
            for host, system in systems.items()
        }

    def dry_build(self, systems: Mapping[str, Evaluated]) -> dict[str, Outcome]:
        """Say which systems would be built, and build none."""
        paths = [system.out for system in systems.values()]
        invalid = self.host.read(script("missing", *paths, sources=_SOURCES)).text.split()
        return {
            host: _system(system, changed=system.out in invalid) for host, system in systems.items()
        }

    def _evaluate_alone(self, host: str, request: Request) -> Evaluated | Outcome:
        ended = self._evaluate(evaluation({host: request}, alone=True))
        if ended.exit_code == 0 and (system := parse_evaluation(ended.stdout)[host]):
            return system
        return _failure(explain_evaluation(ended.stderr, request), ended)

    def _evaluate(self, expression: str) -> Ended:
        return self._run("evaluate", script("evaluate", expression, sources=_SOURCES))

    def _run(self, name: str, command: str) -> Ended:
        return run_leased(self.host, name, command, self.timeout, self._hear, self.lease)

    def _hear(self, _out: bytes, err: bytes) -> None:
        lines = err.decode(errors="replace").splitlines()
        if lines:
            self.progress.say(lines[-1])


def _system(
    system: Evaluated, changed: bool, platform: str | None = None, version: str | None = None
) -> Outcome:
    return {
        "drv_path": system.drv,
        "path": system.out,
        "changed": changed,
        "platform": platform,
        "nixos_version": version,
    }


def _built(system: Evaluated, changed: bool, platform: str, version: str) -> Outcome:
    if not version:
        return _failure(
            f"{system.out} is not a NixOS system: it has no file nixos-version. Name the "
            "attribute of a system, such as web1.system.",
            drv_path=system.drv,
        )
    return _system(system, changed, platform, version)


def _failure(message: str, ended: Ended | None = None, **details: t.Any) -> Outcome:
    said = {"rc": ended.exit_code, "stderr": ended.stderr} if ended else {}
    return {"failed": True, "msg": message, **said, **details}

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_build_system): evaluates and builds systems."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import typing as t

from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._inputs import nix_config, request_of
from ansible_collections.closure.nixos.plugins.module_utils._nix import Evaluated, Request
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD_SYSTEM
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._build import Builder
from ansible_collections.closure.nixos.plugins.plugin_utils._connections import variables_of

Outcomes = dict[str, dict[str, t.Any]]
Requests = dict[str, Request | str]


class ActionModule(ClosureAction):
    """Build for all hosts that are named, once in a run, and return what is this host's."""

    spec = NIX_BUILD_SYSTEM

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return this host's system, or those of `systems`.

        The first task of a run that gets the lock builds for all; the others find its result, a
        failure as well. The key is what was asked, so every host computes the same.
        """
        requests = self._named(args) if args["systems"] else self._for_hosts(args)
        builder = self._builder(args)
        dry = self.check and not args["check_build"]
        with self.task_run.locked(f"build-{_key(builder, requests, dry)}") as kept:
            if not kept.exists():
                kept.write_text(json.dumps(_build(builder, requests, dry)), encoding="utf-8")
            outcomes: Outcomes = json.loads(kept.read_text(encoding="utf-8"))
        return _together(outcomes) if args["systems"] else outcomes[self._name]

    @property
    def _name(self) -> str:
        return str(self.task_vars["inventory_hostname"])

    def _builder(self, args: dict[str, t.Any]) -> Builder:
        return Builder(
            self.builder(args["build_host"]),
            self.progress(),
            self._loader.get_basedir(),
            nix_config(args),
            args["roots"] or "",
            args["build_lease"],
            args["timeout"],
            args["eval_memory_mb"] * 1000**2,
        )

    def _for_hosts(self, args: dict[str, t.Any]) -> Requests:
        hosts = [host for host in args["hosts"] or [] if host != self._name]
        own = request_of(args, self._name, self._loader.path_dwim)
        return {self._name: own} | {host: self._request_of(host) for host in hosts}

    def _named(self, args: dict[str, t.Any]) -> Requests:
        """Return the requests of `systems`: what the task says, and each of them for itself."""
        common = {key: value for key, value in args.items() if key != "systems" and value}
        return {
            name: request_of(self.validated(common | own), name, self._loader.path_dwim)
            for name, own in args["systems"].items()
        }

    def _request_of(self, host: str) -> Request | str:
        """Return what this task would ask on another host, or why that cannot be told."""
        templar = Templar(loader=self._loader, variables=variables_of(self, self.task_vars, host))
        try:
            args = self._task.args | templar.template(self._written_args())
            return request_of(self.validated(args), host, self._loader.path_dwim)
        except Exception as error:  # whatever a host's variables hold: it is that host's failure
            return f"{host}: {error}"

    def _written_args(self) -> dict[str, t.Any]:
        """Return the task's arguments as they were written, not templated for its own host."""
        written = self._task.get_ds()
        names = {self._task.action, self._task.resolved_action, "nix_build_system"}
        blocks = [written[key] for key in ("args", *names) if written.get(key)]
        return {option: value for block in blocks for option, value in block.items()}


def _build(builder: Builder, requests: Requests, dry: bool) -> Outcomes:
    """Evaluate and build; a host that cannot be, has its failure as outcome."""
    asked = {host: it for host, it in requests.items() if isinstance(it, Request)}
    unasked = {host: it for host, it in requests.items() if isinstance(it, str)}
    outcomes: Outcomes = {host: {"failed": True, "msg": it} for host, it in unasked.items()}
    start = time.monotonic()
    evaluated = builder.evaluate(asked)
    seconds = round(time.monotonic() - start, 3)
    systems = {host: it for host, it in evaluated.items() if isinstance(it, Evaluated)}
    outcomes |= {host: it for host, it in evaluated.items() if isinstance(it, dict)}
    if systems:
        outcomes |= (builder.dry_build if dry else builder.build)(systems)
    return {host: it | {"seconds_evaluation": seconds} for host, it in outcomes.items()}


def _key(builder: Builder, requests: Requests, dry: bool) -> str:
    asked = {
        host: it if isinstance(it, str) else dataclasses.asdict(it) for host, it in requests.items()
    }
    how = [builder.host.name, builder.roots, builder.settings, dry]
    text = json.dumps([*how, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _together(outcomes: Outcomes) -> dict[str, t.Any]:
    """Return one result for many systems; it fails when one does, and has the others in it."""
    failures = [f"{name}: {it['msg']}" for name, it in outcomes.items() if it.get("failed")]
    changed = any(it.get("changed") for it in outcomes.values())
    result: dict[str, t.Any] = {"systems": outcomes, "changed": changed}
    return result | ({"failed": True, "msg": "\n".join(failures)} if failures else {})

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_build_system): evaluates and builds systems."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ansible.template import Templar
from ansible_collections.closure.nixos.plugins.module_utils._nix import (
    Evaluated,
    Request,
    parse_attr,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD_SYSTEM
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._build import Builder
from ansible_collections.closure.nixos.plugins.plugin_utils._connections import variables_of

Outcomes = dict[str, dict[str, t.Any]]


class ActionModule(ClosureAction):
    """Build for all hosts that are named, once in a run, and return what is this host's."""

    spec = NIX_BUILD_SYSTEM

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return this host's system.

        The first task of a run that gets the lock builds for all; the others find its result, a
        failure as well. The key is what was asked, so every host computes the same.
        """
        name = self.task_vars["inventory_hostname"]
        hosts = [host for host in args["hosts"] or [] if host != name]
        requests = {name: self._request(args)} | {host: self._request_of(host) for host in hosts}
        builder = self._builder(args)
        with self.task_run.locked(f"build-{self._key(builder, requests)}") as kept:
            if not kept.exists():
                kept.write_text(json.dumps(self._build(builder, requests)), encoding="utf-8")
            outcomes: Outcomes = json.loads(kept.read_text(encoding="utf-8"))
        return outcomes[name]

    def _build(self, builder: Builder, requests: dict[str, Request | str]) -> Outcomes:
        """Evaluate and build; a host that cannot be, has its failure as outcome."""
        asked = {host: it for host, it in requests.items() if isinstance(it, Request)}
        unasked = {host: it for host, it in requests.items() if isinstance(it, str)}
        outcomes: Outcomes = {host: {"failed": True, "msg": it} for host, it in unasked.items()}
        evaluated = builder.evaluate(asked)
        systems = {host: it for host, it in evaluated.items() if isinstance(it, Evaluated)}
        outcomes |= {host: it for host, it in evaluated.items() if isinstance(it, dict)}
        if systems:
            outcomes |= (builder.dry_build if self.check else builder.build)(systems)
        return outcomes

    def _builder(self, args: dict[str, t.Any]) -> Builder:
        return Builder(
            self.builder(args["build_host"]),
            self.progress(),
            args["roots"] or "",
            args["build_lease"],
            args["timeout"],
        )

    def _request(self, args: dict[str, t.Any]) -> Request:
        file = self._loader.path_dwim(args["file"])
        return Request(file, tuple(parse_attr(attr) for attr in args["attr"]) or ((),))

    def _request_of(self, host: str) -> Request | str:
        """Return what this task would ask on another host, or why that cannot be told."""
        templar = Templar(loader=self._loader, variables=variables_of(self, self.task_vars, host))
        try:
            args = self._task.args | templar.template(self._written_args())
            return self._request(self.validated(args))
        except Exception as error:  # whatever a host's variables hold: it is that host's failure
            return f"{host}: {error}"

    def _written_args(self) -> dict[str, t.Any]:
        """Return the task's arguments as they were written, not templated for its own host."""
        written = self._task.get_ds()
        names = {self._task.action, self._task.resolved_action, "nix_build_system"}
        blocks = [written[key] for key in ("args", *names) if written.get(key)]
        return {option: value for block in blocks for option, value in block.items()}

    def _key(self, builder: Builder, requests: dict[str, Request | str]) -> str:
        asked = {
            host: it if isinstance(it, str) else dataclasses.astuple(it)
            for host, it in requests.items()
        }
        text = json.dumps([builder.host.name, builder.roots, self.check, asked], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_build_system): evaluates and builds systems."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._build.inputs import nix_config
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    SYSTEM,
    Evaluated,
    Request,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_BUILD_SYSTEM
from ansible_collections.closure.nixos.plugins.plugin_utils._build.builder import Builder
from ansible_collections.closure.nixos.plugins.plugin_utils._build.requests import (
    Outcomes,
    RequestsAction,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


class ActionModule(RequestsAction):
    """Evaluate all systems together, and build them together."""

    spec = NIX_BUILD_SYSTEM

    def answer(
        self, builder: Builder, args: dict[str, t.Any], requests: dict[str, Request]
    ) -> Outcomes:
        """Return what was built, or in check mode would be, for each host."""
        start = time.monotonic()
        found = builder.evaluate(requests, SYSTEM)
        seconds = round(time.monotonic() - start, 3)
        systems = {host: it for host, it in found.items() if isinstance(it, Evaluated)}
        outcomes: Outcomes = {host: it for host, it in found.items() if isinstance(it, dict)}
        if systems:
            dry = self.check and not args["check_build"]
            outcomes |= (builder.dry_build if dry else builder.build)(systems)
        return {host: it | {"seconds_evaluation": seconds} for host, it in outcomes.items()}

    def evaluator(self, args: dict[str, t.Any]) -> Builder:
        """Return what evaluates and builds."""
        host = self.build_host(args["build_host"])
        return Builder(
            host,
            self.progress(),
            settings=nix_config(args),
            roots=self._roots(host, args["roots"] or ""),
            lease=args["build_lease"],
            timeout=args["timeout"],
            memory=args["eval_memory_mb"] * 1000**2,
            workers=args["eval_workers"],
        )

    def _roots(self, host: Host, path: str) -> str:
        if path and host.is_here:
            return str(self._loader.path_dwim(path))
        if not path or path.startswith(("/", "~/")):
            return path
        raise ClosureError(
            f"roots has to be a whole path on {host.name} or begin with ~/, and is {path}."
        )

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_copy_closure): brings a closure to the task's host."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE
from ansible_collections.closure.nixos.plugins.module_utils._store import (
    check_store_path,
    closure_diff,
    format_bytes,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._copy import (
    Copy,
    closure_of,
    has_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._roads import Roads

_UNKNOWN: dict[str, t.Any] = {
    "missing_paths": None,
    "missing_bytes": None,
    "closure_paths": None,
    "closure_bytes": None,
    "transport": None,
    "reason": None,
    "seconds": 0,
}


class ActionModule(ClosureAction):
    """Ask the target what it lacks, and bring it that from the build host."""

    spec = NIX_COPY_CLOSURE

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Copy what is missing."""
        start = time.monotonic()
        path = check_store_path(args["path"])
        source = self.builder(args["build_host"])
        copy = Copy(source, self.target(), path, self.progress())
        if self.check and not has_path(source, path):
            message = f"{path} is not built yet, so its missing paths are not known."
            return {**_UNKNOWN, "path": path, "changed": True, "msg": message}
        closure = closure_of(source, path)
        roads = Roads(copy, closure, self._connection, args)
        answer = roads.ask(root=not self.check)
        road = None
        if answer.missing and self.check:
            road = roads.choose(answer, signing=bool(args["sign_key_file"]))
        elif answer.missing:
            road = roads.bring(answer)
        size = format_bytes(sum(answer.missing.values()))
        return {
            "changed": bool(answer.missing),
            "path": path,
            "missing_paths": sorted(answer.missing),
            "missing_bytes": sum(answer.missing.values()),
            "closure_paths": len(closure),
            "closure_bytes": sum(closure.values()),
            "transport": road and road.transport,
            "reason": road and road.reason,
            "seconds": round(time.monotonic() - start, 3),
            "diff": {"prepared": self._difference(copy.target, closure) if road else ""},
            "msg": f"{len(answer.missing)} of {len(closure)} paths, {size}"
            + (f", by {road.transport}: {road.reason}" if road else ""),
        }

    def _difference(self, target: Host, closure: dict[str, int]) -> str:
        """Show what the closure would change; in a real run nixos_switch does, from the target."""
        if not (self.diff and self.check):
            return ""
        running = "/run/current-system"
        return render_diff(closure_diff(closure_of(target, running), closure))

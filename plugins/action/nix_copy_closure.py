# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_copy_closure): brings a closure to the task's host."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._nix import explain_copy
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COPY_CLOSURE
from ansible_collections.closure.nixos.plugins.module_utils._ssh_config import alias, ssh_config
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
from ansible_collections.closure.nixos.plugins.plugin_utils._ssh import remote_program, ssh_options

_UNKNOWN: dict[str, t.Any] = {
    "missing_paths": None,
    "missing_bytes": None,
    "closure_paths": None,
    "closure_bytes": None,
    "seconds": 0,
}


class ActionModule(ClosureAction):
    """Ask the target what it lacks, and copy that from the build host."""

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
        missing = copy.missing(closure, root=not self.check)
        if missing and not self.check:
            self._copy(copy, len(missing), args)
        return {
            "changed": bool(missing),
            "path": path,
            "missing_paths": sorted(missing),
            "missing_bytes": sum(missing.values()),
            "closure_paths": len(closure),
            "closure_bytes": sum(closure.values()),
            "seconds": round(time.monotonic() - start, 3),
            "diff": {"prepared": self._difference(copy.target, closure) if missing else ""},
            "msg": f"{len(missing)} of {len(closure)} paths, {format_bytes(sum(missing.values()))}",
        }

    def _difference(self, target: Host, closure: dict[str, int]) -> str:
        """Show what the closure would change; in a real run nixos_switch does, from the target."""
        if not (self.diff and self.check):
            return ""
        running = "/run/current-system"
        return render_diff(closure_diff(closure_of(target, running), closure))

    def _copy(self, copy: Copy, expected: int, args: dict[str, t.Any]) -> None:
        name = copy.target.name
        options = ssh_options(self._connection, name)
        url = f"ssh://{alias(options)}{remote_program(self._connection, name)}"
        flags = ["--substitute-on-destination"] if args["substitute_on_destination"] else []
        ended = copy.run(url, ssh_config(options), flags, expected, args["timeout"])
        if ended.exit_code != 0:
            raise ClosureError(
                explain_copy(ended.stderr, copy.path, copy.source.name, name),
                rc=ended.exit_code,
                stderr=ended.stderr,
            )

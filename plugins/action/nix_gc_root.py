# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_gc_root): keeps a store path on a host."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_GC_ROOT
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import profile_diff
from ansible_collections.closure.nixos.plugins.module_utils._store.roots import (
    KEPT,
    check_root_name,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import (
    ClosureAction,
    Result,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._store.roots import hold, look_at_root


class ActionModule(ClosureAction):
    """Have a link on the host hold a store path, or remove it."""

    spec = NIX_GC_ROOT

    def act(self, args: dict[str, t.Any]) -> Result:
        """Return what the link held, and what it holds."""
        name, present = check_root_name(args["name"]), args["state"] == "present"
        path = check_store_path(args["path"]) if present else ""
        host = self.target()
        look = look_at_root(host, name, path)
        changed = look.holds != path
        # Check mode copies nothing, so what is to be kept need not be there yet.
        if (changed or look.lacks) and not self.check:
            hold(host, look, name, path)
        link = f"{KEPT}/{name}"
        return {
            "changed": changed,
            "link": link,
            "path": path or None,
            "path_before": look.holds or None,
            "there": present and not look.lacks,
            "diff": profile_diff(link, look.holds, path),
        }

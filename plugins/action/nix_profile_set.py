# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_profile_set): records a system in a profile."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._generations import (
    profile_diff,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_SET
from ansible_collections.closure.nixos.plugins.module_utils._store import check_store_path
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._system import (
    read_facts,
    require_room,
    require_root,
    require_system,
    set_profile,
)


class ActionModule(ClosureAction):
    """Point the profile at the path, and say what it pointed to before."""

    spec = NIX_PROFILE_SET

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Set the profile unless it holds the path."""
        path, profile = check_store_path(args["path"]), profile_path(args["profile"])
        host = self.target()
        facts = read_facts(host, profile, path)
        changed = facts.profile != path
        # Check mode copies nothing, so what is to be recorded need not be there yet.
        if facts.valid or not self.check:
            require_system(host, facts, path)
        after = facts
        if changed and not self.check:
            require_root(host, facts)
            require_room(host, facts)
            set_profile(host, profile, path)
            after = read_facts(host, profile)
        return _result(profile, path, facts, after) | {"changed": changed}


def _result(profile: str, path: str, before: Facts, after: Facts) -> dict[str, t.Any]:
    return {
        "profile": profile,
        "path": path,
        "generation_before": before.current and dataclasses.asdict(before.current),
        "generation": after.current and dataclasses.asdict(after.current),
        "diff": profile_diff(profile, before.profile, path),
    }

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_profile_set): records a system in a profile."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_PROFILE_SET
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    profile_diff,
    profile_path,
    surplus,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
    require_room,
    require_root,
    require_system,
    set_profile,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


class ActionModule(ClosureAction):
    """Point the profile at the path, and say what it pointed to before."""

    spec = NIX_PROFILE_SET

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Set the profile unless it holds the path, and delete what is too old."""
        host, profile = self.target(), profile_path(args["profile"])
        facts = read_facts(host, profile, _asked(profile, args))
        path = _path(host, profile, facts, args)
        spared = (facts.running, facts.booted, facts.loader_default, facts.loader_boots)
        old = surplus(facts.generations, args["keep"], path, spared)
        # Check mode copies nothing, so what is to be recorded need not be there yet.
        if facts.valid or not self.check:
            require_system(host, facts, path)
        after = facts.generations
        if (facts.profile != path or old) and not self.check:
            require_root(host, facts)
            require_room(host, facts, profile)
            after = set_profile(host, profile, path, args["generation"], old)
        return _result(profile, path, facts, after, old)


def _asked(profile: str, args: dict[str, t.Any]) -> str:
    """Return the path to look at: the one that is named, that of the generation, or the profile."""
    if args["keep"] is not None and args["keep"] < 1:
        raise ClosureError(f"keep: {args['keep']} would delete all generations. Keep at least 1.")
    if args["path"]:
        return check_store_path(args["path"])
    return profile if args["generation"] is None else f"{profile}-{args['generation']}-link"


def _path(host: Host, profile: str, facts: Facts, args: dict[str, t.Any]) -> str:
    if facts.path:
        return facts.path
    number = args["generation"]
    what = "has no generations" if number is None else f"has no generation {number}"
    raise ClosureError(f"{host.name}: {profile} {what}. {what_exists(facts.generations)}")


def _result(
    profile: str,
    path: str,
    before: Facts,
    after: tuple[Generation, ...],
    deleted: tuple[Generation, ...],
) -> dict[str, t.Any]:
    current = next((entry for entry in after if entry.current), None)
    diff = profile_diff(profile, before.profile, path)
    diff["before"] += "".join(f"generation {old.number}: {old.path}\n" for old in deleted)
    return {
        "changed": bool(before.profile != path or deleted),
        "profile": profile,
        "path": path,
        "generation_before": before.current and dataclasses.asdict(before.current),
        "generation": current and dataclasses.asdict(current),
        "generations_before": [dataclasses.asdict(entry) for entry in before.generations],
        "generations": [dataclasses.asdict(entry) for entry in after],
        "deleted": [entry.number for entry in deleted],
        "diff": diff,
    }

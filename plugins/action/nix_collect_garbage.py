# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nix_collect_garbage): what a host keeps."""

from __future__ import annotations

import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._retention.retention import (
    Freed,
    RetentionOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIX_COLLECT_GARBAGE
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import profile_path
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.menu import write_boot_menu
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import require_root
from ansible_collections.closure.nixos.plugins.plugin_utils._retention.retention import (
    Generations,
    Retention,
)


class ActionModule(ClosureAction):
    """Delete generations, their boot entries, and what nothing needs any more."""

    spec = NIX_COLLECT_GARBAGE

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return what went, or in check mode what would go."""
        options = RetentionOptions.of(**args)
        host, system = self.target(), profile_path()
        facts = read_facts(host, system)
        require_root(host, facts.login.user)
        retention = Retention(host, options, _needed(facts))
        there, go = retention.look()
        if self.check:
            return _result(there, go, retention.would_free(go), "would free", False)
        retention.delete(go)
        written = bool(go.get(system)) and write_boot_menu(
            host, facts, system, self.progress(), options.timeout
        )
        return _result(there, go, retention.collect(self.progress()), "freed", written)


def _needed(facts: Facts) -> set[str | None]:
    """Return what runs, boots, or is the way back of a trial."""
    guard = facts.guard
    return {
        *(facts.running, facts.booted, facts.profile),
        *(facts.loader.recorded, facts.loader.boots, facts.loader.pending),
        *(facts.boot.once, facts.boot.tried),
        *((guard.old, guard.to, guard.runs) if guard and guard.waits else ()),
    }


def _result(
    there: Generations, go: Generations, freed: Freed, verb: str, menu: bool
) -> dict[str, t.Any]:
    numbers = {it: [entry.number for entry in found] for it, found in go.items()}
    count = sum(map(len, numbers.values()))
    told = f"{count} generation{'s' * (count != 1)}, {freed.paths} store paths, "
    return {
        "changed": bool(count or freed.paths or freed.optimised_files),
        "deleted": numbers,
        "kept": {it: [e.number for e in found if e not in go[it]] for it, found in there.items()},
        "paths": freed.paths,
        "freed": freed.bytes,
        "optimised": freed.optimised_bytes,
        "boot_menu_written": menu,
        "diff": [_difference(it, there[it], go[it]) for it in there],
        "msg": f"{verb} {told}{format_bytes(freed.bytes + freed.optimised_bytes)}",
    }


def _difference(profile: str, there: tuple[t.Any, ...], go: tuple[t.Any, ...]) -> dict[str, str]:
    texts = [
        "".join(f"generation {entry.number}: {entry.path}\n" for entry in found)
        for found in (there, [entry for entry in there if entry not in go])
    ]
    headers = {"before_header": profile, "after_header": profile}
    return {**headers, "before": texts[0], "after": texts[1]}

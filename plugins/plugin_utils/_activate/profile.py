# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: recording a system in a profile."""

from __future__ import annotations

import dataclasses

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import ProfileOptions
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import Result
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    profile_diff,
    profile_path,
    surplus,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.menu import write_boot_menu
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
    require_room,
    require_system,
    set_profile,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_root
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


def record(host: Host, options: ProfileOptions, progress: Progress, check: bool) -> Result:
    """Point a profile at a system unless it holds it, and delete the generations that are too old.

    :raises ClosureError: the host does not have the system or no room; nothing was changed
    """
    facts = read_facts(host, options.profile, options.asked)
    path = _path(host, options, facts)
    spared = (facts.running, facts.booted, facts.loader.recorded, facts.loader.boots)
    old = surplus(facts.generations, options.keep, path, spared)
    # Check mode copies nothing, so what is to be recorded need not be there yet.
    if facts.asked.valid or not check:
        require_system(host, facts)
    after = facts.generations
    if (facts.profile != path or old) and not check:
        require_root(host, facts.login.user)
        require_room(host, facts, options.profile)
        after = set_profile(host, options.profile, path, options.generation, old)
    # A system that is recorded now has its own entry written by the switch to it.
    written = bool(
        not check
        and old
        and (options.profile, path) == (profile_path(), facts.profile)
        and write_boot_menu(host, facts, options.profile, progress)
    )
    return _result(options.profile, path, facts, after, old) | {"boot_menu_written": written}


def _path(host: Host, options: ProfileOptions, facts: Facts) -> str:
    if facts.asked.path:
        return facts.asked.path
    number = options.generation
    what = "has no generations" if number is None else f"has no generation {number}"
    raise ClosureError(f"{host.name}: {options.profile} {what}. {what_exists(facts.generations)}")


def _result(
    profile: str,
    path: str,
    before: Facts,
    after: tuple[Generation, ...],
    deleted: tuple[Generation, ...],
) -> Result:
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

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task says of an activation, in keys and in words. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import Action
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    Report,
    outcome,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system

Result = dict[str, t.Any]

# What every result has, whatever was done.
_KEYS = ("plan", "report", "units", "exit_code", "outcome", "stdout", "stderr", "logs")


def untouched(before: Facts, now: Facts, steps: tuple[Step, ...] = ()) -> Result:
    """The keys that every result has, with what they say where nothing was done.

    :param before: what the host was before the activation that the result tells of
    :param steps: what is to be done
    """
    return {
        "changed": False,
        **dict.fromkeys(_KEYS),
        **standing_keys(now),
        "actions": [step.action.value for step in steps],
        "path": now.asked.path,
        "system_before": before.running,
        "system_after": now.running,
        "failed_units_before": list(before.units.failed),
        "newly_failed_units": [],
        "unit_logs": {},
    }


def standing_keys(facts: Facts) -> Result:
    """The keys that say where a host stands."""
    return {
        "generation": facts.current and dataclasses.asdict(facts.current),
        "failed_units": list(facts.units.failed),
        "reboot_required": bool(facts.reboot_reasons),
        "reboot_reasons": list(facts.reboot_reasons),
    }


def is_to_confirm(action: Action, switched: Result) -> bool:
    """Whether a task that has switched a host, or found nothing to do, has to confirm its system.

    What runs already may still have to become the boot default.
    """
    if action is Action.AUTO:
        runs = bool(switched["system_after"] == switched["path"])
        return switched["unconfirmed"] or (runs and "boot" not in switched["actions"])
    return switched["unconfirmed"] or action is Action.SWITCH


def with_confirmation(switched: Result, confirmed: Result) -> Result:
    """The result of a task that has switched a host on trial, and then come to confirm it.

    :param confirmed: what the confirmation says, with ``failed`` where there was none
    """
    ended = {"msg": confirmed["msg"], "rolled_back": confirmed.get("rolled_back", False)}
    if confirmed.get("failed"):
        unconfirmed = switched["unconfirmed"] and not ended["rolled_back"]
        return switched | ended | {"failed": True, "unconfirmed": unconfirmed}
    # In check mode nothing is on trial, and what would come first is said.
    if switched["changed"] and not switched["unconfirmed"]:
        ended = {}
    done = ["boot"] if confirmed["changed"] and confirmed["boots"] else []
    return switched | {
        **ended,
        "changed": switched["changed"] or confirmed["changed"],
        "unconfirmed": False,
        "actions": [*switched["actions"], *done],
        "generation": confirmed["generation"],
        "diff": [result["diff"] for result in (switched, confirmed) if result.get("diff")],
    }


def locked() -> Result:
    """Say that another switch shut out what was to be planned."""
    found = outcome(None, Report(lock_busy=True))
    return {"changed": False, "failed": True, "outcome": found.name, "msg": found.sentence}


def nothing_left(facts: Facts) -> str:
    """Say that the host is where it should be."""
    if facts.running == facts.live_path:
        return f"already runs {named(facts, facts.running)}"
    return f"already boots {booting(facts)}"


def done(step: Step, before: Facts, after: Facts) -> str:
    """Say what a step has brought a host to."""
    boots = step.action is Action.BOOT
    now = f"boots {booting(after)}" if boots else f"runs {named(after, step.path)}"
    was = _number(before, before.running) or before.running
    return f"now {now} (was {was})" + (", in maintenance mode" if after.in_maintenance else "")


def booting(facts: Facts) -> str:
    """Name the system that a reboot brings, and what needs the reboot."""
    reasons = f" (reboot for: {', '.join(facts.reboot_reasons)})" if facts.reboot_reasons else ""
    return named(facts, facts.asked.path) + reasons


def named(facts: Facts, path: str | None) -> str:
    """Name a system for people, by the generation that records it."""
    return name_system(path, _number(facts, path))


def _number(facts: Facts, path: str | None) -> int | None:
    """Return the current generation if it records the path, else the newest that does."""
    newest_last = sorted(facts.generations, key=lambda entry: (entry.current, entry.number))
    numbers = [entry.number for entry in newest_last if entry.path == path]
    return numbers[-1] if numbers else None

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what a host keeps of each of its deployments."""

from __future__ import annotations

import time

from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    Outcome,
    Vars,
    generations_of,
    outcome_of,
    report_of,
    system_of,
)

_KINDS = ("started", "stopped", "restarted", "reloaded")
# Results of tasks that change what a host runs or boots.
_ACTS = ("switch", "done", "boot", "reboot", "profiles_done")


def has_acted(variables: Vars) -> bool:
    """Whether a deployment has begun to change what the host runs or boots."""
    change = variables.get("__deploy_change") or {"skipped": True}
    results = (variables.get(f"__deploy_{name}") or {"skipped": True} for name in _ACTS)
    return not change.get("skipped") and not all(it.get("skipped") for it in results)


def record_of(host: str, variables: Vars, who: Vars, now: float, cause: str) -> Vars:
    """Return the record of a host's deployment, for JSON.

    :param who: the user, the controller and the run
    :param now: seconds since the epoch
    :param cause: why it was not deployed, if nothing was kept of that
    """
    taken = variables["__deploy_taken"]
    facts = variables["__deploy_host"]["ansible_facts"]["nixos"]
    outcome = outcome_of(host, variables, check=False, now=now, cause=cause)
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken["started"])),
        "seconds": outcome.seconds,
        **who,
        **taken["origin"],
        "build_host": taken["options"]["build_host"],
        "action": taken["options"]["action"],
        "from": facts["running"],
        "to": system_of(variables),
        "generations": list(generations_of(variables)),
        "units": _units(variables),
        **_end(outcome),
    }


def _units(variables: Vars) -> dict[str, list[str]]:
    report = report_of(variables)
    return {kind: list(report[kind]) for kind in _KINDS if report.get(kind)}


def _end(outcome: Outcome) -> dict[str, str]:
    return {"result": outcome.status, "what": outcome.what, "why": outcome.why}

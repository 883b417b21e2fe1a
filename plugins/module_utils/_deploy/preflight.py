# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: whether a host may be deployed, by what it says of itself."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import Options
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    Vars,
    has_failed,
    was_deployed,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import name_system

_UPDATERS = {
    "nixos-upgrade.timer": "system.autoUpgrade switches it to another system at its own time",
    "comin.service": "comin switches it to another system when its repository changes",
    "nix-gc.timer": "nix.gc deletes generations to which it could roll back",
}


@dataclasses.dataclass(frozen=True)
class Preflight:
    """What there is to say of a host before it is deployed.

    :param skip: why it is left out, if it is
    :param notes: what is good to know, :param warnings: what works against us
    """

    skip: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def preflight(host: str, facts: Vars, options: Options) -> Preflight:
    """Judge a host.

    :param facts: what ``nixos_facts`` returned for it
    :raises ClosureError: it must not be deployed
    """
    if not facts["is_nixos"]:
        return _foreign(host, options)
    if options["unknown_profile"] == "refuse" and _is_unknown(facts):
        raise ClosureError(
            f"{host}: its profile holds {name_system(facts['profile'])}, which was not deployed "
            "from here. Find out who made it, and set deploy_unknown_profile: adopt to deploy all "
            "the same. The host was not changed."
        )
    first = f"{host} has no system profile yet, and gets its first one"
    notes = () if facts["profile"] else (first,)
    found = facts["updaters"] if options["updaters"] == "warn" else []
    warnings = [
        f"{host}: {_UPDATERS[it]} ({it}). Switch it off in its configuration, or set "
        "deploy_updaters: ignore."
        for it in found
    ]
    return Preflight(notes=notes, warnings=tuple(warnings))


def specialisation_of(facts: Vars, options: Options) -> str:
    """Return the specialisation that a host is to run, empty for the system itself."""
    word = options["specialisation"]
    if word == "keep" and options["action"] in ("switch", "test"):
        return facts["specialisation"] or ""
    return "" if word in ("keep", "none") else str(word)


def system_there(facts: Vars, options: Options) -> str:
    """Return the system that a host would not have to be brought to, empty if there is none.

    It is by what the host said of itself at the beginning. A task of somebody's own may have looked
    at the host since.
    """
    specialisation = specialisation_of(facts, options)
    system = facts["profile" if specialisation else "running"] or ""
    boots = options["action"] == "reboot" or options["reboot"] == "always"
    is_there = (
        not options["archive"]
        and not (specialisation and facts["specialisation"] != specialisation)
        and not facts["left_failed_units"]
        and (options["action"] == "test" or facts["boots"] == system)
        and not (options["reboot"] == "required" and facts["reboot_required"])
        and not (boots and facts["booted"] != system)
    )
    return system if is_there else ""


def _foreign(host: str, options: Options) -> Preflight:
    if options["skip_foreign"]:
        return Preflight(skip="it is not NixOS")
    raise ClosureError(
        f"{host} is not NixOS: it has no /etc/NIXOS. Take it out of the hosts of this play, or set "
        "deploy_skip_foreign: true to leave such hosts out. The host was not changed."
    )


def _is_unknown(facts: Vars) -> bool:
    """Whether the profile holds what our last deployment neither found nor brought."""
    deployment = facts["deployment"] or {}
    known = deployment.get("from"), deployment.get("to")
    return bool(facts["profile"]) and facts["profile"] not in known


def require_healthy(host: str, hosts: t.Mapping[str, Vars], options: Options) -> None:
    """Refuse to change a host when too few others are up; hosts that have not begun count as up.

    :param hosts: the variables of all hosts of the play
    :raises ClosureError: fewer are up than there have to be
    """
    batch = hosts[host]["__deploy_taken"]["batch"]
    down = [name for name, variables in hosts.items() if _is_down(variables, name in batch)]
    up = len(hosts) - len(down)
    if up >= options["min_healthy"]:
        return
    raise ClosureError(
        f"{host}: {up} of {len(hosts)} hosts are up, and deploy_min_healthy asks for "
        f"{options['min_healthy']}. Not up: {', '.join(down) or 'none'}. Repair them first, or "
        "ask for fewer. The host was not changed."
    )


def _is_down(variables: Vars, in_batch: bool) -> bool:
    looked = variables.get("__deploy_host") or {}
    if looked.get("unreachable") or has_failed(variables):
        return True
    facts = (looked.get("ansible_facts") or {}).get("nixos") or {}
    if facts.get("system_state") == "maintenance":
        return True
    # A host of an earlier batch that was lost on the way has said nothing of it.
    return not in_batch and "__deploy_taken" in variables and not was_deployed(variables)


def check_dirty(word: str, origin: Vars) -> str:
    """Return a warning about changes that nobody has committed, or nothing.

    :param word: allow, warn or refuse
    :raises ClosureError: there are some, or nobody knows, and that is refused
    """
    source = origin["source"]
    if word == "allow" or not source or origin["dirty"] is False:
        return ""
    if origin["dirty"] is None and word == "warn":
        return ""
    if origin["dirty"] is None:
        raise ClosureError(
            f"deploy_dirty: refuse needs a configuration in a Git tree of the controller, and Git "
            f"says nothing of {source}. No host was changed."
        )
    problem = f"the Git tree of {source} has changes that are not committed"
    if word == "refuse":
        raise ClosureError(
            f"{problem}. Commit them, or set deploy_dirty: allow. No host was changed."
        )
    return f"{problem}, so no commit says what is deployed."

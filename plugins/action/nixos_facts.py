# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_facts): what a NixOS host is."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_FACTS
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import STORE_DIR
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import Toplevel
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    all_facts,
    hardware_config,
    ssh_host_keys,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction


class ActionModule(ClosureAction):
    """Ask the host once and return its answer as facts."""

    spec = NIXOS_FACTS

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the facts; nothing changes."""
        history = args["history_directory"], args["history"]
        host = self.target()
        facts = all_facts(host, profile_path(args["profile"]), history)
        if facts.login.user != "root":
            self.progress().warn(
                f"Only root sees a system on trial, what became of the last deployment and all of "
                f"what boots, and the hosts were asked by {facts.login.user}. Set become: true."
            )
        found = _result(facts) | {
            "ssh_host_keys": ssh_host_keys(host) if args["ssh_host_keys"] else None,
            "hardware_config": hardware_config(host) if args["hardware_config"] else None,
        }
        return {"changed": False, "ansible_facts": {"nixos": found}}


def _result(facts: Facts) -> dict[str, t.Any]:
    links = {"running": "/run/current-system", "booted": "/run/booted-system"}
    systems = links | {"profile": facts.asked.path or ""}
    running = facts.toplevels["/run/current-system"]
    looked, boots = facts.looked, facts.loader.default
    return {
        "running": facts.running,
        "booted": facts.booted,
        "profile": facts.profile,
        "boots": boots if boots and boots.startswith(STORE_DIR) else None,
        "version": running.nixos_version if running else None,
        "configuration_revision": looked and looked.revisions.get("configurationRevision"),
        "nixpkgs_revision": looked and looked.revisions.get("nixpkgsRevision"),
        "is_nixos": bool(looked and looked.is_nixos),
        "updaters": list(looked.updaters) if looked else [],
        "platform": facts.platform,
        "systems": {name: _system(facts.toplevels.get(link)) for name, link in systems.items()},
        "generations": [_generation(facts, entry) for entry in facts.generations],
        "reboot_required": bool(facts.reboot_reasons),
        "reboot_reasons": list(facts.reboot_reasons),
        "failed_units": list(facts.units.failed),
        "left_failed_units": list(facts.units.left_failed),
        "specialisation": facts.specialisation,
        "system_state": facts.state,
        "switching": facts.switcher is not None,
        "switcher": facts.switcher,
        "trial": facts.guard and dataclasses.asdict(facts.guard),
        "deployment": facts.deployment,
        "history": list(looked.history) if looked else [],
        "kernel": looked and looked.kernel,
        "nix_version": looked and looked.nix,
        "nix_trusted": looked and looked.trusted,
        "nix_trusted_keys": list(looked.trusted_keys) if looked else [],
        "nix_free": looked and looked.nix_free,
        "boot_free": facts.room.boot,
        "user": facts.login.user,
    }


def _system(toplevel: Toplevel | None) -> dict[str, t.Any] | None:
    if toplevel is None:
        return None
    return {
        "path": toplevel.path,
        "version": toplevel.nixos_version,
        "platform": toplevel.system,
        "kernel": toplevel.kernel_version,
    }


def _generation(facts: Facts, entry: Generation) -> dict[str, t.Any]:
    return dataclasses.asdict(entry) | {"booted": entry.path == facts.booted}

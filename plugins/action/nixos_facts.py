# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_facts): what a NixOS host is."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._generations import profile_path
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_FACTS
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._system import read_facts


class ActionModule(ClosureAction):
    """Ask the host once and return its answer as facts."""

    spec = NIXOS_FACTS

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the facts; nothing changes."""
        facts = read_facts(self.target(), profile_path())
        running = facts.toplevels["/run/current-system"]
        return {
            "changed": False,
            "ansible_facts": {
                "nixos": {
                    "running": facts.running,
                    "booted": facts.booted,
                    "profile": facts.profile,
                    "boots": facts.profile if facts.boots(facts.profile or "") else None,
                    "version": running.nixos_version if running else None,
                    "platform": facts.platform,
                    "generations": [dataclasses.asdict(entry) for entry in facts.generations],
                    "reboot_required": bool(facts.reboot_reasons),
                    "reboot_reasons": list(facts.reboot_reasons),
                    "failed_units": list(facts.failed_units),
                    "switching": facts.switcher is not None,
                    "nix_version": facts.nix,
                    "user": facts.user,
                }
            },
        }

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_reboot): reboots a host and waits until it is back."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_REBOOT
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    name_system,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
    reboot,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host


class ActionModule(ClosureAction):
    """Reboot once, however often the connection fails, and say what came up."""

    spec = NIXOS_REBOOT

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Reboot, or in check mode say so."""
        start = time.monotonic()
        host = self.target()
        before = after = read_facts(host, profile_path())
        if not self.check:
            reboot(host, str(before.boot_id))
            after = self._back(host, before, start + args["timeout"])
        verb = "would reboot from" if self.check else "has booted"
        return {
            "changed": True,
            "booted_before": before.booted,
            "booted": after.booted,
            "seconds": round(time.monotonic() - start, 3),
            "msg": f"{verb} {name_system(after.booted)}",
        }

    def _back(self, host: Host, before: Facts, end: float) -> Facts:
        """Wait for another boot of the host; while it is down, each question fails at once."""
        host.retry_for = 0
        host.reconnect()
        while time.monotonic() < end:
            self.progress().say("waits for the host to come back")
            try:
                facts = read_facts(host, profile_path())
            except (AnsibleConnectionFailure, ClosureError):
                facts = before
            if facts.boot_id != before.boot_id:
                return facts
            time.sleep(2)
        raise ClosureError(
            f"{host.name} did not come back in time. Look at its console. Where it tried a system "
            "once, a reset boots the old one."
        )

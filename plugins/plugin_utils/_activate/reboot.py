# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: rebooting a host, and waiting until it is back."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import Result
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    name_system,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
    start_reboot,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


def reboot(host: Host, timeout: float, progress: Progress, check: bool) -> Result:
    """Reboot a host once, however often the connection fails, and say what came up.

    :raises ClosureError: it is not back in time
    """
    start = time.monotonic()
    before = after = read_facts(host, profile_path())
    if not check:
        start_reboot(host, str(before.boot.id))
        after = _back(host, before, start + timeout, progress)
    verb = "would reboot from" if check else "has booted"
    return {
        "changed": True,
        "booted_before": before.booted,
        "booted": after.booted,
        "seconds": round(time.monotonic() - start, 3),
        "msg": f"{verb} {name_system(after.booted)}",
    }


def _back(host: Host, before: Facts, end: float, progress: Progress) -> Facts:
    """Wait for another boot of the host; while it is down, each question fails at once."""
    host.retry_for = 0
    host.reconnect()
    said = "it says nothing"
    while time.monotonic() < end:
        progress.say("waits for the host to come back")
        try:
            facts = read_facts(host, profile_path())
        except (AnsibleConnectionFailure, ClosureError) as error:
            facts, said = before, str(error)
            if "HOST IDENTIFICATION HAS CHANGED" in said:
                raise ClosureError(
                    f"{host.name} has come back with another host key than before: {said}"
                ) from error
        if facts.boot.id != before.boot.id:
            return facts
        time.sleep(2)
    raise ClosureError(
        f"{host.name} did not come back in time: {said}. Look at its console. Where it tried "
        "a system once, a reset boots the old one."
    )

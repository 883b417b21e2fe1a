# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what a closure would change on a target, for people."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    closure_diff,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import show_boot_changes
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import (
    closure_of,
    read_toplevel,
)

_RUNNING = "/run/current-system"


def preview(target: Host, closure: Mapping[str, int]) -> str:
    """Show the packages that differ between what a target runs and a closure."""
    return render_diff(closure_diff(closure_of(target, _RUNNING), dict(closure)))


def preview_boot(target: Host, source: Host, path: str) -> str:
    """Show what of a system on another host takes effect only after a reboot of the target."""
    running, new = read_toplevel(target, _RUNNING), read_toplevel(source, path)
    return show_boot_changes(running, new) if running and new and new.nixos_version else ""

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the boot menu, once generations were deleted."""

from __future__ import annotations

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    SwitchOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import activate
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


def write_boot_menu(
    host: Host, facts: Facts, profile: str, progress: Progress, timeout: int = 3600
) -> bool:
    """Take the entries of deleted generations out of the boot menu; say whether that was done.

    :param facts: what the host was before that
    :param profile: the system's
    :param timeout: in seconds
    :raises ClosureError: the boot loader was not written
    """
    path = facts.profile
    # Where something else than the profile boots, its next deployment writes the menu.
    if path is None or not facts.boots(path) or facts.on_trial:
        return False
    options = SwitchOptions(Action.BOOT, path, profile, timeout=timeout)
    ended = activate(host, facts, (Step(Action.BOOT, path),), options, progress)
    if ended.exit_code == 0:
        return True
    raise ClosureError(
        f"{host.name}: generations were deleted, and the boot loader was not written, so that "
        f"its menu still has them: {ended.stderr.strip()}. It still boots {path}. Run "
        f"`{path}/bin/switch-to-configuration boot` there.",
        stderr=ended.stderr,
    )

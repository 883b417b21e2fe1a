# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: links on a host that keep store paths from being garbage collected."""

from __future__ import annotations

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.roots import RootLook, parse_root
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import (
    Host,
    demand,
    require_root,
    require_success,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script


def look_at_root(host: Host, name: str, path: str) -> RootLook:
    """Return what the link of that name holds, and whether the store has the path."""
    reply = host.run(script("root_look", name, path))
    require_success(host, reply, "does not say what its links hold")
    return parse_root(reply.text)


def hold(host: Host, look: RootLook, name: str, path: str) -> None:
    """Have the link hold the path, or be gone where the path is empty.

    :raises ClosureError: the store lacks the path, or the login cannot; nothing was changed
    """
    if look.lacks:
        raise ClosureError(
            f"{host.name} does not have {path} in its store. Copy it with "
            "closure.nixos.nix_copy_closure first."
        )
    require_root(host, look.user)
    demand(host, "root_set", name, path, request="root")

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a copy. Private to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import Transport
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes


def copy_result(
    path: str, closure: Mapping[str, int], missing: Mapping[str, int], transport: Transport | None
) -> dict[str, t.Any]:
    """Return the result of a module that found these paths missing, with sizes in bytes."""
    size = format_bytes(sum(missing.values()))
    how = f", by {transport.name}: {transport.reason}" if transport else ""
    return {
        "changed": bool(missing),
        "path": path,
        "missing_paths": sorted(missing),
        "missing_bytes": sum(missing.values()),
        "closure_paths": len(closure),
        "closure_bytes": sum(closure.values()),
        "transport": transport and transport.name,
        "reason": transport and transport.reason,
        "diff": {"prepared": ""},
        "msg": f"{len(missing)} of {len(closure)} paths, {size}{how}",
    }


def unknown_result(path: str) -> dict[str, t.Any]:
    """Return the result for a path that is not built yet, with the keys of the other one."""
    result = dict.fromkeys(copy_result(path, {}, {}, None), None)
    message = f"{path}, which is not built yet, so nobody knows what of it is missing."
    return result | {"path": path, "changed": True, "diff": {"prepared": ""}, "msg": message}

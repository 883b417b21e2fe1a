# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what a host's store has."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    parse_path_infos,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import (
    Toplevel,
    parse_toplevels,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_success
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script


def has_path(host: Host, path: str) -> bool:
    """Say whether a host's store has a path."""
    return not lacks(host, [path])


def lacks(host: Host, paths: Iterable[str]) -> set[str]:
    """Return those of the paths that a host's store does not have."""
    return set(host.run(script("missing", *paths)).text.split())


def closure_of(host: Host, *paths: str) -> dict[str, int]:
    """Return the paths of closures on a host with their sizes in bytes, references first.

    :raises ClosureError: the host does not have a path
    """
    return parse_path_infos(_closure(host, *paths))


def closure_for_all(host: Host, path: str) -> dict[str, int]:
    """Return a path's closure as :func:`closure_of` does, asked by one task for all of the run."""
    said, _earlier = host.task_run.ask_once(
        f"closure {host.name} {path}", lambda: _closure(host, path)
    )
    return parse_path_infos(said)


def _closure(host: Host, *paths: str) -> str:
    reply = host.run(script("closure", *paths), deadline=120)
    if reply.rc != 0:
        raise ClosureError(
            f"{host.name} does not have {' '.join(paths)} in its store: {reply.stderr.strip()}",
            path=paths[0],
            stderr=reply.stderr,
        )
    return reply.text


def read_toplevel(host: Host, path: str) -> Toplevel | None:
    """Return what the files of a system on a host say, or None where there is no such path."""
    reply = host.run(script("toplevel_facts", path))
    require_success(host, reply, f"does not say what {path} is")
    return parse_toplevels(reply.text)[path]

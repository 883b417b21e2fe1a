# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: copying a closure from a build host to a target."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store import (
    parse_path_infos,
    parse_store_paths,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script

_SOURCES = ("store", "copy")
_COPYING = re.compile(rb"^copying path '", re.MULTILINE)


def has_path(host: Host, path: str) -> bool:
    """Say whether a host's store has a path."""
    return not host.read(script("missing", path, sources=_SOURCES)).text.strip()


def closure_of(host: Host, path: str) -> dict[str, int]:
    """Return the paths of a closure on a host with their sizes in bytes.

    :raises ClosureError: the host does not have the path
    """
    reply = host.read(script("closure", path, sources=_SOURCES), deadline=120)
    if reply.rc != 0:
        raise ClosureError(
            f"{host.name} does not have {path} in its store: {reply.stderr.strip()}",
            path=path,
            stderr=reply.stderr,
        )
    return parse_path_infos(reply.text)


@dataclasses.dataclass
class Copy:
    """The way of one closure from the build host to the target."""

    source: Host
    target: Host
    path: str
    progress: Progress

    def missing(self, closure: Mapping[str, int], root: bool) -> dict[str, int]:
        """Ask the target which paths it does not have, and what they weigh.

        :param root: have the target root the closure from now on
        """
        verb = ("expect", self.path) if root else ("missing",)
        reply = self.target.read(script(*verb, *closure, sources=_SOURCES), deadline=120)
        if reply.rc != 0:
            raise ClosureError(
                f"{self.target.name} does not say which store paths it has: "
                f"{reply.stderr.strip()}. Is Nix on that login's PATH, and may it use the store?",
                rc=reply.rc,
                stderr=reply.stderr,
            )
        return {path: closure[path] for path in parse_store_paths(reply.text)}

    def run(self, url: str, config: str, flags: list[str], expected: int, limit: float) -> Ended:
        """Copy with ``nix copy`` over ssh.

        :param url: of the target's store, :param config: ssh_config(5) that leads there
        :param expected: how many paths are missing, for those who watch
        """
        copied = 0

        def hear(_out: bytes, err: bytes) -> None:
            nonlocal copied
            copied += len(_COPYING.findall(err))
            self.progress.say(f"copied {copied} of {expected} paths")

        command = script("copy", self.path, url, config, *flags, sources=_SOURCES)
        return run_leased(self.source, "copy", command, limit, hear)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: store paths as files through Ansible's own connections.

For hosts that Nix's ssh cannot reach, or where it cannot become root. A part at a time, so that no
host needs much room for files, and what has arrived stays when the copy is cut.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy import (
    batches,
    explain_copy,
    is_large,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._copy import Copy
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script

_SOURCES = ("archive",)


@dataclasses.dataclass(frozen=True)
class Archive:
    """The road from one host to another by files.

    :param compress: whether the files are compressed
    :param timeout: seconds for one step
    """

    way: Copy
    compress: bool
    timeout: float

    def copy(self, missing: Mapping[str, int]) -> None:
        """Bring exactly these paths to the target, their references before them.

        :raises ClosureError: they were not packed, or the target did not take them
        """
        done = 0
        for batch in batches(missing):
            self._copy(batch)
            done += len(batch)
            size = format_bytes(sum(list(missing.values())[:done]))
            total = f"{len(missing)} paths, {size} of {format_bytes(sum(missing.values()))}"
            self.way.progress.say(f"copied {done} of {total}")

    def _copy(self, batch: Mapping[str, int]) -> None:
        suffix = "_large" if is_large(batch) else ""
        gzip = "gzip" if self.compress else ""
        with self.way.source.directory() as packed, self.way.target.directory() as arrived:
            words = (f"pack{suffix}", f"{packed}/archive", gzip, *batch)
            checksum, _, info = self._run(self.way.source, "pack", *words).partition("\n")
            self._carry(f"{packed}/archive", f"{arrived}/archive")
            more = (*batch, info.rstrip("\n")) if suffix else ()
            words = (f"unpack{suffix}", f"{arrived}/archive", checksum, gzip, *more)
            self._run(self.way.target, "import", *words)

    def _carry(self, packed: str, arrived: str) -> None:
        if self.way.source.is_here:
            self.way.target.send(packed, arrived, self.timeout)
            return
        # Not Ansible's own directory, which may be in memory with /tmp.
        with tempfile.TemporaryDirectory(prefix="closure-nixos-", dir="/var/tmp") as directory:
            local = f"{directory}/archive"
            self.way.source.fetch(packed, local, self.timeout)
            self.way.target.send(local, arrived, self.timeout)

    def _run(self, host: Host, what: str, *words: str) -> str:
        command = script(*words, sources=_SOURCES)
        ended = run_leased(host, what, command, self.timeout, lambda out, err: None)
        if ended.exit_code != 0:
            way = self.way
            message = explain_copy(ended.stderr, way.path, way.source.name, way.target.name)
            raise ClosureError(message, rc=ended.exit_code, stderr=ended.stderr)
        return ended.stdout

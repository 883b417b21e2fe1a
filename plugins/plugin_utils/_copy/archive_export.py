# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a closure from a build host to an archive on the controller."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.options import CopyOptions
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive import Archive, Packing
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import (
    holds,
    write_cache,
    write_file,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.commands import sign, without
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import lacks


@dataclasses.dataclass(frozen=True)
class ArchiveExport:
    """Writes a closure to a file or a directory.

    :param receiver: a host whose paths are left out
    """

    file: pathlib.Path
    source: Host
    receiver: Host | None
    closure: dict[str, int]
    monitor: Monitor
    options: CopyOptions

    def packed(self) -> dict[str, int]:
        """Return what is to be in the archive: the closure but for what is left out."""
        packed = without(self.source, self.closure, self.options.exclude)
        if not (packed and self.receiver):
            return packed
        lacking = lacks(self.receiver, packed)
        return {path: size for path, size in packed.items() if path in lacking}

    def is_there(self, packed: Mapping[str, int]) -> bool:
        """Say whether there is a whole archive of just these paths.

        :raises ClosureError: there is what no archive may replace
        """
        there = self.file.exists()
        if there and not (
            self.file.is_dir() if self.options.dest_is_cache else self.file.is_file()
        ):
            kind = "directory" if self.options.dest_is_cache else "regular file"
            raise ClosureError(
                f"dest_archive {self.file} is there, and is no {kind}. Name another."
            )
        return there and holds(self.file, self.options.path, packed)

    def write(self, packed: dict[str, int]) -> None:
        """Sign these paths if that is asked for, and write them.

        :raises ClosureError: they were not written
        """
        options = self.options
        if options.sign_key_file:
            sign(self.source, options.sign_key_file, packed)
        self.source.limit_files(options.bwlimit)
        archive = Archive(self.source.name, self.monitor)
        packing = Packing(options.compress, options.dest_is_cache)
        parts = archive.pack(self.source, packed, packing)
        write = write_cache if options.dest_is_cache else write_file
        try:
            write(self.file, options.path, self.closure, parts)
        except OSError as error:
            raise ClosureError(f"The archive {self.file} was not written: {error}.") from error

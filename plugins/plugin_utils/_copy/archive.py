# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: store paths as files, through Ansible's own connections.

For hosts that Nix's ssh cannot reach or where it cannot become root, and for hosts without any
network. A part at a time, so that no host needs much room for files, and what has arrived stays
when the copy is cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import typing as t
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import Part
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import (
    BATCH_BYTES,
    CALL_BYTES,
    SHARED_BYTES,
    batches,
    explain_copy,
    is_large,
    readable,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.archive_files import Parts
from ansible_collections.closure.nixos.plugins.plugin_utils._copy.monitor import Monitor
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from ansible_collections.closure.nixos.plugins.plugin_utils._host.temporary import (
    temporary_directory,
)

# With which `taking` and `receive` refuse a file.
_ALTERED = 65


@dataclasses.dataclass(frozen=True)
class Packing:
    """How paths become parts.

    :param cache: as binary caches, which keep signatures
    :param limit: bytes of paths in a part
    :param shared: whether other hosts of the run may lack the same
    """

    compress: bool
    cache: bool = False
    limit: int = BATCH_BYTES
    shared: bool = False

    @property
    def how(self) -> str:
        """The compression, empty for none."""
        return "gzip" if self.compress else ""


def _has_room(directory: pathlib.Path, size: int) -> bool:
    """Say whether a part may stay until the end of the run: there may be many, and little room."""
    directory.mkdir(mode=0o700, exist_ok=True)
    kept = sum(part.stat().st_size for part in directory.glob("part-*"))
    return kept + size <= SHARED_BYTES and size <= shutil.disk_usage(directory).free // 4


@dataclasses.dataclass(frozen=True)
class Archive:
    """Carries store paths as files.

    :param origin: where they come from, for messages
    :param check_sigs: whether signatures are checked for a login too that the target trusts
    """

    origin: str
    monitor: Monitor
    check_sigs: bool = False

    def pack(self, source: Host, missing: Mapping[str, int], packing: Packing) -> Parts:
        """Give exactly these paths of a host as parts, references before what refers to them."""
        for number, batch in enumerate(batches(missing, packing.limit)):
            with self._once(source, batch, packing) as (said, local):
                checksum, _newline, info = said.partition("\n")
                name, paths = f"part-{number}", tuple(batch)
                yield Part(name, checksum, packing.how, paths, info, packing.cache), local

    def _once(
        self, source: Host, batch: Mapping[str, int], packing: Packing
    ) -> contextlib.AbstractContextManager[tuple[str, str]]:
        """Have a part as a file, and what was said of it: made once for all who lack the same."""
        run, name = source.task_run, f"part {source.name} {packing.how} {' '.join(batch)}"
        file = run.directory / f"part-{hashlib.sha256(name.encode()).hexdigest()}"

        def make() -> str:
            with self._packed(source, batch, packing) as (said, local):
                shutil.move(local, file)
            return said

        if packing.shared and (file.exists() or _has_room(run.directory, sum(batch.values()))):
            said = run.ask_once(name, make)[0]
            # A run that takes longer than a day may lose it.
            if file.exists():
                return contextlib.nullcontext((said, str(file)))
        return self._packed(source, batch, packing)

    @contextlib.contextmanager
    def _packed(
        self, source: Host, batch: Mapping[str, int], packing: Packing
    ) -> t.Iterator[tuple[str, str]]:
        pack = "pack_large" if is_large(batch) else "pack"
        with self._place(source) as directory:
            file = f"{directory}/archive"
            call = ("pack_cache" if packing.cache else pack, file, packing.how, *batch)
            said = self._run(source, "pack", batch, *call)
            with self._here(source, file) as local:
                yield said, local

    def unpack(self, target: Host, parts: Parts, missing: Mapping[str, int]) -> None:
        """Add parts to a host's store, those that hold something it lacks."""
        left = dict(missing)
        for part, local in parts:
            if left.keys().isdisjoint(part.paths):
                continue
            arriving = {path: left.get(path, 0) for path in part.paths}
            self._import(target, part, local, arriving)
            left = {path: size for path, size in left.items() if path not in part.paths}
            self._say(len(missing) - len(left), missing, left)

    def _import(self, target: Host, part: Part, local: str, arriving: Mapping[str, int]) -> None:
        """Send a part with the call that imports it, or as a file where it cannot travel so."""
        if target.takes_files and pathlib.Path(local).stat().st_size <= CALL_BYTES:
            try:
                self._run(target, "import", arriving, *self._unpacking(part, ""), sent=local)
            except ClosureError as error:
                # It did not arrive as it was sent: a shell or a way in may take more than a script.
                if error.details.get("rc") != _ALTERED:
                    raise
            else:
                return
        with target.directory() as directory:
            file = f"{directory}/archive"
            target.send(local, file, self.monitor.limits.total)
            self._run(target, "import", arriving, *self._unpacking(part, file))

    def _unpacking(self, part: Part, file: str) -> list[str]:
        if part.cache:
            check = "check" if self.check_sigs else ""
            return ["unpack_cache", file, part.checksum, check, *part.paths]
        words = [file, part.checksum, part.compression]
        if part.info:
            return ["unpack_large", *words, part.info.rstrip("\n")]
        return ["unpack", *words]

    @contextlib.contextmanager
    def _place(self, source: Host) -> t.Iterator[str]:
        """Have a directory for files of a host; on the controller that costs no call."""
        with temporary_directory() if source.is_here else source.directory() as directory:
            yield directory

    @contextlib.contextmanager
    def _here(self, source: Host, file: str) -> t.Iterator[str]:
        directory = temporary_directory()
        try:
            if source.is_here:
                yield file
            else:
                source.fetch(file, f"{directory.name}/archive", self.monitor.limits.total)
                yield f"{directory.name}/archive"
        finally:
            directory.cleanup()

    def _run(
        self, host: Host, what: str, paths: Mapping[str, int], *words: str, sent: str = ""
    ) -> str:
        ended = self.monitor.run(host, what, script(*words), paths, file=sent)
        if ended.exit_code != 0:
            place = host.name if what == "import" else "a file"
            message = explain_copy(ended.stderr, self.monitor.path, self.origin, place)
            raise ClosureError(message, rc=ended.exit_code, stderr=readable(ended.stderr))
        return ended.stdout

    def _say(self, done: int, missing: Mapping[str, int], left: Mapping[str, int]) -> None:
        total = sum(missing.values())
        size = f"{format_bytes(total - sum(left.values()))} of {format_bytes(total)}"
        self.monitor.progress.say(f"copied {done} of {len(missing)} paths, {size}")

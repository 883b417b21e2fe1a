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
import io
import pathlib
import tarfile
import tempfile
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy import (
    batches,
    explain_copy,
    is_large,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._manifest import (
    MANIFEST,
    Manifest,
    Part,
    parse_manifest,
)
from ansible_collections.closure.nixos.plugins.module_utils._store import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._scripts import script
from ansible_collections.closure.nixos.plugins.plugin_utils._watch import Watch

_SOURCES = ("watch", "archive")

# Where parts come from: each with its file on the controller, for as long as it is needed.
Parts = t.Iterator[tuple[Part, str]]


@dataclasses.dataclass(frozen=True)
class Archive:
    """Store paths on their way by files.

    :param origin: where they come from, for messages
    """

    origin: str
    watch: Watch

    def pack(self, source: Host, missing: Mapping[str, int], compress: bool) -> Parts:
        """Give exactly these paths of a host as parts, references before what refers to them."""
        compression = "gzip" if compress else ""
        for number, batch in enumerate(batches(missing)):
            large = "_large" if is_large(batch) else ""
            with source.directory() as directory:
                file = f"{directory}/archive"
                said = self._run(source, "pack", batch, f"pack{large}", file, compression, *batch)
                checksum, _newline, info = said.partition("\n")
                part = Part(f"part-{number}", checksum, compression, tuple(batch), info)
                with self._here(source, file) as local:
                    yield part, local

    def unpack(self, target: Host, parts: Parts, missing: Mapping[str, int]) -> None:
        """Add parts to a host's store, those that hold something it lacks."""
        left = dict(missing)
        for part, local in parts:
            if left.keys().isdisjoint(part.paths):
                continue
            with target.directory() as directory:
                file = f"{directory}/archive"
                target.send(local, file, self.watch.limits.total)
                words = [file, part.checksum, part.compression]
                words += [*part.paths, part.info.rstrip("\n")] if part.info else []
                unpack = "unpack_large" if part.info else "unpack"
                arriving = {path: left.get(path, 0) for path in part.paths}
                self._run(target, "import", arriving, unpack, *words)
            left = {path: size for path, size in left.items() if path not in part.paths}
            self._say(len(missing) - len(left), missing, left)

    def write(
        self, file: pathlib.Path, closure: Mapping[str, int], parts: Iterable[tuple[Part, str]]
    ) -> Manifest:
        """Write parts and their manifest to a file on the controller, all of it or nothing."""
        new = file.with_name(f".{file.name}.new")
        packed: list[Part] = []
        try:
            with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
                for part, local in parts:
                    tar.add(local, part.name)
                    packed.append(part)
                manifest = Manifest(self.watch.path, dict(closure), tuple(packed))
                text = manifest.dump().encode()
                entry = tarfile.TarInfo(MANIFEST)
                entry.size = len(text)
                tar.addfile(entry, io.BytesIO(text))
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
        return manifest

    @contextlib.contextmanager
    def _here(self, source: Host, file: str) -> t.Iterator[str]:
        # Not Ansible's own directory, which may be in memory with /tmp.
        directory = tempfile.TemporaryDirectory(prefix="closure-nixos-", dir="/var/tmp")
        try:
            if source.is_here:
                yield file
            else:
                source.fetch(file, f"{directory.name}/archive", self.watch.limits.total)
                yield f"{directory.name}/archive"
        finally:
            directory.cleanup()

    def _run(self, host: Host, what: str, paths: Mapping[str, int], *words: str) -> str:
        ended = self.watch.run(host, what, script(*words, sources=_SOURCES), paths)
        if ended.exit_code != 0:
            place = host.name if what == "import" else "a file"
            message = explain_copy(ended.stderr, self.watch.path, self.origin, place)
            raise ClosureError(message, rc=ended.exit_code, stderr=ended.stderr)
        return ended.stdout

    def _say(self, done: int, missing: Mapping[str, int], left: Mapping[str, int]) -> None:
        total = sum(missing.values())
        size = f"{format_bytes(total - sum(left.values()))} of {format_bytes(total)}"
        self.watch.progress.say(f"copied {done} of {len(missing)} paths, {size}")


def read_manifest(file: pathlib.Path) -> Manifest:
    """Read an archive's manifest and compare the checksums of all its parts.

    :raises ClosureError: it is no archive, or was cut or altered
    """
    try:
        with tarfile.open(file, "r:") as tar:
            text = _member(tar, MANIFEST).read()
            manifest = parse_manifest(text, str(file))
            for part in manifest.parts:
                digest = hashlib.file_digest(_member(tar, part.name), "sha256").hexdigest()
                if digest != part.checksum:
                    raise ClosureError(f"{file} was altered: {part.name} has another checksum.")
    except (OSError, tarfile.TarError, KeyError) as error:
        message = f"{file} is no archive, or was cut: {error}. Make it again with dest_archive."
        raise ClosureError(message) from error
    return manifest


def holds(file: pathlib.Path, path: str, paths: Iterable[str]) -> bool:
    """Say whether a file is a whole archive of just these paths."""
    try:
        manifest = read_manifest(file)
    except ClosureError:
        return False
    return manifest.path == path and manifest.carried == set(paths)


def read_parts(file: pathlib.Path, manifest: Manifest) -> Parts:
    """Give the parts of an archive as files."""
    with tarfile.open(file, "r:") as tar:
        for part in manifest.parts:
            with tempfile.NamedTemporaryFile(prefix="closure-nixos-", dir="/var/tmp") as local:
                stream = _member(tar, part.name)
                while block := stream.read(1 << 20):
                    local.write(block)
                local.flush()
                yield part, local.name


def _member(tar: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    stream = tar.extractfile(name)
    if stream is None:
        raise KeyError(f"{name} is no file")
    return t.cast(io.BufferedIOBase, stream)

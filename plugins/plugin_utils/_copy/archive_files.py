# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: archives on the controller, as a file or as a binary cache.

The file is a tar of parts as they come. The binary cache is a directory, from which any Nix can
fetch too (``file://DIRECTORY``), and which keeps signatures. Both have a manifest with checksums.
"""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import shutil
import stat
import tarfile
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.manifest import (
    MANIFEST,
    Manifest,
    Part,
    cached_part,
    parse_manifest,
)
from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import batches
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host.temporary import temporary_file

# A manifest is about 1 KiB for a path, and a description in a binary cache is less.
MANIFEST_BYTES = 256 * 1024 * 1024
INFO_BYTES = 1024 * 1024

# Parts, each with its file on the controller, for as long as it is needed.
Parts = t.Iterator[tuple[Part, str]]


def write_file(file: pathlib.Path, path: str, closure: Mapping[str, int], parts: Parts) -> None:
    """Write parts and their manifest to a file, all of it or nothing."""
    new = file.with_name(f".{file.name}.new")
    packed: list[Part] = []
    try:
        with tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
            for part, local in parts:
                tar.add(local, part.name)
                packed.append(part)
            text = Manifest(path, dict(closure), tuple(packed)).dump().encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def write_cache(
    directory: pathlib.Path, path: str, closure: Mapping[str, int], parts: Parts
) -> None:
    """Add parts to a directory, and their manifest when all are there. What is there stays."""
    (directory / "nar").mkdir(parents=True, exist_ok=True)
    (directory / "nix-cache-info").write_text("StoreDir: /nix/store\n", encoding="utf-8")
    packed = [kept for part, local in parts for kept in _keep(directory, part, local)]
    new = directory / f".{MANIFEST}.new"
    new.write_text(Manifest(path, dict(closure), tuple(packed)).dump(), encoding="utf-8")
    new.replace(directory / MANIFEST)


def _keep(directory: pathlib.Path, part: Part, local: str) -> t.Iterator[Part]:
    """Take the paths of a part into a directory, and none that are there only as references."""
    with tarfile.open(local, "r:") as tar:
        for path in part.paths:
            name = _narinfo(path)
            info = _member(tar, f"./{name}").read().decode()
            kept = cached_part(info)
            with (directory / kept.name).open("wb") as file:
                shutil.copyfileobj(_member(tar, f"./{kept.name}"), file)
            (directory / name).write_text(info, encoding="utf-8")
            yield cached_part(info, _digest(directory / kept.name))


def read_manifest(place: pathlib.Path) -> Manifest:
    """Read an archive's manifest and compare the checksums of all that it names.

    :raises ClosureError: it is not there, is no archive, or was cut or altered
    """
    if not os.path.lexists(place):
        raise ClosureError(
            f"src_archive {place} is not there on the controller. Correct the path, or write the "
            "archive with dest_archive."
        )
    try:
        return _read_cache(place) if place.is_dir() else _read_file(place)
    except (OSError, tarfile.TarError, LookupError, ValueError, RecursionError) as error:
        message = f"{place} is no archive, or was cut: {error}. Make it again with dest_archive."
        raise ClosureError(message) from error


def _read_file(file: pathlib.Path) -> Manifest:
    with _open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        manifest = parse_manifest(_text(_member(tar, MANIFEST), MANIFEST_BYTES), str(file))
        for part in manifest.parts:
            digest = hashlib.file_digest(_member(tar, part.name), "sha256").hexdigest()
            if digest != part.checksum:
                raise _altered(file, part.name)
    return manifest


def _read_cache(directory: pathlib.Path) -> Manifest:
    with _open(directory / MANIFEST) as stream:
        manifest = parse_manifest(_text(stream, MANIFEST_BYTES), str(directory))
    for part in manifest.parts:
        info = _narinfo(part.paths[0])
        # Its name leads to a file: it must be the one that the text gives, which is a NAR.
        if cached_part(part.info).name != part.name:
            raise _altered(directory, MANIFEST)
        with _open(directory / info) as stream:
            if _text(stream, INFO_BYTES) != part.info.encode():
                raise _altered(directory, info)
        if _digest(directory / part.name) != part.checksum:
            raise _altered(directory, part.name)
    return manifest


def _open(file: pathlib.Path) -> io.BufferedReader:
    """Open a file that is one: no device, and no pipe, whose writer may never come.

    :raises OSError: it is something else
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise OSError(f"{file} is no regular file")
    return stream


def _text(stream: io.BufferedIOBase, limit: int) -> bytes:
    """Read all of a stream, or refuse one that is longer than anything of ours."""
    size = stream.seek(0, os.SEEK_END)
    if size > limit:
        raise ValueError(f"it has a text of {size} bytes")
    stream.seek(0)
    return stream.read()


def _altered(place: pathlib.Path, name: str) -> ClosureError:
    return ClosureError(f"{place} was altered: {name} has another checksum.")


def holds(place: pathlib.Path, path: str, paths: Iterable[str]) -> bool:
    """Say whether there is a whole archive of just these paths."""
    try:
        manifest = read_manifest(place)
    except ClosureError:
        return False
    return manifest.path == path and manifest.carried == set(paths)


def read_parts(place: pathlib.Path, manifest: Manifest, missing: Mapping[str, int]) -> Parts:
    """Give the parts of an archive, at least those with missing paths, as files."""
    if place.is_dir():
        return _parts_of_cache(place, manifest, missing)
    return _parts_of_file(place, manifest)


def _parts_of_file(file: pathlib.Path, manifest: Manifest) -> Parts:
    with _open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for part in manifest.parts:
            with temporary_file() as local:
                shutil.copyfileobj(_member(tar, part.name), local)
                local.flush()
                yield part, local.name


def _parts_of_cache(
    directory: pathlib.Path, manifest: Manifest, missing: Mapping[str, int]
) -> Parts:
    names = {part.paths[0]: part.name for part in manifest.parts}
    for batch in batches(missing):
        with temporary_file() as local:
            with tarfile.open(fileobj=local, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in ("nix-cache-info", *map(_narinfo, batch), *map(names.get, batch)):
                    tar.add(directory / str(name), str(name))
            local.flush()
            checksum = _digest(pathlib.Path(local.name))
            yield Part("cache", checksum, "", tuple(batch), cache=True), local.name


def _digest(file: pathlib.Path) -> str:
    with _open(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _narinfo(path: str) -> str:
    return f"{pathlib.PurePath(path).name.partition('-')[0]}.narinfo"


def _member(tar: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    """Open a file in a tar that is one: no link, and none with holes, which cost no room."""
    member = tar.getmember(name)
    stream = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if stream is None:
        raise KeyError(f"{name} is no plain file")
    return t.cast(io.BufferedIOBase, stream)

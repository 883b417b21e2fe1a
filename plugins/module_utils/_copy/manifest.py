# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an archive of a closure holds. Private to the collection.

An archive is a tar file or a binary cache: parts with store paths, and ``manifest.json``, which
says what is in them. One that was cut has no manifest.
"""

from __future__ import annotations

import dataclasses
import json
import re

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
)

MANIFEST = "manifest.json"
_VERSION = 1
_PART = re.compile(r"part-\d+|nar/[0-9a-z]+\.nar(\.[0-9a-z]+)?")
_NAR = re.compile(r"nar/[0-9a-z]+\.nar(\.[0-9a-z]+)?")


@dataclasses.dataclass(frozen=True)
class Part:
    """One file with store paths.

    :param checksum: its SHA-256
    :param compression: ``gzip`` or ``""``
    :param info: of a path that travels as its NAR, what a binary cache says of it; else ``""``
    :param cache: whether it is a binary cache in a tar file
    """

    name: str
    checksum: str
    compression: str
    paths: tuple[str, ...]
    info: str = ""
    cache: bool = False


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an archive holds.

    :param path: the store path that it was made for
    :param closure: all of that path's closure, with sizes, references first
    :param parts: with what the receiver was not known to have, in the order to import them
    """

    path: str
    closure: dict[str, int]
    parts: tuple[Part, ...]

    @property
    def carried(self) -> set[str]:
        """The paths in the archive."""
        return {path for part in self.parts for path in part.paths}

    @property
    def signatures(self) -> dict[str, frozenset[str]]:
        """The names of the keys that signed each path, where the archive keeps signatures.

        Among them stands ``ca`` for a path whose name proves its content.
        """
        return {path: _keys(part.info) for part in self.parts for path in part.paths}

    def dump(self) -> str:
        """Return the text of the manifest."""
        return json.dumps({"version": _VERSION} | dataclasses.asdict(self), indent=1) + "\n"


def _keys(info: str) -> frozenset[str]:
    keys = re.findall(r"^Sig: ([^:\n]+):", info, re.MULTILINE)
    return frozenset([*keys, "ca"] if re.search(r"^CA: ", info, re.MULTILINE) else keys)


def cached_part(info: str, checksum: str = "") -> Part:
    """Return a path as a binary cache has it: the part is the file with its NAR.

    :param info: what the cache says of it (``.narinfo``)
    :raises ClosureError: that leads anywhere else
    """
    fields = dict(line.partition(": ")[::2] for line in info.splitlines())
    name = fields.get("URL", "")
    if not _NAR.fullmatch(name):
        raise ClosureError(f"A binary cache has its NARs in nar/, and not {name!r}.")
    path = check_store_path(fields.get("StorePath", ""))
    return Part(name, checksum, fields.get("Compression", ""), (path,), info)


def parse_manifest(text: str | bytes, name: str) -> Manifest:
    """Read the text of a manifest.

    :param name: of the archive, for messages
    :raises ClosureError: it is none, or of another version of the collection
    """
    try:
        data = json.loads(text)
        version = data.pop("version")
        parts = [Part(**part | {"paths": tuple(part["paths"])}) for part in data.pop("parts")]
        manifest = Manifest(**data, parts=tuple(parts))
        _check(manifest)
    except (ClosureError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ClosureError(f"{name} has a manifest that cannot be read: {error}") from error
    if version != _VERSION:
        raise ClosureError(f"{name} is of version {version}, and this collection reads {_VERSION}.")
    return manifest


def _check(manifest: Manifest) -> None:
    """Refuse values of other types than ours, and parts whose name leads elsewhere.

    :raises ValueError: there is one
    """
    for path in (manifest.path, *manifest.closure, *manifest.carried):
        check_store_path(path)
    if not all(_is_size(size) for size in manifest.closure.values()):
        raise ValueError("a size is no number of bytes")
    if not ({manifest.path} | manifest.carried) <= manifest.closure.keys():
        raise ValueError("a path is not in the closure")
    for part in manifest.parts:
        texts = (part.name, part.checksum, part.compression, part.info)
        if not (all(isinstance(it, str) for it in texts) and isinstance(part.cache, bool)):
            raise ValueError("a part is described by other things than text")
        if not (part.paths and _PART.fullmatch(part.name)):
            raise ValueError(f"a part is called {part.name!r}, with {len(part.paths)} paths")


def _is_size(value: object) -> bool:
    """Whether it is a number of bytes; Python takes a bool for a number as well."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Store paths and closures. Private to the collection.

Decides what is a store path, which package and version one belongs to, what a host's list of
paths and sizes says, and how two closures differ.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

STORE_DIR = "/nix/store"

# Nix's base 32 leaves out e, o, t and u (nix, libutil/hash.cc); 211 bytes of name keep the longest
# file Nix makes of it, NAME.lock or NAME.drv.chroot, below 255 (nix, libstore/path.hh).
_BASENAME = re.compile(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-([0-9a-zA-Z+\-._?=]{1,211})")
# Nix before 2.21 refuses every leading dot, later ones only these (nix, libstore/path.cc).
_RESERVED_NAME = re.compile(r"\.\.?(-.*)?")
_OUTPUT_SUFFIX = re.compile(r"(.*)-([a-z]+|lib32|lib64)")
_VERSION_DASH = re.compile(r"-(?=[^A-Za-z])")
_PATH_INFO = re.compile(r"(\S+)\s+(\d+)")

# What Nix calls worth showing (nix, nix/diff-closures.cc).
_SHOWN_SIZE_DELTA = 8 * 1024


def _is_store_name(basename: str) -> bool:
    match = _BASENAME.fullmatch(basename)
    return match is not None and not _RESERVED_NAME.fullmatch(match[1])


def check_store_path(text: str, store_dir: str = STORE_DIR) -> str:
    """Return `text` if it is the path of a store object itself, not of a file inside one.

    Raises ClosureError otherwise. The grammar is Nix's: libstore/path.cc, manual "Store Path".
    """
    parent, slash, basename = text.rpartition("/")
    if slash and parent == store_dir and _is_store_name(basename):
        return text
    raise ClosureError(
        f"{text!r} is not a store path. Pass one of the form "
        f"{store_dir}/HASH-NAME, where HASH is 32 characters of Nix's base 32."
    )


def parse_path_infos(text: str, store_dir: str = STORE_DIR) -> dict[str, int]:
    """Store path -> NAR size in bytes, in the order of the lines `path<blanks>size`.

    `nix path-info --size` prints such lines (nix 2.8 manual). Raises ClosureError for any other.
    """
    return dict(_path_info(line, store_dir) for line in text.splitlines() if line.strip())


def _path_info(line: str, store_dir: str) -> tuple[str, int]:
    match = _PATH_INFO.fullmatch(line.strip())
    if match is None:
        raise ClosureError(
            f"Expected a store path and its size in bytes, but the host printed {line!r}. "
            "Run the task again with -vvv to see the command that printed it."
        )
    return check_store_path(match[1], store_dir), int(match[2])


def name_and_version(store_path: str) -> tuple[str, str]:
    """The package name and version of a store path, without its output's name; version may be "".

    An output's name cannot be told from a word at the end ("hello-unstable"); both go, as in Nix
    (nix, nix/diff-closures.cc). The version begins after the first dash that is followed by
    something other than a letter (nix, libstore/names.cc).
    """
    name = store_path.rpartition("/")[2][33:]
    output = _OUTPUT_SUFFIX.fullmatch(name)
    package = output[1] if output else name
    dash = _VERSION_DASH.search(package)
    return (package[: dash.start()], package[dash.end() :]) if dash else (package, "")


@dataclass(frozen=True)
class PackageChange:
    """What became of one package between two closures.

    `before` has the versions that only the old closure holds, `after` those only the new one
    does; both are empty when nothing but the size changed.
    """

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    size_delta: int


@dataclass(frozen=True)
class _Package:
    versions: frozenset[str] = frozenset()
    size: int = 0


def _packages(closure: Mapping[str, int]) -> dict[str, _Package]:
    versions: defaultdict[str, set[str]] = defaultdict(set)
    sizes: defaultdict[str, int] = defaultdict(int)
    for path, size in closure.items():
        name, version = name_and_version(path)
        versions[name].add(version)
        sizes[name] += size
    return {name: _Package(frozenset(versions[name]), sizes[name]) for name in versions}


def _package_change(name: str, old: _Package, new: _Package) -> PackageChange:
    return PackageChange(
        name,
        before=tuple(sorted(old.versions - new.versions)),
        after=tuple(sorted(new.versions - old.versions)),
        size_delta=new.size - old.size,
    )


def _is_shown(change: PackageChange) -> bool:
    return bool(change.before or change.after or abs(change.size_delta) >= _SHOWN_SIZE_DELTA)


def closure_diff(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[PackageChange, ...]:
    """What changes from one closure (store path -> NAR size) to another, by package name.

    A package is named when versions come or go, or its size changes by 8 KiB or more: the
    semantics of `nix store diff-closures` (nix, nix/diff-closures.cc).
    """
    old, new, absent = _packages(before), _packages(after), _Package()
    changes = (
        _package_change(name, old.get(name, absent), new.get(name, absent))
        for name in sorted(old.keys() | new.keys())
    )
    return tuple(filter(_is_shown, changes))


def render_diff(changes: Iterable[PackageChange]) -> str:
    """Lines like `hello: 2.10 → 2.12, +12.6 KiB`, each ended by a newline; "" for no change.

    As `nix store diff-closures` writes them (nix 2.33 and newer, where units are scaled).
    """
    return "".join(f"{change.name}: {', '.join(_items(change))}\n" for change in changes)


def _items(change: PackageChange) -> list[str]:
    items = []
    if change.before or change.after:
        items.append(f"{_versions(change.before)} → {_versions(change.after)}")
    if abs(change.size_delta) >= _SHOWN_SIZE_DELTA:
        items.append(f"{'+' if change.size_delta > 0 else ''}{format_bytes(change.size_delta)}")
    return items


def _versions(versions: tuple[str, ...]) -> str:
    return ", ".join(sorted(version or "ε" for version in versions)) or "∅"


def format_bytes(count: int) -> str:
    """`count` bytes in IEC units with one decimal, as in "-12.6 KiB"; bytes below 1 KiB whole."""
    if abs(count) < 1024:
        return f"{count} B"
    scaled = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        scaled /= 1024
        # 1023.96 would print as 1024.0 of this unit, so it belongs to the next.
        if abs(scaled) < 1023.95:
            return f"{scaled:.1f} {unit}"
    return f"{scaled / 1024:.1f} TiB"

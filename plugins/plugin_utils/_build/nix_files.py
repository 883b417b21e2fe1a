# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the Nix files that we send to a build host, and the data for them."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

_ROOT = pathlib.Path(__file__).parent
_FILES = (
    *("evaluate", "jobs", "requests", "source", "configuration", "nixpkgs", "flake"),
    *("flake_url", "flake_lock"),
    *("toplevel", "system", "package", "container", "vm", "option", "fetch"),
)


def nix_files(data: str, more: Mapping[str, str] | None = None) -> str:
    """Return our Nix files with their data, as ``unpack_files`` takes them (``build.sh``).

    :param data: JSON, for ``data.json``
    :param more: other files by name
    """
    return _nix() + "".join(map(_file, *zip(*({"data.json": data} | dict(more or {})).items())))


@functools.cache
def _nix() -> str:
    paths = (_ROOT / f"{name}.nix" for name in _FILES)
    return "".join(_file(path.name, path.read_text()) for path in paths)


def _file(name: str, text: str) -> str:
    return f"@file {name}\n{text.rstrip()}\n"

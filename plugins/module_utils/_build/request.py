# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of Nix for one host, and attribute paths. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_ATTRIBUTE = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^".]+))\s*(?:\.|$)')
_QUOTED = str.maketrans({"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


@dataclasses.dataclass(frozen=True)
class Request:
    """What to evaluate for one host.

    :param source: what holds the systems, as ``source.nix`` takes it: ``{"file": PATH}`` and the like
    :param name: what messages call it
    :param attrs: attribute paths into it, the first that leads to a system is taken; without any it
        is all of the source, or what has the host's name in it
    :param args: arguments for the functions on the way
    :param special: arguments for the modules of the system that is found, its ``specialArgs``
    :param search_path: whether it may look at ``NIX_PATH``
    :param expression: the user's Nix text, where that is the source
    """

    source: Mapping[str, t.Any]
    name: str
    attrs: tuple[tuple[str, ...], ...] = ()
    args: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    special: Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    search_path: bool = True
    expression: str = "null"

    @property
    def flake(self) -> dict[str, t.Any]:
        """What ``flake.nix`` takes; empty where the source is no flake."""
        return t.cast(dict[str, t.Any], self.source.get("flake", {}))

    @property
    def overrides(self) -> dict[str, str]:
        """The inputs that a flake gets in place of its own."""
        return t.cast(dict[str, str], self.flake.get("overrides", {}))


def parse_attr(text: str) -> tuple[str, ...]:
    """Split an attribute path as ``nix-build -A`` does: ``nodes."web1.example.org".system``.

    :raises ClosureError: a quote is not closed, or a name is empty
    """
    names, position = [], 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            raise ClosureError(
                f"{text!r} is no attribute path. Write names with dots between them, and quote "
                'a name that has a dot itself: "web1.example.org".system'
            )
        quoted, bare = match.groups()
        names.append(re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare.strip())
        position = match.end()
    return tuple(names)


def show_attr(names: Sequence[str]) -> str:
    """Write an attribute path as people do, with quotes where Nix needs them."""
    quoted = ('"' + name.translate(_QUOTED) + '"' for name in names)
    return ".".join(
        name if _BARE_NAME.fullmatch(name) else quote
        for name, quote in zip(names, quoted, strict=True)
    )

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links that keep store paths from being garbage collected. Private to the collection."""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

#: where a host has those that people ask for, each by its name
KEPT = "/nix/var/nix/gcroots/closure-nixos/kept"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def check_root_name(name: str) -> str:
    """Return the name of a link.

    :raises ClosureError: it is none
    """
    if _NAME.fullmatch(name):
        return name
    raise ClosureError(
        f"{name!r} cannot be the name of a link. Use letters, digits and _.+- and begin with a "
        "letter, a digit or _."
    )


@dataclasses.dataclass(frozen=True)
class RootLook:
    """What a host says of a link.

    :param user: who asks
    :param holds: the path that the link holds, empty where there is none
    :param lacks: whether the store lacks the path that the link is to hold
    """

    user: str
    holds: str
    lacks: bool


def parse_root(text: str) -> RootLook:
    """Read the lines of ``root_look`` (``roots.sh``).

    :raises LookupError: a line is missing
    """
    said = dict(line.split("=", 1) for line in text.splitlines())
    return RootLook(said["user"], said["holds"], bool(said["lacks"]))

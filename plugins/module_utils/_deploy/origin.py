# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: where a configuration is from, as files of people say it."""

from __future__ import annotations

import dataclasses
import json
import typing as t

_LONGEST_SUBJECT = 200


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a configuration is from.

    :param source: its file, or the reference of its flake; empty for a system that was built before
    :param revision: the Git commit, :param subject: the first line of its message
    :param dirty: whether there are changes that are not committed; None where there is no Git
    :param nixpkgs: the commit of nixpkgs that is pinned beside it
    """

    source: str = ""
    revision: str | None = None
    dirty: bool | None = None
    subject: str | None = None
    nixpkgs: str | None = None


def parse_commit(text: str) -> tuple[str, str]:
    """Read what ``git log --format=%H%n%s`` says: the commit and its subject."""
    revision, _newline, subject = text.strip().partition("\n")
    return revision, subject[:_LONGEST_SUBJECT]


def nixpkgs_of(pin: str, lock: str) -> str | None:
    """Return the commit of nixpkgs in a pin file, or else in a flake.lock; each may be empty."""
    root, nodes = "", {}
    found = _json(lock)
    if isinstance(found.get("nodes"), dict):
        nodes, root = found["nodes"], str(found.get("root"))
    name = (nodes.get(root, {}).get("inputs") or {}).get("nixpkgs")
    # An input that follows another one is a list.
    locked = nodes.get(name, {}).get("locked", {}) if isinstance(name, str) else {}
    revision = _json(pin).get("rev") or locked.get("rev")
    return str(revision) if revision else None


def _json(text: str) -> dict[str, t.Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

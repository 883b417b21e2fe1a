# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: asking the controller where a configuration is from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import subprocess

from ansible_collections.closure.nixos.plugins.module_utils._deploy.origin import (
    Origin,
    nixpkgs_of,
    parse_commit,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.run import Run

# Git answers at once, but for a file system that does not.
_LIMIT = 60


def origin_of(run: Run, source: str) -> Origin:
    """Return where a configuration is from, which is asked once in a run.

    :param source: a file or a directory, or the reference of a flake; empty for none
    """
    if not source:
        return Origin()
    with run.locked(f"origin-{hashlib.sha256(source.encode()).hexdigest()[:16]}") as kept:
        if not kept.exists():
            kept.write_text(json.dumps(dataclasses.asdict(_ask(source))), encoding="utf-8")
        return Origin(**json.loads(kept.read_text(encoding="utf-8")))


def _ask(source: str) -> Origin:
    path = pathlib.Path(source.removeprefix("path:").partition("#")[0])
    if not path.exists():
        return Origin(source)
    directory = path if path.is_dir() else path.parent
    pinned = nixpkgs_of(*(_text(directory / name) for name in ("nixpkgs.json", "flake.lock")))
    commit = _git(directory, "log", "-1", "--format=%H%n%s")
    if not commit:
        return Origin(source, nixpkgs=pinned)
    changes = _git(directory, "status", "--porcelain")
    dirty = None if changes is None else bool(changes)
    revision, subject = parse_commit(commit)
    return Origin(source, revision, dirty, subject, pinned)


def _text(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _git(directory: pathlib.Path, *words: str) -> str | None:
    """Return what Git says of a directory; None where it says nothing, as in no Git tree."""
    command = ["git", "--no-optional-locks", "-C", str(directory), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=_LIMIT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None

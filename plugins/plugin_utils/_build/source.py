# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: bringing Nix code from the controller to a build host.

It goes into that host's store, where its name is its content: it cannot change while it is built.
"""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
import tarfile
from collections.abc import Iterable

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script
from ansible_collections.closure.nixos.plugins.plugin_utils._host.temporary import temporary_file

# Nix code is small. What takes longer is more than was meant.
_LIMIT = 600


def refuse_home(host: Host, path: str) -> None:
    """Refuse a path that begins with somebody's home, for a host that is not the controller.

    :raises ClosureError: nobody here knows whose home that is there
    """
    if path.startswith("~") and not host.is_here:
        raise ClosureError(
            f"{path}: whose home that is on {host.name} is not known on the controller. Write the "
            "whole path."
        )


def tree_of(path: str) -> str | None:
    """Return the directory that goes to a build host for a path: its Git tree, or its directory.

    :returns: ``None`` where the controller has no such file, or it is in the store, which a build
        host has for itself
    :raises ClosureError: that would be a home or all of the disk
    """
    file = pathlib.Path(path)
    if not file.exists() or file.is_relative_to("/nix/store"):
        return None
    directory = file if file.is_dir() else file.parent
    for parent in (directory, *directory.parents):
        if (parent / ".git").exists():
            return str(parent)
    if pathlib.Path.home().is_relative_to(directory):
        raise ClosureError(
            f"{path} is in no Git tree, and all of {directory} would go to the build host. Move "
            "it to a directory of its own, name that as source, or set bring_source: false when the "
            "build host has the file itself."
        )
    return str(directory)


def bring_source(host: Host, directory: pathlib.Path) -> str:
    """Add a directory of the controller to a host's store, and return its path there.

    :raises ClosureError: there is no such directory, or the host does not take it
    """
    with temporary_file() as archive, host.directory() as place:
        _pack(directory, source_files(directory), archive.name)
        digest = hashlib.sha256(pathlib.Path(archive.name).read_bytes()).hexdigest()
        host.send(archive.name, f"{place}/source.tar", _LIMIT)
        reply = host.run(script("add_source", f"{place}/source.tar", digest), _LIMIT)
    if reply.rc != 0:
        raise ClosureError(
            f"{host.name} does not take the source {directory}: {reply.stderr.strip()}",
            rc=reply.rc,
            stderr=reply.stderr,
        )
    return reply.text.strip()


def source_files(directory: pathlib.Path) -> list[str]:
    """Return what belongs to a source: what Git tracks, or all of it where there is no Git tree.

    :raises ClosureError: there is no such directory, or Git does not say
    """
    if not directory.is_dir():
        raise ClosureError(
            f"There is no directory {directory} on the controller to take as source."
        )
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return ["."]
    # Of a submodule, Git would name the directory only, and all in it would be brought.
    command = ["git", "-C", str(directory), "ls-files", "--recurse-submodules", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
        raise ClosureError(
            f"Git does not say which files of {directory} it tracks, and others are not brought to "
            f"a build host: {said}"
        ) from error
    names = done.stdout.decode(errors="surrogateescape").split("\0")
    # A file may be tracked and deleted.
    return [name for name in names if name and (directory / name).exists()]


def _pack(directory: pathlib.Path, names: Iterable[str], archive: str) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            tar.add(directory / name, name)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: files on their way, on the controller.

Not in /tmp, which may be in memory. A run that is killed leaves its own, and the next one that
needs such a file removes what is older than a day.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile
import time
import typing as t

from ansible import constants as C

PLACE = "/var/tmp"
_PREFIX = "closure-nixos-"
_DAY = 86400


def temporary_file() -> t.IO[bytes]:
    """Return a file that only we can read, and that is gone when it is closed."""
    sweep(pathlib.Path(PLACE))
    return tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=PLACE)


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a directory that only we can enter, and that is gone when it is cleaned up."""
    sweep(pathlib.Path(PLACE))
    return tempfile.TemporaryDirectory(prefix=_PREFIX, dir=PLACE)


def sweep(place: pathlib.Path) -> None:
    """Remove what killed runs have left there, and large files in their own directories."""
    shared = pathlib.Path(C.DEFAULT_LOCAL_TMP).parent.glob("ansible-local-*/closure-nixos/part-*")
    for path in itertools.chain(place.glob(f"{_PREFIX}*"), shared):
        with contextlib.suppress(OSError):  # another has removed it
            state = path.lstat()
            if state.st_uid != os.getuid() or time.time() - state.st_mtime < _DAY:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

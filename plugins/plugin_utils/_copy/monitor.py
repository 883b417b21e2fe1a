# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: the commands of a copy, followed by what they read and write."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping

from ansible_collections.closure.nixos.plugins.module_utils._copy.transport import explain_stall
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, Sent
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult, run_leased
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script, script

_COPYING = re.compile(rb"^copying path '", re.MULTILINE)
# What `watched` of monitor.sh says.
_IO = re.compile(rb"^io (\d+) (\d+)\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds for a command, :param total: in all, :param stall: without any progress."""

    total: float
    stall: float


class _StalledError(Exception):
    """A command makes no progress."""


@dataclasses.dataclass(frozen=True)
class Monitor:
    """Runs the commands of one copy, and ends one in which nothing goes on.

    :param path: whose closure is copied
    """

    path: str
    progress: Progress
    limits: Limits

    def run(
        self,
        host: Host,
        what: str,
        command: Script,
        missing: Mapping[str, int],
        receiver: Host | None = None,
        file: str = "",
    ) -> JobResult:
        """Run a command on a host, with what it said but for how far it was.

        :param what: a verb, :param missing: what it is about, with sizes
        :param receiver: the host whose locks it may wait for, when that is another
        :param file: on the controller, which it gets with the command
        :raises ClosureError: it took too long, or made no progress
        """
        steps = _Steps(what, self.progress, missing, self.limits.stall)
        try:
            total = self.limits.total
            ended = run_leased(host, what, command, total, steps.hear, sent=Sent(file, total))
        except _StalledError as error:
            holder = receiver or host
            serving = holder.run(script("serving")).text
            message = explain_stall(self.limits.stall, self.path, holder.name, serving)
            raise ClosureError(message) from error
        said = _IO.sub(b"", ended.stdout.encode()).decode()
        return dataclasses.replace(ended, stdout=said)


class _Steps:
    """How far a command is."""

    def __init__(
        self, what: str, progress: Progress, missing: Mapping[str, int], stall: float
    ) -> None:
        self._what = what
        self._progress = progress
        self._missing = missing
        self._stall = stall
        self._copied = 0
        # None where the host does not say: then only the limit in all counts.
        self._io: tuple[int, int] | None = None
        self._moved = time.monotonic()

    def hear(self, out: bytes, err: bytes) -> None:
        """Take what the command said: bytes read and written on ``out``, messages on ``err``."""
        io = [(int(read), int(written)) for read, written in _IO.findall(out)]
        if err or any(now != self._io for now in io):
            self._moved = time.monotonic()
        self._io = io[-1] if io else self._io
        self._copied += len(_COPYING.findall(err))
        if self._io and time.monotonic() - self._moved > self._stall:
            raise _StalledError
        self._progress.say(self._state())

    def _state(self) -> str:
        paths, total = len(self._missing), sum(self._missing.values())
        # What was written holds more than the paths: the words of a protocol, a database.
        written = self._io[1] if self._io else 0
        size = f"{format_bytes(min(written, total))} of {format_bytes(total)}"
        if self._copied:
            # A copy that goes on by another connection says them again.
            return f"copying path {min(self._copied, paths)} of {paths}, {size}"
        return f"{self._what} of {paths} paths, {size}"

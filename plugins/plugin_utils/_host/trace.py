# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: each round trip to a host, for people who look where time goes.

With ``-vvv`` they are lines, with ``-vvvv`` with the calls; ``CLOSURE_NIXOS_TRACE`` names a file to
which they are appended as trace events of Chrome, which its profiler and Perfetto open: an array in
JSON whose end may be missing
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
import typing as t
import zlib

from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.module_utils._text import printable
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import Script

VARIABLE = "CLOSURE_NIXOS_TRACE"


@dataclasses.dataclass
class Trip:
    """A round trip.

    :param begun: seconds since the epoch, :param sent: bytes, :param received: bytes
    :param end: the exit status, or what went wrong
    """

    host: str
    script: Script
    sent: int
    begun: float = dataclasses.field(default_factory=time.time)
    seconds: float = 0
    received: int = 0
    end: str = ""

    @contextlib.contextmanager
    def taken(self) -> t.Iterator[t.Callable[[int, bytes, str], None]]:
        """Measure what is done meanwhile, and tell it; an error is told too, and raised."""
        start = time.monotonic()
        try:
            yield self._answered
        except Exception as error:
            self.end = type(error).__name__
            raise
        finally:
            self.seconds = time.monotonic() - start
            self._tell()

    def _answered(self, rc: int, stdout: bytes, stderr: str) -> None:
        self.received, self.end = len(stdout) + len(stderr.encode(errors="replace")), f"rc {rc}"

    def _tell(self) -> None:
        display = Display()
        if display.verbosity >= 3:
            sizes = f"{self.sent} bytes sent, {self.received} received"
            line = f"{self.script.what}: {self.seconds * 1000:.0f} ms, {sizes}, {self.end}"
            display.vvv(line, host=self.host)
        if display.verbosity >= 4 and self.script.calls:
            display.vvvv(printable(self.script.shown), host=self.host)
        if file := os.environ.get(VARIABLE):
            append(file, [self._lane(), self._event()])

    def _lane(self) -> dict[str, t.Any]:
        """Name the lane of the host, which has the same number in all processes."""
        return {"ph": "M", "name": "thread_name", "args": {"name": self.host}} | self._place

    def _event(self) -> dict[str, t.Any]:
        times = {"ts": round(self.begun * 1e6), "dur": round(self.seconds * 1e6)}
        said = {"sent": self.sent, "received": self.received, "end": self.end}
        return {"ph": "X", "name": self.script.what, "args": said} | times | self._place

    @property
    def _place(self) -> dict[str, int]:
        return {"pid": 1, "tid": zlib.crc32(self.host.encode(errors="replace"))}


def append(file: str, events: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    """Append events to a file of a trace, which other processes do as well.

    A file that cannot be written costs the trace, and no deployment.
    """
    text = "".join(f"{json.dumps(event)},\n" for event in events)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        Display().warning(f"{VARIABLE}: {error}")
        return
    with os.fdopen(descriptor, "ab") as trace:
        fcntl.flock(trace, fcntl.LOCK_EX)
        trace.write((text if os.fstat(descriptor).st_size else f"[\n{text}").encode())

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: limits of time and of output for calls that have none of their own."""

from __future__ import annotations

import contextlib
import contextvars
import os
import pathlib
import signal
import threading
import time
import typing as t

Result = t.TypeVar("Result")

# Seconds between two looks: soon after the begin and while something comes, then more seldom.
_SOON, _LOOK = 0.01, 0.1


class TooMuchError(Exception):
    """A call has read more than it may."""


def within(
    seconds: float,
    call: t.Callable[[], Result],
    *,
    begun: t.Callable[[], bool] = lambda: True,
    before: float = 0,
    limit: int = 0,
) -> Result:
    """Return what ``call`` returns, or stop waiting for it after ``seconds``.

    A blocked ``exec_command`` cannot be interrupted for every connection plugin, so it is left
    behind in a daemon thread, and the programs that it has started are killed. A signal would do,
    but SIGALRM belongs to the task's ``timeout`` (ansible-core, ``_task_timeout``), which still
    interrupts the wait below.

    :param begun: whether what the time is meant for has begun, :param before: seconds for that
    :param limit: bytes that this process may read meanwhile, 0 for no limit
    :raises TimeoutError: the call did not return in time
    :raises TooMuchError: it has read too much
    """
    outcome: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # handed to the caller's thread, whatever it is
            errors.append(error)

    children, read = _children(), _bytes_read()
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    end, latest = time.monotonic() + seconds, time.monotonic() + seconds + before
    pause, seen = _SOON, read
    while thread.is_alive():
        thread.join(max(0, min(pause, end - time.monotonic())))
        now = _bytes_read()
        if limit and now - read > limit:
            _kill(_children() - children)
            raise TooMuchError
        pause, seen = (_SOON if now - seen > limit / 16 else min(pause * 2, _LOOK)), now
        if not begun():
            end = min(latest, time.monotonic() + seconds)
        if time.monotonic() >= end and thread.is_alive():
            _kill(_children() - children)
            raise TimeoutError
    if errors:
        raise errors[0]
    return outcome[0]


def _bytes_read() -> int:
    """Return what this process has read until now, from whatever file; 0 where nobody counts."""
    try:
        return int(pathlib.Path("/proc/self/io").read_text().split()[1])
    except OSError:
        return 0


def _children() -> set[int]:
    """Return the processes that this one has started, by whichever thread; none without /proc."""
    found: set[int] = set()
    for children in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found.update(int(pid) for pid in children.read_text().split())
    return found


def _kill(children: set[int]) -> None:
    """End what would go on to read for nobody. A control master of ssh is no child any more."""
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)

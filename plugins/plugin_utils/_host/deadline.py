# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: a time limit for calls that have none of their own."""

from __future__ import annotations

import contextvars
import threading
import typing as t

Result = t.TypeVar("Result")


def within(seconds: float, call: t.Callable[[], Result]) -> Result:
    """Return what ``call`` returns, or stop waiting for it after ``seconds``.

    A blocked ``exec_command`` cannot be interrupted for every connection plugin, so it is left
    behind in a daemon thread. A signal would do, but SIGALRM belongs to the task's ``timeout``
    (ansible-core, ``_task_timeout``), which still interrupts the wait below.

    :raises TimeoutError: the call did not return in time.
    """
    outcome: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # handed to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if errors:
        raise errors[0]
    return outcome[0]

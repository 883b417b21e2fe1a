# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error that ends a task. Private to the collection.

Decides what a failed task's result looks like: a sentence for people in `msg`, and beside it the
details a program or a careful reader wants.
"""

from __future__ import annotations

import traceback


class ClosureError(Exception):
    """Ends a task; an expected failure, shown without a traceback.

    `message` is a sentence: what failed, on which host or path, and what to do now.
    `details` go into the task's result beside it: cmd, rc, stdout, stderr and the like.
    """

    def __init__(self, message: str, /, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = details


def unreadable(host: str, error: Exception) -> ClosureError:
    """The error of an answer that is not what was asked for, with what reading it raised."""
    trace = "".join(traceback.format_exception(error))
    return ClosureError(
        f"{host} gave an answer that cannot be read ({type(error).__name__}: {error}). Look at "
        "what its /bin/sh and its login print, and run the task again with -vvv for the place.",
        exception=trace,
    )


def as_result(error: ClosureError) -> dict[str, object]:
    """The task result of `error`: its details, with `failed` and `msg`, which no detail hides."""
    return {**error.details, "failed": True, "msg": error.message}

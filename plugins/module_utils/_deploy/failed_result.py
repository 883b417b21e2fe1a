# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people see of a failed task's result. Private to the collection."""

from __future__ import annotations

import typing as t

#: Why it failed, what the failed units said, and where the whole output is.
_SHOWN = ("msg", "unit_logs", "logs")
#: What programs said. Of each, the last lines are shown: an error comes last.
_SAID = ("stdout", "stderr")
_LINES = 5


def what_matters(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the about ten lines of a failed result for which somebody looks at it.

    Units that failed have said more in their own logs than programs have of them.
    """
    shown = {key: result[key] for key in _SHOWN if key in result}
    if "unit_logs" not in shown:
        shown |= {key: _last_lines(result[key]) for key in _SAID if result.get(key)}
    return shown


def _last_lines(said: object) -> str:
    return "\n".join(str(said).splitlines()[-_LINES:])

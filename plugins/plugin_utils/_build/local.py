# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating on the controller itself, for plugins without a task."""

from __future__ import annotations

import subprocess
import typing as t
from collections.abc import Sequence

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._build.nix import (
    Request,
    evaluation,
    explain_evaluation,
    parse_evaluation,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    options_goal,
    problems_of,
    values_of,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script

_HOST = "host"


def local_options(request: Request, options: Sequence[str], directory: str) -> list[t.Any]:
    """Return the values of options, in their order.

    :param directory: what relative paths in an expression start from
    :raises ClosureError: one of them has no value, or the configuration does not evaluate
    """
    goal = options_goal(options, details=False)
    expression = evaluation({_HOST: request}, goal, alone=True)
    words = ("configured", "", "evaluate", directory, "false", expression)
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=script(*words).text,
        capture_output=True,
        text=True,
        check=False,
    )
    found = parse_evaluation(done.stdout, goal)[_HOST] if done.returncode == 0 else None
    if found is None:
        raise ClosureError(explain_evaluation(done.stderr, request))
    if problems := problems_of(found):
        raise ClosureError("\n".join(problems))
    values = values_of(found)
    return [values[option] for option in options]

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: evaluating on the controller itself, for plugins without a task."""

from __future__ import annotations

import subprocess
import typing as t
from collections.abc import Sequence

from ansible_collections.closure.nixos.plugins.module_utils._build.evaluation import (
    data_of,
    parse_answers,
    shares_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nix_errors import (
    explain_evaluation,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.nixos_options import (
    option_units,
    read_options,
)
from ansible_collections.closure.nixos.plugins.module_utils._build.request import Request
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._build.nix_files import nix_files
from ansible_collections.closure.nixos.plugins.plugin_utils._host.scripts import script


def local_options(
    request: Request, host: str, options: Sequence[str], directory: str
) -> list[t.Any]:
    """Return the values of options, in their order.

    :param directory: what relative paths in an expression start from
    :raises ClosureError: one of them has no value, or the configuration does not evaluate
    """
    requests, units = {host: request}, option_units(host, options, details=False)
    shares = shares_of(requests, units, 1)
    files = nix_files(data_of(requests, shares), {"size.0": str(len(units))})
    words = ("configured", "", "looking_up", directory, "false", "evaluate", files)
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=script(*words, "option", "1", "0", request.expression).text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ClosureError(f"The controller does not evaluate: {done.stderr.strip()}")
    answers = parse_answers(done.stdout, shares)
    found = read_options(answers, units, lambda it: explain_evaluation(it.stderr, request))
    if found.errors:
        raise ClosureError("\n".join(dict.fromkeys(found.errors.values())))
    return [found.values[option] for option in options]

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what a run does whose ``--tags`` or ``--skip-tags`` name steps.

A step needs those before it, and a system on trial is never left alone. So tasks are not chosen one
by one: the tags say how far a deployment goes, as ``deploy_stop_after`` does.
"""

from __future__ import annotations

import collections.abc as c

from ansible_collections.closure.nixos.plugins.module_utils._deploy.options import (
    Options,
    without_hooks,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

#: The tags. All but the last are steps, in their order; the activation has its confirmation.
TAGS = ("build", "copy", "activate", "check")
_STEPS = TAGS[:-1]
# What has to do with another system, which a run that only checks does not bring.
_ONLY_CHECKS: Options = {
    "only_checks": True,
    "stop_after": None,
    "rollback_scope": "host",
    "finish_later": False,
    "history": 0,
    "keep": None,
    "retention": None,
    "unknown_profile": "adopt",
    "updaters": "ignore",
    "dirty": "allow",
    "min_healthy": 0,
}
#: The options of a run whose tags name nothing of the role.
NOTHING: Options = {"hold": None, "finish_later": False, "only_checks": False}


def with_tags(options: Options, asked: c.Collection[str], skipped: c.Collection[str]) -> Options:
    """Return the options of a run that is to do what its tags ask for.

    :param asked: those of our tags whose tasks run
    :param skipped: what ``--skip-tags`` names
    :raises ClosureError: what is to be skipped is needed, or nothing is left to do
    """
    if set(asked) == {"check"}:
        return _only_checks(options)
    last = [step for step in _STEPS if step in asked][-1]
    _require(options, last, skipped)
    stops = {last, options["stop_after"] or "activate"}
    first = next(step for step in _STEPS if step in stops)
    return options | {"stop_after": None if first == "activate" else first}


def warning_of_tags(options: Options, asked: c.Collection[str]) -> str:
    """Return what there is to say about health checks that tags leave out, or nothing."""
    if "check" in asked or options["stop_after"] or not options["checks"]:
        return ""
    return (
        "the tags of this run leave out deploy_checks, so that a system is confirmed when it lets "
        "us in, whatever its services do. Add the tag check to check it"
    )


def _only_checks(options: Options) -> Options:
    if not options["checks"]:
        raise ClosureError(
            "The tag check alone runs deploy_checks on the hosts as they are, and deploy_checks "
            "names no file. Name one, or add the tag activate. No host was changed."
        )
    return without_hooks(options) | _ONLY_CHECKS


def _require(options: Options, last: str, skipped: c.Collection[str]) -> None:
    is_built = bool(options["path"] or options["archive"])
    if last == "build" and is_built:
        raise ClosureError(
            "deploy_path is built already, so the tag build leaves nothing to do. "
            "No host was changed."
        )
    for step in _STEPS[: _STEPS.index(last)]:
        if step in skipped and not (step == "build" and is_built):
            later = ",".join(_STEPS[_STEPS.index(step) :])
            raise ClosureError(
                f"The tag {step} cannot be skipped, because {last} needs what it brings. "
                f"Skip {later} to end before it, or do not skip it. No host was changed."
            )

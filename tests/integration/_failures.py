# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the role fails in test_deploy_failures; a unit test sees that no task is missing."""

from __future__ import annotations

import dataclasses
import typing as t

SECRETS = {"deploy_secrets": {"t-failures": {"content": "1"}}}


@dataclasses.dataclass(frozen=True)
class Case:
    """Failures of one run.

    :param fails: by host the tasks that fail, in their order. NODE-WORD is another name of NODE,
        for what fails before a host is changed
    :param sick: the hosts whose check fails first
    :param ends: which system they have at the end: ``old`` or ``new``; ``boots``: what boots is old
    :param variables: of all hosts, and ``own`` by host
    """

    fails: dict[str, tuple[str, ...]]
    ends: str = "old"
    sick: tuple[str, ...] = ()
    variables: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    own: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)


_BATCH = {"deploy_before_batch": "hook.yml"}
_AFTER = {"deploy_after_host": "hook.yml"}
_PROFILE = {"attr": '"{{ inventory_hostname }}".pkgs.hello', "name": "t-failures"}
_PROFILES = {"deploy_profiles": [_PROFILE | {"command": ["bin/hello"]}]}

CASES = {
    "before": Case(
        {
            # Of several hosts, the first runs what comes before the batch.
            "node1-leader": ("Remember that they succeeded",),
            "node1-hook": ("Require that they succeeded",),
            "node1-tasks": ("Run the tasks for all hosts",),
            "node1-options": ("Take the options",),
            "node1-look": ("Look at the host", "End the deployment of the host"),
            "node2-may": ("See whether the host may be deployed",),
            "node2-build": ("Evaluate and build the systems of all hosts",),
            "node2-bring": ("Bring the system to the host", "See what became of the host"),
            "node2-copy": ("Copy what the host does not have", "Leave a record on the host"),
            "node2-prepare": ("Put the secrets before the activation", "Run the tasks"),
            "node3-trial": ("Activate the system on trial",),
            "node3-need": ("Look whether the system needs a reboot",),
            "node3-way": ("Activate the system with a reboot or without",),
            "node3-boot": ("Have the host boot the system",),
            "node3-say": ("Say what happened",),
        },
        variables={"deploy_keep": 9},
        own={
            "node1-leader": _BATCH,
            "node1-hook": _BATCH,
            "node1-tasks": _BATCH,
            "node2-prepare": SECRETS | _AFTER,
            "node3-need": {"deploy_reboot": "required"},
            "node3-way": {"deploy_reboot": "required"},
            "node3-boot": {"deploy_action": "reboot"},
            "node3-say": {"deploy_stop_after": "build"},
        },
    ),
    "trial": Case(
        {
            "node1": ("Require that the others are deployed",),
            "node2": ("Check and confirm a system that runs",),
            "node3": ("Confirm the system",),
        },
        own={"node1": {"deploy_rollback_scope": "batch"}, "node2": {"deploy_action": "auto"}},
    ),
    # The guard ends a trial that nobody ends.
    "way back": Case(
        {
            "node1": ("Confirm the system", "Roll back"),
            "node2": ("Remember why",),
            "node3": ("Put back the secrets that a trial has not",),
        },
        sick=("node2", "node3"),
        variables={"deploy_check_timeout": "10"} | SECRETS,
        # Those of hosts with other files have their own order.
        own={"node1": {"deploy_checks": []}},
    ),
    "profiles": Case(
        {
            "node1-build": ("Evaluate and build the profiles",),
            "node1-look": ("Look at the profiles",),
            "node2": ("Copy what the host does not have of them",),
            "node3": ("Activate the profiles", "Roll back the other profiles"),
        },
        variables=_PROFILES,
    ),
    # What was booted once and could not be undone runs; what boots is the old system.
    "reboot": Case(
        {
            "node1": ("Put the secrets again after the reboot",),
            "node2": ("Reboot",),
            "node3": ("Boot the old system",),
        },
        ends="boots",
        sick=("node1", "node3"),
        variables={"deploy_action": "reboot"} | SECRETS,
    ),
    "plain": Case(
        {
            "node1": ("Record the system in the profile",),
            "node2": ("Activate the system",),
            "node3": ("Put the secrets",),
        },
        ends="boots",
        variables={"deploy_confirm": "false"} | SECRETS,
    ),
    "end": Case(
        {
            "node1": ("Keep the newest generations",),
            "node2": ("Leave a record on the host",),
            "node3": ("Delete old generations and collect garbage",),
        },
        ends="new",
        variables={"deploy_keep": "9", "deploy_retention": {"keep": 9, "collect": False}},
    ),
}

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback P(closure.nixos.summary#callback): one line a host at the end of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: summary
type: aggregate
short_description: One line for each deployed host at the end of a run
version_added: 0.1.0
description:
  - Shows what became of each host that the role P(closure.nixos.deploy#role) was to deploy, also of
    those that could not be reached and those whose batch never began.
  - When a run is interrupted, it says which hosts have a system on trial, and until when.
  - Works beside any stdout callback. It shows nothing beside one that prints JSON.
author:
  - closure.nixos contributors (@closure-nixos)
requirements:
  - Enable it with C(callbacks_enabled = closure.nixos.summary) in C(ansible.cfg).
"""

import atexit
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    Outcome,
    line,
    on_trial_until,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import read_by_people

_COLLECTION = "closure.nixos."
_ENDS_A_TRIAL = ("nixos_switch", "nixos_confirm", "nixos_rollback")
_COLORS = {"unchanged": "green", "failed": "red", "unreachable": "red", "not begun": "red"}


class CallbackModule(CallbackBase):
    """Listens to the role's tasks, and shows the lines when the run has ended in any way."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "closure.nixos.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, **keywords: t.Any) -> None:
        """Be there also at the end of a run that is interrupted, of which no event tells."""
        super().__init__(**keywords)
        self._play: t.Any = None
        self._outcomes: dict[str, Outcome] = {}
        self._check_timeouts: dict[str, int] = {}
        self._trials: dict[str, float] = {}
        self._shown = False
        self._pid = os.getpid()
        atexit.register(self._show)

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Know the play whose hosts the role will deploy."""
        self._play = play

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Keep what a task of ours has said."""
        name, host, said = _task(result), result.host.name, result.result
        # With tags of something else, the role does not begin.
        if name == "deploy_options" and "started" in said:
            self._begin(host, said)
        elif name == "deploy_outcome" and "ansible_stats" in said:
            self._keep(said["ansible_stats"]["data"]["closure_nixos"][host])
        self._follow(name, host, said)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Keep what became of a trial, and why a host was refused."""
        name, host, said = _task(result), result.host.name, result.result
        if name == "deploy_options":
            self._begin(host, said)
            self._outcomes[host] = Outcome(host, "failed", "FAILED", str(said.get("msg")))
        self._follow(name, host, said)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Keep that a host of the role was lost."""
        host = result.host.name
        if host in self._outcomes:
            words = str(result.result.get("msg"))
            self._outcomes[host] = Outcome(host, "unreachable", "unreachable", words)

    def v2_playbook_on_stats(self, _stats: t.Any) -> None:
        """Show the lines."""
        self._show()

    def _begin(self, host: str, said: t.Mapping[str, t.Any]) -> None:
        """Count the hosts of all batches, the first time that one of them begins."""
        manager = self._play.get_variable_manager()
        for name in manager.get_vars(play=self._play)["ansible_play_hosts_all"]:
            self._outcomes.setdefault(name, Outcome(name, "not begun", "not begun"))
        self._outcomes[host] = Outcome(host, "failed", "not finished")
        self._check_timeouts[host] = said.get("options", {}).get("check_timeout", 0)

    def _keep(self, data: dict[str, t.Any]) -> None:
        known = {key: value for key, value in data.items() if key != "failed"}
        self._outcomes[data["host"]] = Outcome(**known)

    def _follow(self, name: str, host: str, said: t.Mapping[str, t.Any]) -> None:
        """Know the hosts that have a system on trial."""
        if said.get("unconfirmed"):
            self._trials[host] = time.time() + self._check_timeouts.get(host, 0)
        elif name in _ENDS_A_TRIAL and (not said.get("failed") or said.get("rolled_back")):
            self._trials.pop(host, None)

    def _show(self) -> None:
        if self._shown or os.getpid() != self._pid or not self._outcomes or not read_by_people():
            return
        self._shown = True
        self._display.banner("DEPLOYMENT")
        width = max(map(len, self._outcomes))
        for host, outcome in self._outcomes.items():
            found = outcome
            if host in self._trials:
                found = Outcome(host, "failed", "ON TRIAL", on_trial_until(self._trials[host]))
            color = _COLORS.get(found.status, "yellow")
            self._display.display(line(found, width), color=color)


def _task(result: t.Any) -> str:
    """Return the name of a module of ours, or nothing."""
    action = str(result.task.resolved_action or result.task.action)
    return action.removeprefix(_COLLECTION) if action.startswith(_COLLECTION) else ""

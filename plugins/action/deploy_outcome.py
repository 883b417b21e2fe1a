# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.deploy_outcome): what became of a host that was deployed."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible import constants as C
from ansible.utils.display import Display
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    Outcome,
    ends_play,
    failure_of,
    has_begun,
    is_of,
    line,
    outcome_of,
    play_of,
    sentence,
    was_deployed,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import DEPLOY_OUTCOME
from ansible_collections.closure.nixos.plugins.plugin_utils._host.action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import read_by_people


class ActionModule(ClosureAction):
    """Tell by the results that the role has registered; nothing is asked of the host."""

    spec = DEPLOY_OUTCOME
    _requires_connection = False

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the outcome of this host, or whether others have failed."""
        if args["hosts"]:
            return self._others(args["hosts"])
        name, own = self.task_vars["inventory_hostname"], self.task_vars
        if args["why"]:
            # What failed first is said first.
            causes = filter(None, [failure_of(own), args["why"]])
            why = ". Then ".join(cause.rstrip(".") for cause in causes)
            failure = {"why": why, "started": own["__deploy_taken"]["started"]}
            own = {**own, "__deploy_failure": failure}
            return failure | _stats(outcome_of(name, own, self.check, time.time()))
        found = outcome_of(name, own, self.check, time.time(), args["cause"])
        if not args["show"]:
            seen = {"outcome": _data(found), "ends_run": self._ends_run(), "msg": sentence(found)}
            return {"changed": False, **seen}
        self._show(found)
        result = {"changed": False, "failed": found.failed, "msg": sentence(found)}
        return result if found.failed else result | _stats(found)

    def _others(self, hosts: list[str]) -> dict[str, t.Any]:
        hostvars = self.task_vars["hostvars"]
        missing = [host for host in hosts if not was_deployed(hostvars[host])]
        result = {"changed": False, "not_deployed": missing, "failed": bool(missing)}
        return result | {
            "msg": f"these hosts were not deployed: {', '.join(missing)}"
            if missing
            else "all are deployed"
        }

    def _ends_run(self) -> bool:
        """Whether the play changes nothing any more, and has changed something."""
        hostvars, play = self.task_vars["hostvars"], self._task.get_play()
        every, left, now = (
            self.task_vars[f"ansible_play_{name}"] for name in ("hosts_all", "hosts", "batch")
        )
        if not any(has_begun(hostvars[host]) for host in every):
            return False
        this = play_of(str(play._uuid))
        to_come = [it for it in left if it not in now and not is_of(hostvars[it], this)]
        batch = self.task_vars["__deploy_taken"]["batch"]
        failed = [it for it in batch if it not in left or not was_deployed(hostvars[it])]
        most, fatal = play.max_fail_percentage, bool(play.any_errors_fatal)
        return not to_come or ends_play(len(failed), len(batch), most, fatal)

    def _show(self, outcome: Outcome) -> None:
        # With the callback, the lines come together at the end. A failure Ansible shows by itself.
        together = "closure.nixos.summary" in C.CALLBACKS_ENABLED
        if read_by_people() and not (together or outcome.failed):
            width = max(map(len, self.task_vars["ansible_play_hosts_all"]))
            Display().display(line(outcome, width), color=_color(outcome))


def _stats(outcome: Outcome) -> dict[str, t.Any]:
    """Return an outcome as ansible.builtin.set_stats has it, for AWX and ansible-runner.

    Ansible takes no stats from a task that fails.
    """
    data = {outcome.host: _data(outcome)}
    stats = {"data": {"closure_nixos": data}, "per_host": False, "aggregate": True}
    return {"changed": False, "ansible_stats": stats}


def _data(outcome: Outcome) -> dict[str, t.Any]:
    return dataclasses.asdict(outcome) | {"failed": outcome.failed}


def _color(outcome: Outcome) -> str:
    return "yellow" if outcome.status in ("deployed", "planned") else "green"

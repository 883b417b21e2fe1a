# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: rolling back to a recorded system."""

from __future__ import annotations

import dataclasses
import time

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    RollbackOptions,
    SwitchOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import (
    Result,
    untouched,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.steps import left_to_do
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Generation,
    Target,
    name_system,
    profile_diff,
    rollback_target,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import Activation
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.attendance import (
    order_back,
    roll_back_unattended,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.plain import judge
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    activate,
    look_again,
    read_facts,
    require_room,
    set_profile,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import (
    settled,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, demand
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


@dataclasses.dataclass(frozen=True)
class Rollback:
    """The procedure of a switch to a recorded system, which the profile is pointed at first."""

    host: Host
    options: SwitchOptions
    goal: Target
    progress: Progress

    def meets(self, facts: Facts) -> bool:
        """Have a trial rolled back that nobody attends."""
        return roll_back_unattended(facts, self.host)

    def left(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to do.

        :raises ClosureError: the host does not have the system any more
        """
        if not facts.asked.valid:
            what = f"generation {self.goal.number} is " if self.goal.number else ""
            raise ClosureError(
                f"{self.host.name}: {what}{self.goal.path}, which is not in the host's store, or "
                "not any more. Copy it there with closure.nixos.nix_copy_closure, or choose "
                f"another. {what_exists(facts.generations)}",
                path=self.goal.path,
            )
        return left_to_do(self.options, facts)

    def require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        """Refuse a system for which the host is too full."""
        require_room(self.host, facts, self.options.profile)

    def take(self, facts: Facts, steps: tuple[Step, ...]) -> tuple[JobResult, Facts]:
        """Point the profile there, now that no other switch runs, and activate."""
        if facts.profile != self.goal.path:
            set_profile(self.host, self.options.profile, self.goal.path, self.goal.number)
        ended = activate(self.host, facts, steps, self.options, self.progress)
        return ended, look_again(self.host, self.options.profile, facts.asked, ended)

    def judge(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> Result:
        """Tell what was done; to have set the profile is a change."""
        result = judge(self.host, self.options, steps[-1], before, after, ended)
        result["changed"] |= before.profile != after.profile
        return result


def roll_back(
    host: Host, options: RollbackOptions, progress: Progress, check: bool, diff: bool
) -> Result:
    """Return the result of the module nixos_rollback.

    :raises ClosureError: there is nothing to roll back to; the host is left as it was
    """
    facts = read_facts(host, options.profile)
    waits = facts.on_trial
    if waits and not check:
        order_back(host, options.why)
        facts = settled(host, options.profile, facts, progress)
    if (facts.boot.unconfirmed or facts.boot.once) and not check:
        demand(host, "tried_forget", options.profile, request="tried-forget")
    if options.to == "unconfirmed" or (waits and options.to is None):
        result = _from_trial(host, options, facts, waits)
        return result | _from_boot(facts, check) if facts.boot.once and not waits else result
    goal = _target(host, facts, options.to)
    same = SwitchOptions(
        options.action, goal.path, options.profile, lost_units="warn", timeout=options.timeout
    )
    procedure = Rollback(host, same, goal, progress)
    result = Activation(host, same, procedure, progress, check, diff).run()
    if facts.profile != goal.path:
        result |= {
            "diff": _difference(result, options.profile, facts, goal),
            "msg": _sentence(result, facts, goal, options.action, check),
        }
    if result.get("failed") and options.to is None:
        result["msg"] += f" To try again, set to: {goal.number}."
    return result | {
        "rolled_back": False,
        "from": facts.current and dataclasses.asdict(facts.current),
        "to": dataclasses.asdict(goal),
    }


def _from_trial(host: Host, options: RollbackOptions, facts: Facts, changed: bool) -> Result:
    """Return the result of rolling back a system on trial, which the host's guard does.

    :param changed: whether we had it roll back
    """
    start = time.monotonic()
    # A trial that has ended otherwise is told of to the run that began it.
    guard, mine = facts.guard, (facts.deployment or {}).get("run") == host.task_run.id
    if guard and not (guard.waits or changed or guard.run == host.task_run.id):
        guard = None
    now = read_facts(host, options.profile, str(facts.running))
    story = f"has nothing on trial and runs {name_system(facts.running)}"
    if guard:
        story = f"would roll back to {name_system(guard.old)}" if guard.waits else guard.story
    elif mine and facts.deployment and facts.deployment["outcome"] == "rollback-failed":
        story = f"has rebooted and runs {name_system(facts.running)}: {facts.deployment['why']}"
    if guard and changed and guard.state == "returned":
        others = f" from the trial of {guard.who}" if guard.run != host.task_run.id else ""
        story = f"rolled back to {name_system(guard.old)}{others}"
    return untouched(now, now) | {
        "changed": changed,
        "failed": bool(guard and guard.state == "lost"),
        "rolled_back": bool(guard and guard.state == "returned"),
        "msg": story,
        "from": facts.current and dataclasses.asdict(facts.current),
        "to": {"number": None, "path": guard.old if guard else facts.running},
        "seconds": round(time.monotonic() - start, 3),
    }


def _from_boot(facts: Facts, check: bool) -> Result:
    """Return the result of taking back that the next boot tries a system."""
    verb = "would not try" if check else "does not try"
    story = f"{verb} {facts.boot.once} at its next boot any more"
    return {"changed": True, "msg": story}


def _sentence(result: Result, before: Facts, goal: Target, action: Action, check: bool) -> str:
    origin = f"generation {before.current.number}" if before.current else "no generation"
    way = f"from {origin} to {name_system(goal.path, goal.number)}"
    if result.get("failed"):
        return f"{way}: {result['msg']}"
    verb = "would roll back" if check else "rolled back"
    return f"{verb} {way}" + (", which boots from now on" if action is Action.BOOT else "")


def _recorded(facts: Facts, to: str | None) -> tuple[Generation, ...]:
    """Return the generations to choose from: one that nobody confirmed is chosen by number only."""
    if to is not None:
        return facts.generations
    unconfirmed = facts.boot.unconfirmed
    return tuple(it for it in facts.generations if it.current or it.number != unconfirmed)


def _target(host: Host, facts: Facts, to: str | None) -> Target:
    try:
        return rollback_target(_recorded(facts, to), to, facts.booted)
    except ClosureError as error:
        raise ClosureError(f"{host.name}: {error.message}") from error


def _difference(result: Result, profile: str, before: Facts, goal: Target) -> list[dict[str, str]]:
    units = [result["diff"]] if "diff" in result else []
    return [profile_diff(profile, before.profile, goal.path), *units]

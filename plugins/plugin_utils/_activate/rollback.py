# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: going back to a recorded system."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    Target,
    name_system,
    profile_diff,
    profile_path,
    rollback_target,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.activation import Activation
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    read_facts,
    require_room,
    require_root,
    require_system,
    set_profile,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.trial import (
    order_back,
    settled,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


@dataclasses.dataclass
class _GoingBack(Activation):
    """An activation that points the profile at its goal first."""

    goal: Target

    def _plan(self, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        self._require_there(facts)
        return super()._plan(facts, steps)

    def _activate(self, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        """Point the profile there, now that no other switch runs, and activate."""
        self._require_there(facts)
        require_root(self.host, facts)
        require_system(self.host, facts, self.goal.path)
        require_room(self.host, facts, self.profile)
        if facts.profile != self.goal.path:
            goal = self.goal
            generations = set_profile(self.host, self.profile, goal.path, goal.number)
            facts = dataclasses.replace(facts, generations=generations)
        return super()._activate(facts, steps)

    def _require_there(self, facts: Facts) -> None:
        if facts.valid:
            return
        what = f"generation {self.goal.number} is " if self.goal.number else ""
        raise ClosureError(
            f"{self.host.name}: {what}{self.goal.path}, which is not in the host's store, or not "
            "any more. Copy it there with closure.nixos.nix_copy_closure, or choose another. "
            + what_exists(facts.generations),
            path=self.goal.path,
        )


def roll_back(
    host: Host, args: dict[str, t.Any], progress: Progress, check: bool, diff: bool
) -> dict[str, t.Any]:
    """Return the result of the module nixos_rollback, whose arguments these are.

    :raises ClosureError: there is nothing to go back to; the host is left as it was
    """
    profile = profile_path(args["profile"])
    facts = read_facts(host, profile)
    waits = bool(facts.guard and facts.guard.waits)
    if waits and not check:
        order_back(host, args["why"])
        facts = settled(host, profile, facts, progress)
    if args["to"] == "unconfirmed" or (waits and args["to"] is None):
        return _from_trial(host, args, progress, facts, waits)
    goal = _target(host, facts, args["to"])
    same = _switch_arguments(args, goal.path)
    result = _GoingBack(host, same, progress, check, diff, goal).run()
    if facts.profile != goal.path:
        result |= {
            "changed": True,
            "diff": _difference(result, profile, facts, goal),
            "msg": _sentence(result, facts, goal, args["action"], check),
        }
    if result.get("failed") and args["to"] is None:
        result["msg"] += f" To try again, set to: {goal.number}."
    return result | {
        "rolled_back": False,
        "from": facts.current and dataclasses.asdict(facts.current),
        "to": dataclasses.asdict(goal),
    }


def _from_trial(
    host: Host, args: dict[str, t.Any], progress: Progress, facts: Facts, changed: bool
) -> dict[str, t.Any]:
    """Return the result of going back from a system on trial, which the host's guard does."""
    # A trial that has ended is told of to the run that began it.
    guard = facts.guard
    if guard and not guard.waits and guard.run != host.task_run.id:
        guard = None
    name = name_system(facts.running)
    same = _switch_arguments(args | {"action": "test"}, str(facts.running))
    result = Activation(host, same, progress, check=True, diff=False).run()
    story = f"has nothing on trial and runs {name}"
    if guard:
        story = f"would go back to {name_system(guard.old)}" if guard.waits else guard.story
    if guard and changed and guard.state == "returned":
        story = f"went back to {name_system(guard.old)}"
    return result | {
        "changed": changed,
        "failed": bool(guard and guard.state == "lost"),
        "rolled_back": bool(guard and guard.state == "returned"),
        "msg": story,
        "from": facts.current and dataclasses.asdict(facts.current),
        "to": {"number": None, "path": guard.old if guard else facts.running},
    }


def _sentence(
    result: dict[str, t.Any], before: Facts, goal: Target, action: str, check: bool
) -> str:
    origin = f"generation {before.current.number}" if before.current else "no generation"
    way = f"from {origin} to {name_system(goal.path, goal.number)}"
    if result.get("failed"):
        return f"{way}: {result['msg']}"
    verb = "would go back" if check else "went back"
    return f"{verb} {way}" + (", which boots from now on" if action == "boot" else "")


def _target(host: Host, facts: Facts, to: str | None) -> Target:
    try:
        return rollback_target(facts.generations, to, facts.booted)
    except ClosureError as error:
        raise ClosureError(f"{host.name}: {error.message}") from error


def _switch_arguments(args: dict[str, t.Any], path: str) -> dict[str, t.Any]:
    """Return the arguments of nixos_switch for the same, with the defaults of all others."""
    same = {name: args[name] for name in ("action", "profile", "timeout")}
    result = ArgumentSpecValidator(**NIXOS_SWITCH).validate(same | {"path": path})
    return t.cast(dict[str, t.Any], result.validated_parameters)


def _difference(
    result: dict[str, t.Any], profile: str, before: Facts, goal: Target
) -> list[dict[str, str]]:
    units = [result["diff"]] if "diff" in result else []
    return [profile_diff(profile, before.profile, goal.path), *units]

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_rollback): goes back to a recorded system."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.closure.nixos.plugins.action.nixos_switch import ActionModule as Switch
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._facts import Facts, Step
from ansible_collections.closure.nixos.plugins.module_utils._generations import (
    Target,
    profile_diff,
    profile_path,
    rollback_target,
    what_exists,
)
from ansible_collections.closure.nixos.plugins.module_utils._specs import (
    NIXOS_ROLLBACK,
    NIXOS_SWITCH,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._system import (
    read_facts,
    require_room,
    require_root,
    require_system,
    set_profile,
)


class ActionModule(Switch):
    """Choose what to go back to, and switch there, the profile first."""

    spec = NIXOS_ROLLBACK

    _goal: Target

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Go back, or in check mode say where to and what that would do."""
        host, profile = self.target(), profile_path(args["profile"])
        facts = read_facts(host, profile)
        self._goal = _target(host, facts, args["to"])
        result = super().act(_switch_arguments(args, self._goal.path))
        if facts.profile != self._goal.path:
            result |= {
                "changed": True,
                "diff": _difference(result, profile, facts, self._goal),
                "msg": self._sentence(result, facts, args["action"]),
            }
        if result.get("failed") and args["to"] is None:
            result["msg"] += f" To try again, set to: {self._goal.number}."
        return result | {
            "from": facts.current and dataclasses.asdict(facts.current),
            "to": dataclasses.asdict(self._goal),
        }

    def _sentence(self, result: dict[str, t.Any], before: Facts, action: str) -> str:
        origin = f"generation {before.current.number}" if before.current else "no generation"
        way = f"from {origin} to {_named(self._goal.number, self._goal.path)}"
        if result.get("failed"):
            return f"{way}: {result['msg']}"
        verb = "would go back" if self.check else "went back"
        return f"{verb} {way}" + (", which boots from now on" if action == "boot" else "")

    def _plan(self, host: Host, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        self._require_there(host, facts)
        return super()._plan(host, facts, steps)

    def _activate(
        self,
        host: Host,
        facts: Facts,
        steps: tuple[Step, ...],
        profile: str,
        args: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """Point the profile there, now that no other switch runs, and activate."""
        path = self._goal.path
        self._require_there(host, facts)
        require_root(host, facts)
        require_system(host, facts, path)
        require_room(host, facts)
        if facts.profile != path:
            generations = set_profile(host, profile, path, self._goal.number)
            facts = dataclasses.replace(facts, generations=generations)
        return super()._activate(host, facts, steps, profile, args)

    def _require_there(self, host: Host, facts: Facts) -> None:
        if facts.valid:
            return
        what = f"generation {self._goal.number} is " if self._goal.number else ""
        raise ClosureError(
            f"{host.name}: {what}{self._goal.path}, which is not in the host's store, or not any "
            "more. Copy it there with closure.nixos.nix_copy_closure, or choose another. "
            + what_exists(facts.generations),
            path=self._goal.path,
        )


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


def _named(number: int | None, path: str) -> str:
    """Name a system for people: its generation, and the name in its path without the hash."""
    name = path.rpartition("/")[2].partition("-")[2]
    return f"generation {number}, {name}" if number else name

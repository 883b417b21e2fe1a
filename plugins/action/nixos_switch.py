# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of M(closure.nixos.nixos_switch): activates a NixOS system."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._facts import Facts, needed_step
from ansible_collections.closure.nixos.plugins.module_utils._generations import profile_path
from ansible_collections.closure.nixos.plugins.module_utils._specs import NIXOS_SWITCH
from ansible_collections.closure.nixos.plugins.module_utils._store import (
    check_store_path,
    closure_diff,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.module_utils._switch import (
    Plan,
    outcome,
    parse_report,
    show_plan,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._action import ClosureAction
from ansible_collections.closure.nixos.plugins.plugin_utils._copy import closure_of
from ansible_collections.closure.nixos.plugins.plugin_utils._host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._job import Ended
from ansible_collections.closure.nixos.plugins.plugin_utils._system import (
    UNIT,
    activate,
    plan,
    read_facts,
    require_root,
    require_system,
)

# What every result has, whatever was done.
_KEYS = (
    "plan",
    "report",
    "exit_code",
    "outcome",
    "stdout",
    "stderr",
)


class ActionModule(ClosureAction):
    """Find out what is left to do, and do only that."""

    spec = NIXOS_SWITCH

    def act(self, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Activate the system, or in check mode say what that would do."""
        start = time.monotonic()
        host, profile = self.target(), profile_path(args["profile"])
        facts = self._facts(host, profile, args)
        step = needed_step(args["action"], facts, str(facts.path))
        if not step:
            result: dict[str, t.Any] = {
                "changed": False,
                "msg": f"already runs {_named(facts, facts.path)}",
            }
        elif self.check or step == "dry-activate":
            result = self._plan(host, facts, step)
        else:
            result = self._activate(host, facts, step, profile, args)
        return {
            **dict.fromkeys(_KEYS),
            **_state(facts),
            "path": facts.path,
            "system_before": facts.running,
            "system_after": facts.running,
            "failed_units_before": list(facts.failed_units),
            **result,
            "seconds": round(time.monotonic() - start, 3),
        }

    def _facts(self, host: Host, profile: str, args: dict[str, t.Any]) -> Facts:
        """Return the host's state once no switch runs there, ours or anyone's."""
        path = check_store_path(args["path"]) if args["path"] else ""
        end = time.monotonic() + args["timeout"]
        while (facts := read_facts(host, profile, path)).switching:
            if time.monotonic() > end:
                raise ClosureError(f"{host.name} is still busy with another switch: {UNIT}.")
            self.progress().say("waits for another switch that runs on the host")
            time.sleep(2)
        if facts.path is None:
            raise ClosureError(
                f"{host.name} has no profile {profile}: set it with "
                "closure.nixos.nix_profile_set, or name a path."
            )
        return facts

    def _plan(self, host: Host, facts: Facts, step: str) -> dict[str, t.Any]:
        """Say what the step would do."""
        if not facts.valid:
            message = f"{facts.path} is not on the host yet, so its units cannot be planned"
            return {"changed": True, "msg": message}
        require_root(host, facts)
        require_system(host, facts, str(facts.path))
        if step == "boot":
            return {"changed": True, "msg": f"would boot {_named(facts, facts.path)} from now on"}
        units = plan(host, str(facts.path))
        return {
            "changed": step != "dry-activate",
            "plan": dataclasses.asdict(units),
            "diff": {"prepared": self._difference(host, facts, units)},
            "msg": f"would {step} to {_named(facts, facts.path)}",
        }

    def _activate(
        self, host: Host, facts: Facts, step: str, profile: str, args: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Do the step, and tell its result by the links it left as well as by its words."""
        require_root(host, facts)
        require_system(host, facts, str(facts.path))
        if step != "test":
            _require_profile(host, facts, profile)
        planned = self._plan(host, facts, step) if self.diff else {}
        words = (str(facts.path), step, str(int(args["install_bootloader"])))
        ended = activate(host, words, args["timeout"], self.progress())
        after = read_facts(host, profile, str(facts.path))
        return {**planned, **_result(host, step, facts, after, ended)}

    def _difference(self, host: Host, facts: Facts, units: Plan) -> str:
        if not self.diff:
            return ""
        old = closure_of(host, facts.running) if facts.running else {}
        return render_diff(closure_diff(old, closure_of(host, str(facts.path)))) + show_plan(units)


def _require_profile(host: Host, facts: Facts, profile: str) -> None:
    # The boot loader finds its default by the generation's link, and says nothing when there is
    # none (nixpkgs, systemd-boot-builder.py).
    if facts.profile != facts.path:
        raise ClosureError(
            f"{host.name}: {profile} does not hold {facts.path}, so the host would go on to boot "
            "its old system. Set it first, with closure.nixos.nix_profile_set.",
            path=facts.path,
        )


def _result(host: Host, step: str, before: Facts, after: Facts, ended: Ended) -> dict[str, t.Any]:
    path = str(before.path)
    report = parse_report(ended.stderr, ended.stdout)
    verdict = outcome(ended.exit_code, report)
    # Where nobody saw the end, the links decide.
    lost = ended.exit_code is None and not needed_step(step, after, path)
    done = "now boots" if step == "boot" else "now runs"
    result = {
        **_state(after),
        "changed": (before.running, before.boots(path)) != (after.running, after.boots(path)),
        "system_after": after.running,
        "exit_code": ended.exit_code,
        "outcome": verdict.name,
        "report": dataclasses.asdict(report),
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "msg": f"{done} {_named(after, path)}, ran {_named(before, before.running)}",
    }
    if verdict.name == "ok" or lost:
        return result
    truth = f"{host.name} runs {after.running} and boots {after.loader_default or 'what it did'}."
    return {**result, "failed": True, "msg": f"{verdict.sentence} {truth}"}


def _state(facts: Facts) -> dict[str, t.Any]:
    return {
        "generation": facts.current and dataclasses.asdict(facts.current),
        "failed_units": list(facts.failed_units),
        "reboot_required": bool(facts.reboot_reasons),
        "reboot_reasons": list(facts.reboot_reasons),
    }


def _named(facts: Facts, path: str | None) -> str:
    """Name a system for people: its generation, and the name in its path without the hash."""
    name = (path or "").rpartition("/")[2].partition("-")[2] or "nothing"
    current = facts.current
    return f"generation {current.number}, {name}" if current and current.path == path else name

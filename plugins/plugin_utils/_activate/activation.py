# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what is left of an activation, that step, and its result."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Facts,
    Step,
    check_specialisation,
    needed_steps,
    remembered,
    standing,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    Report,
    UnitPlan,
    excuse,
    failed_units,
    is_excused,
    matching,
    outcome,
    parse_report,
    recovered,
    show_plan,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.generations import (
    name_system,
    profile_path,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    check_store_path,
    closure_diff,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    LOGS,
    activate,
    follow,
    look_at,
    plan,
    read_facts,
    require_room,
    require_root,
    require_system,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import closure_of

# What every result has, whatever was done.
_KEYS = (
    "plan",
    "report",
    "exit_code",
    "outcome",
    "stdout",
    "stderr",
    "logs",
)


@dataclasses.dataclass
class Activation:
    """Activating a system on a host: finds out what is left to do, and does only that.

    :param args: of the module nixos_switch
    :param check: only say what would be done, :param diff: show the change
    """

    host: Host
    args: dict[str, t.Any]
    progress: Progress
    check: bool
    diff: bool

    def __post_init__(self) -> None:
        """Resolve the profile's name."""
        self.profile = profile_path(self.args["profile"])
        self._give_up = time.monotonic() + self.args["lock_timeout"]

    def run(self) -> dict[str, t.Any]:
        """Return the module's result, with the same keys whatever was done.

        :raises ClosureError: the host is left as it was, with what to do about it
        """
        start = time.monotonic()
        result = self._once()
        # Another switch began between our look and our start. It shut ours out before it did
        # anything, so that ours may look and begin again.
        while result["outcome"] == "locked" and time.monotonic() < self._give_up:
            self.progress.say("another switch was faster, waits for it")
            time.sleep(2)
            changed = result["changed"]
            result = self._once()
            result["changed"] |= changed
        return result | {"seconds": round(time.monotonic() - start, 3)}

    def _once(self) -> dict[str, t.Any]:
        """Do what is left to do, unless another switch shuts us out."""
        result: dict[str, t.Any]
        before = facts = self._facts()
        left, begun = self._left(before), before.activation
        if begun and not self._looks:
            facts = self._facts(acknowledged=True)
        check_specialisation(facts)
        steps = self._steps(facts)
        if left and begun and not steps:
            steps, before = begun.steps, remembered(begun, before)
            result = self._outcome(steps, before, facts, left)
        elif not steps:
            result = {"changed": False, "msg": _nothing(facts)}
        elif self.check or steps[0].action == "dry-activate":
            result = self._plan(facts, steps)
        else:
            result = self._activate(facts, steps)
        return {
            **dict.fromkeys(_KEYS),
            **_state(facts),
            "actions": [step.action for step in steps],
            "path": facts.path,
            "system_before": before.running,
            "system_after": facts.running,
            "failed_units_before": list(before.failed_units),
            "newly_failed_units": [],
            **result,
        }

    def _facts(self, acknowledged: bool = False) -> Facts:
        """Return the host's state once nobody else switches there."""
        path = check_store_path(self.args["path"]) if self.args["path"] else ""
        special, limit = _specialisation(self.args), self.args["lock_timeout"]
        while (facts := read_facts(self.host, self.profile, path, special, acknowledged)).switcher:
            if facts.activation and not self._looks and not _on_trial(facts):
                break
            if time.monotonic() > self._give_up:
                raise ClosureError(
                    f"{self.host.name} is still busy with another switch, after {limit} s: "
                    f"{facts.switcher}. Run the task again when that has ended."
                )
            self.progress.say(f"waits for another switch: {facts.switcher}")
            time.sleep(2)
        if facts.path is None:
            raise ClosureError(
                f"{self.host.name} has no profile {self.profile}: set it with "
                "closure.nixos.nix_profile_set, or name a path."
            )
        return facts

    def _steps(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to do."""
        action, force = self.args["action"], self.args["force"]
        # The links do not tell of units that a killed activation has left stopped.
        return needed_steps(action, facts, force or (facts.is_half_switched and action != "boot"))

    def _left(self, facts: Facts) -> JobResult | None:
        """Wait for the end of what a run that was cut off has left behind, if it is our system."""
        if self._looks or not facts.activation:
            return None
        self.progress.say("follows the activation that an earlier run has left behind")
        ended = follow(self.host, self.args["timeout"], self.progress)
        wanted = facts.activation.steps[-1].path == _live(facts)
        return ended if wanted and ended.exit_code is not None else None

    @property
    def _looks(self) -> bool:
        """Whether the task leaves the host alone."""
        return bool(self.check or self.args["action"] == "dry-activate")

    def _plan(self, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        """Say what the steps would do."""
        if not facts.valid:
            message = f"{facts.path} is not on the host yet, so its units cannot be planned"
            return {"changed": True, "msg": message}
        last = steps[-1]
        require_root(self.host, facts)
        require_system(self.host, facts, str(facts.path))
        if last.action == "boot":
            difference = {"prepared": self._difference(facts, last.path)}
            message = f"would boot {_booting(facts)} from now on"
            return {"changed": True, "diff": difference, "msg": message}
        units = plan(self.host, last.path)
        if units is None:
            return _locked()
        return {
            "changed": last.action != "dry-activate",
            "plan": dataclasses.asdict(units),
            "diff": {"prepared": self._difference(facts, last.path, units)},
            "msg": f"would {last.action} to {_named(facts, last.path)}",
        }

    def _activate(self, facts: Facts, steps: tuple[Step, ...]) -> dict[str, t.Any]:
        """Take the steps, and tell their result by the links they left as well as by words."""
        require_root(self.host, facts)
        require_system(self.host, facts, str(facts.path))
        self._require_ready(facts, steps)
        if steps[-1].action != "boot":
            _require_no_inhibitors(self.host, facts)
        if facts.in_maintenance:
            self.progress.warn(f"{self.host.name} {standing(facts)}")
        planned = self._plan(facts, steps) if self.diff else {}
        if planned.get("failed"):
            return planned
        ended = self._take(facts, steps)
        special = _specialisation(self.args)
        after = read_facts(self.host, self.profile, str(facts.path), special, acknowledged=True)
        return {**planned, **self._outcome(steps, facts, after, ended)}

    def _require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        """Refuse to make a system the boot default that cannot be."""
        if steps[0].action != "test":
            _require_profile(self.host, facts, self.profile)
            require_room(self.host, facts, self.profile)

    def _take(self, facts: Facts, steps: tuple[Step, ...]) -> JobResult:
        install, limit = self.args["install_bootloader"], self.args["timeout"]
        return activate(self.host, facts, steps, install, limit, self.progress)

    def _outcome(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> dict[str, t.Any]:
        return _report(steps[-1], before, after, ended) | self._judge(before, after, ended)

    def _judge(self, before: Facts, after: Facts, ended: JobResult) -> dict[str, t.Any]:
        """Tell whether what was done is a failure of the task."""
        report = parse_report(ended.stderr, ended.stdout)
        counted = _counted(self.host, before, report, self.args["ignore_units"])
        verdict = outcome(ended.exit_code, counted)
        result: dict[str, t.Any] = {"newly_failed_units": list(failed_units(counted))}
        # Where nobody saw the end, the links decide.
        lost = ended.how == "gone" and not needed_steps(self.args["action"], after)
        fell = after.in_maintenance and not before.in_maintenance
        if (verdict.name == "ok" or lost) and not fell:
            return result
        if verdict.name == "failed-units" and not fell:
            if self.args["failed_units"] == "ignore" or is_excused(report, counted):
                return result
            if self.args["failed_units"] == "warn":
                return result | {"warnings": [f"{self.host.name}: {verdict.sentence}"]}
        holder = f"It is {after.switcher}. " if after.switcher and not _on_trial(after) else ""
        truth = f"{holder}{self.host.name} {standing(after)}"
        return result | {"failed": True, "msg": f"{verdict.sentence} {truth}"}

    def _difference(self, facts: Facts, path: str, units: UnitPlan | None = None) -> str:
        if not self.diff:
            return ""
        old = closure_of(self.host, facts.running) if facts.running else {}
        packages = render_diff(closure_diff(old, closure_of(self.host, path)))
        return packages + facts.boot_changes + (show_plan(units) if units else "")


def _on_trial(facts: Facts) -> bool:
    return bool(facts.guard and facts.guard.waits)


def _specialisation(args: dict[str, t.Any]) -> str:
    # A specialisation is no generation, so that the boot loader cannot have it as its default.
    if args["specialisation"] and args["action"] in ("boot", "auto"):
        raise ClosureError(
            f"action: {args['action']} knows no specialisation. Use switch, which boots the system "
            "and activates its specialisation, or test, which only activates it."
        )
    return args["specialisation"] or ""


def _require_profile(host: Host, facts: Facts, profile: str) -> None:
    # The boot loader finds its default by the generation's link, and says nothing when there is
    # none (nixpkgs, systemd-boot-builder.py).
    if facts.profile != facts.path:
        raise ClosureError(
            f"{host.name}: {profile} does not hold {facts.path}, so the host would go on to boot "
            "its old system. Set it first, with closure.nixos.nix_profile_set.",
            path=facts.path,
        )


def _require_no_inhibitors(host: Host, facts: Facts) -> None:
    if facts.unchecked_inhibitors:
        raise ClosureError(
            f"{host.name}: a running host cannot change {' and '.join(facts.unchecked_inhibitors)} "
            "safely, and the NixOS that runs is too old to refuse it itself. Use action: auto or "
            "boot, and reboot the host.",
            path=facts.path,
            outcome="inhibited",
        )


def _counted(host: Host, before: Facts, report: Report, ignored: list[str]) -> Report:
    """Return the report without the failures that are not for this task to answer for."""
    known = excuse(report, (*before.failed_units, *matching(failed_units(report), ignored)))
    units = failed_units(known)
    return excuse(known, recovered(known, look_at(host, units))) if units else known


def _report(step: Step, before: Facts, after: Facts, ended: JobResult) -> dict[str, t.Any]:
    path = str(before.path)
    report = parse_report(ended.stderr, ended.stdout)
    done = (
        f"boots {_booting(after)}" if step.action == "boot" else f"runs {_named(after, step.path)}"
    )
    return {
        **_state(after),
        "changed": (before.running, before.boots(path)) != (after.running, after.boots(path)),
        "system_after": after.running,
        "exit_code": ended.exit_code,
        "outcome": outcome(ended.exit_code, report).name,
        "report": dataclasses.asdict(report),
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "logs": LOGS,
        "msg": f"now {done} (was {_number(before, before.running) or before.running})"
        + (", in maintenance mode" if after.in_maintenance else ""),
    }


def _state(facts: Facts) -> dict[str, t.Any]:
    return {
        "generation": facts.current and dataclasses.asdict(facts.current),
        "failed_units": list(facts.failed_units),
        "reboot_required": bool(facts.reboot_reasons),
        "reboot_reasons": list(facts.reboot_reasons),
    }


def _locked() -> dict[str, t.Any]:
    """Say that another switch shut out what was to be planned."""
    found = outcome(None, Report(lock_busy=True))
    return {"changed": False, "failed": True, "outcome": found.name, "msg": found.sentence}


def _live(facts: Facts) -> str | None:
    return facts.system.path if facts.system else facts.path


def _nothing(facts: Facts) -> str:
    if facts.running == _live(facts):
        return f"already runs {_named(facts, facts.running)}"
    return f"already boots {_booting(facts)}"


def _booting(facts: Facts) -> str:
    """Name the system that a reboot brings, and what needs the reboot."""
    reasons = f" (reboot for: {', '.join(facts.reboot_reasons)})" if facts.reboot_reasons else ""
    return _named(facts, facts.path) + reasons


def _named(facts: Facts, path: str | None) -> str:
    """Name a system for people, by the generation that records it."""
    return name_system(path, _number(facts, path))


def _number(facts: Facts, path: str | None) -> int | None:
    """Return the current generation if it records the path, else the newest that does."""
    newest_last = sorted(facts.generations, key=lambda entry: (entry.current, entry.number))
    numbers = [entry.number for entry in newest_last if entry.path == path]
    return numbers[-1] if numbers else None

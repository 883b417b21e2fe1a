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
    remembered,
    standing,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    SwitchOptions,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    UnitPlan,
    parse_report,
    show_plan,
    show_report,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import (
    Result,
    booting,
    locked,
    named,
    nothing_left,
    untouched,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import (
    closure_diff,
    render_diff,
)
from ansible_collections.closure.nixos.plugins.module_utils._store.toplevel import check_toplevel
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.early import plan_early
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.plain import left_failed
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    follow,
    plan,
    read_facts,
    require_system,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host, require_root
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress
from ansible_collections.closure.nixos.plugins.plugin_utils._store.closure import (
    closure_of,
    has_path,
    read_toplevel,
)


class Procedure(t.Protocol):
    """A way to bring a host to a system: :class:`Plain`, :class:`Trial` or :class:`Rollback`."""

    def left(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to do."""

    def meets(self, facts: Facts) -> bool:
        """Deal with a trial that waits on the host: True when it is ours from now on."""

    def require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        """Raise ClosureError unless the steps may start. Changes nothing."""

    def take(self, facts: Facts, steps: tuple[Step, ...]) -> tuple[JobResult, Facts]:
        """Take the steps; return how they ended, and what the host is then."""

    def judge(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> Result:
        """Return the result of steps that have ended, as keys of the module's result."""


@dataclasses.dataclass
class Activation:
    """Bringing a host to a system: finds out what is left to do, and does only that.

    :param check: only say what would be done, :param diff: show the change
    :param source: where the system is while the host does not have it, for its plan
    """

    host: Host
    options: SwitchOptions
    procedure: Procedure
    progress: Progress
    check: bool
    diff: bool
    source: Host | None = None

    def run(self) -> Result:
        """Return the module's result, with the same keys whatever was done.

        :raises ClosureError: the host is left as it was, with what to do about it
        """
        start = time.monotonic()
        give_up = start + self.options.lock_timeout
        result = self._once(give_up)
        # Another switch began between our look and our start. It shut ours out before it did
        # anything, so that ours may look and begin again.
        while result["outcome"] == "locked" and time.monotonic() < give_up:
            self.progress.say("another switch was faster, waits for it")
            time.sleep(2)
            changed = result["changed"]
            result = self._once(give_up)
            result["changed"] |= changed
        return result | {"seconds": round(time.monotonic() - start, 3)}

    def _once(self, give_up: float) -> Result:
        """Do what is left to do, unless another switch shuts us out."""
        before = facts = self._facts(give_up)
        left_behind, begun = self._left_behind(before), before.activation
        if begun and not self._looks:
            facts = self._facts(give_up, acknowledged=True)
        if begun and not begun.steps:
            facts = dataclasses.replace(facts, activation=begun)
            self.progress.warn(
                f"{self.host.name}: what its last activation was cannot be read, so it counts as "
                "interrupted, and the host is activated once more."
            )
        facts = self._foretold(facts)
        check_specialisation(facts)
        steps = self.procedure.left(facts)
        if left_behind and begun and not steps:
            steps, before = begun.steps, remembered(begun, before)
            result = self.procedure.judge(steps, before, facts, left_behind)
        elif not steps:
            # A trial of the system that another run has begun.
            trial = {"unconfirmed": True} if facts.on_trial else {}
            result = {
                "msg": nothing_left(facts),
                **trial,
                **left_failed(self.host, self.options, facts),
            }
        elif self._looks:
            result = self._plan(facts, steps, self._difference(facts, steps))
        else:
            result = self._activate(facts, steps)
        return untouched(before, facts, steps) | result

    def _facts(self, give_up: float, acknowledged: bool = False) -> Facts:
        """Return the host's state once nobody else switches there."""
        asked = (self.options.profile, self.options.path, self.options.specialisation)
        while (facts := read_facts(self.host, *asked, acknowledged)).switcher:
            if facts.activation and not self._looks and not facts.on_trial:
                break
            # Who only looks waits for no trial.
            if facts.on_trial and (self._looks or self.procedure.meets(facts)):
                break
            if time.monotonic() > give_up:
                raise ClosureError(
                    f"{self.host.name} is still busy with another switch, after "
                    f"{self.options.lock_timeout} s: {self._switcher(facts)}. Run the task again "
                    "when that has ended."
                )
            self.progress.say(f"waits for another switch: {self._switcher(facts)}")
            time.sleep(2)
        if facts.asked.path is None:
            raise ClosureError(
                f"{self.host.name} has no profile {self.options.profile}: set it with "
                "closure.nixos.nix_profile_set, or name a path."
            )
        return facts

    def _switcher(self, facts: Facts) -> str:
        """Say who switches, and how to end a trial that somebody attends."""
        way = f"; to end it now: ansible-playbook closure.nixos.rollback --limit {self.host.name}"
        armed = facts.guard and facts.guard.state == "armed"
        return f"{facts.switcher}{way if armed else ''}"

    def _left_behind(self, facts: Facts) -> JobResult | None:
        """Wait for the end of what a run that was cut off has left behind, if it is our system."""
        if self._looks or not facts.activation or not facts.activation.steps:
            return None
        self.progress.say("follows the activation that an earlier run has left behind")
        ended = follow(self.host, self.options.timeout, self.progress)
        wanted = facts.activation.steps[-1].path == facts.live_path
        return ended if wanted and ended.exit_code is not None else None

    @property
    def _looks(self) -> bool:
        """Whether the task leaves the host alone."""
        return self.check or self.options.action.only_looks

    def _plan(self, facts: Facts, steps: tuple[Step, ...], difference: str) -> Result:
        """Say what the steps would do."""
        last = steps[-1]
        if not (facts.asked.valid or (self.source and facts.system)):
            message = f"{facts.asked.path} is not on the host yet, so its units cannot be planned"
            return {"changed": True, "msg": message}
        require_root(self.host, facts.login.user)
        if facts.asked.valid:
            require_system(self.host, facts)
        if last.action is Action.BOOT:
            message = f"would boot {booting(facts)} from now on"
            return {"changed": True, "diff": {"prepared": difference}, "msg": message}
        if self.source and not facts.asked.valid:
            return self._plan_early(self.source, facts, last)
        units = plan(self.host, last.path, self.options.skip_checks)
        return self._planned(facts, last, units, difference)

    def _plan_early(self, source: Host, facts: Facts, last: Step) -> Result:
        """Say what the last step would do with a system that only the source has."""
        early = plan_early(source, self.host, last.path, self.options.skip_checks)
        result = self._planned(facts, last, early.units, "")
        if early.why:
            said = f"{early.why}. Its units are planned by their files, so that nothing is certain."
            result |= {"warnings": [said]}
        return result | {"plan_sent": early.sent}

    def _foretold(self, facts: Facts) -> Facts:
        """Return the facts with what the source says of a system that the host does not have.

        :raises ClosureError: it is no system for the host
        """
        path = str(facts.asked.path)
        if facts.asked.valid or not self.source or not has_path(self.source, path):
            return facts
        live = f"{path}/specialisation/{facts.asked.specialisation}"
        names = [path, *([live] if facts.asked.specialisation else [])]
        found = {name: read_toplevel(self.source, name) for name in names}
        if system := found[path]:
            check_toplevel(system, facts.platform)
        return dataclasses.replace(facts, toplevels=facts.toplevels | found)

    def _planned(self, facts: Facts, last: Step, units: UnitPlan | None, difference: str) -> Result:
        if units is None:
            return locked()
        verb = "activate" if self.options.action is Action.TEST else "switch to"
        return {
            "changed": not last.action.only_looks,
            "plan": dataclasses.asdict(units),
            "diff": {"prepared": difference + show_plan(units)},
            "msg": f"would {verb} {named(facts, last.path)}",
        }

    def _activate(self, facts: Facts, steps: tuple[Step, ...]) -> Result:
        """Take the steps, and tell their result by the links they left as well as by words."""
        require_root(self.host, facts.login.user)
        require_system(self.host, facts)
        self.procedure.require_ready(facts, steps)
        if steps[-1].action.activates and not self.options.skip_checks:
            _require_no_inhibitors(self.host, facts)
        if facts.in_maintenance:
            self.progress.warn(f"{self.host.name} {standing(facts)}")
        difference = self._difference(facts, steps)
        planned = self._plan(facts, steps, difference) if self.diff else {}
        if planned.get("failed"):
            return planned
        ended, after = self.procedure.take(facts, steps)
        if planned.get("plan"):
            done = show_report(parse_report(ended.stderr, ended.stdout))
            planned["diff"] = {"prepared": difference + done}
        return planned | self.procedure.judge(steps, facts, after, ended)

    def _difference(self, facts: Facts, steps: tuple[Step, ...]) -> str:
        """Show what differs between the system that runs and the one to come, but for units."""
        if not self.diff or not facts.asked.valid:
            return ""
        old = closure_of(self.host, facts.running) if facts.running else {}
        new = closure_of(self.host, steps[-1].path)
        return render_diff(closure_diff(old, new)) + facts.boot_changes


def _require_no_inhibitors(host: Host, facts: Facts) -> None:
    if facts.unchecked_inhibitors:
        raise ClosureError(
            f"{host.name}: a running host cannot change {' and '.join(facts.unchecked_inhibitors)} "
            "safely, and the NixOS that runs is too old to refuse it itself. Use action: auto or "
            "boot, and reboot the host.",
            path=facts.asked.path,
            outcome="inhibited",
        )

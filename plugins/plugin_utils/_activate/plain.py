# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: an activation without a way back, and how one is judged."""

from __future__ import annotations

import dataclasses

from ansible_collections.closure.nixos.plugins.module_utils._activate.facts import (
    Facts,
    Step,
    standing,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import SwitchOptions
from ansible_collections.closure.nixos.plugins.module_utils._activate.report import (
    Report,
    all_failed,
    excuse,
    excuse_snippets,
    excuse_users,
    is_excused,
    last_lines,
    matching,
    outcome,
    parse_report,
    recovered,
    users_who_left,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import (
    Result,
    done,
    standing_keys,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.steps import (
    left_to_do,
    needed_steps,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.attendance import (
    roll_back_unattended,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._activate.target import (
    LOGS,
    activate,
    logs_of,
    look_again,
    look_at,
    require_room,
    same_snippets,
)
from ansible_collections.closure.nixos.plugins.plugin_utils._host.host import Host
from ansible_collections.closure.nixos.plugins.plugin_utils._host.job import JobResult
from ansible_collections.closure.nixos.plugins.plugin_utils._host.progress import Progress


@dataclasses.dataclass(frozen=True)
class Plain:
    """The procedure of a switch that stays, whatever comes of it."""

    host: Host
    options: SwitchOptions
    progress: Progress

    def meets(self, facts: Facts) -> bool:
        """Have a trial rolled back that nobody attends."""
        return roll_back_unattended(facts, self.host)

    def left(self, facts: Facts) -> tuple[Step, ...]:
        """Return what is left to do."""
        return left_to_do(self.options, facts)

    def require_ready(self, facts: Facts, steps: tuple[Step, ...]) -> None:
        """Refuse to make a system the boot default that cannot be."""
        if steps[0].action.changes_boot:
            _require_profile(self.host, facts, self.options.profile)
            require_room(self.host, facts, self.options.profile)

    def take(self, facts: Facts, steps: tuple[Step, ...]) -> tuple[JobResult, Facts]:
        """Take the steps, and look at the host again."""
        ended = activate(self.host, facts, steps, self.options, self.progress)
        return ended, look_again(self.host, self.options.profile, facts.asked, ended)

    def judge(
        self, steps: tuple[Step, ...], before: Facts, after: Facts, ended: JobResult
    ) -> Result:
        """Tell what was done, and whether it is a failure of the task."""
        return judge(self.host, self.options, steps[-1], before, after, ended)


def _require_profile(host: Host, facts: Facts, profile: str) -> None:
    # The boot loader finds its default by the generation's link, and says nothing when there is
    # none (nixpkgs, systemd-boot-builder.py).
    path = facts.asked.path
    if facts.profile != path:
        raise ClosureError(
            f"{host.name}: {profile} does not hold {path}, so the host would go on to boot "
            "its old system. Set it first, with closure.nixos.nix_profile_set.",
            path=path,
        )


def judge(
    host: Host, options: SwitchOptions, last: Step, before: Facts, after: Facts, ended: JobResult
) -> Result:
    """Return the result of steps that have ended, whichever procedure took them.

    :param last: the step that was the last
    """
    report, warnings = _refusals(host, after, parse_report(ended.stderr, ended.stdout))
    path = str(before.asked.path)
    result = {
        **standing_keys(after),
        "changed": _state(before, path) != _state(after, path),
        "system_after": after.running,
        "exit_code": ended.exit_code,
        "outcome": outcome(ended.exit_code, report).name,
        "report": dataclasses.asdict(report),
        "units": after.units.changes and dataclasses.asdict(after.units.changes),
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "logs": LOGS,
        "msg": done(last, before, after),
    }
    judged = _joined(result | warnings, _verdict(host, options, report, before, after, ended))
    if judged.get("failed"):
        del judged["report"]["messages"]  # people see the output once
    return judged


def _state(facts: Facts, path: str) -> tuple[str | None, bool, str | None]:
    """Return what a step changes of a host: what runs, what boots, and the entries beside it."""
    return facts.running, facts.boots(path), facts.loader.menu


def _refusals(host: Host, after: Facts, report: Report) -> tuple[Report, Result]:
    """Return the report with the units that systemd did not stop, and a warning that names them.

    systemd refuses to stop what has RefuseManualStop, and switch-to-configuration passes that over.
    """
    changes = after.units.changes
    quiet = tuple(it for it in report.stopped if changes and it not in changes.acted)
    looks = look_at(host, quiet) if quiet else ()
    kept = tuple(it for it in quiet if all(look[it].active == "active" for look in looks))
    if not kept:
        return report, {}
    stopped = tuple(unit for unit in report.stopped if unit not in kept)
    sentence = (
        f"{host.name}: systemd refused to stop these units, as their RefuseManualStop says, so "
        f"that they go on as they were until the host reboots: {', '.join(kept)}."
    )
    report = dataclasses.replace(report, stopped=stopped, refused=kept)
    return report, {"warnings": [sentence]}


def _verdict(
    host: Host,
    options: SwitchOptions,
    report: Report,
    before: Facts,
    after: Facts,
    ended: JobResult,
) -> Result:
    """Tell whether what was done is a failure of the task."""
    counted = _counted(host, before, after, report, options.ignore_units)
    verdict = outcome(ended.exit_code, counted)
    result: Result = {"newly_failed_units": list(all_failed(counted))}
    # Where nobody saw the end, the links decide.
    unseen = ended.how == "gone" and not needed_steps(options.action, after)
    fell = after.in_maintenance and not before.in_maintenance
    if (verdict.name == "ok" or unseen) and not fell:
        return _joined(result, _lost(host, options, after))
    if is_excused(ended.exit_code, report, counted) and not fell:
        return _joined(result, _excuses(host, before, report), _lost(host, options, after))
    if verdict.name == "failed-units" and not fell and options.failed_units != "fail":
        warns = options.failed_units == "warn"
        warning = {"warnings": [f"{host.name}: {verdict.sentence}"]} if warns else {}
        return _joined(result, warning, _lost(host, options, after))
    logs = logs_of(host, all_failed(counted))
    message = f"{verdict.sentence}{last_lines(logs)} {_truth(host, after)}"
    return result | {"failed": True, "unit_logs": logs, "msg": message}


def left_failed(host: Host, options: SwitchOptions, facts: Facts) -> Result:
    """Tell what it means that an earlier switch to what runs has left units failed."""
    units = tuple(
        it
        for it in facts.units.left_failed
        if it not in matching(facts.units.left_failed, options.ignore_units)
    )
    if not units or options.failed_units == "ignore":
        return {}
    logs = logs_of(host, units)
    sentence = (
        f"The switch to {facts.running} has left these units failed, and they still are: "
        f"{', '.join(units)}.{last_lines(logs)} Mend and start them, or set failed_units or "
        "ignore_units."
    )
    found: Result = {"newly_failed_units": list(units), "unit_logs": logs}
    if options.failed_units == "warn":
        return found | {"warnings": [f"{host.name}: {sentence}"]}
    return found | {"failed": True, "msg": f"{sentence} {_truth(host, facts)}"}


def _joined(*results: Result) -> Result:
    """Return results as one, which has the warnings of all."""
    joined: Result = {}
    for result in results:
        warnings = [*joined.get("warnings", []), *result.get("warnings", [])]
        joined |= result | ({"warnings": warnings} if warnings else {})
    return joined


def _truth(host: Host, after: Facts) -> str:
    holder = f"It is {after.switcher}. " if after.switcher and not after.on_trial else ""
    return f"{holder}{host.name} {standing(after)}"


def _lost(host: Host, options: SwitchOptions, after: Facts) -> Result:
    """Tell what it means that units do not run any more, unless they were only late."""
    lost = after.units.changes.lost if after.units.changes else ()
    lost = tuple(unit for unit in lost if unit not in matching(lost, options.ignore_units))
    if not lost or options.lost_units == "ignore":
        return {}
    looks = look_at(host, lost)
    gone = [unit for unit in lost if all(look[unit].active == "inactive" for look in looks)]
    if not gone:
        return {}
    units = " ".join(gone)
    journal = " ".join(f"-u {unit}" for unit in gone)
    sentence = (
        "The configuration was activated, but these units ran before, belong to the new system "
        f"too, and do not run any more: {units}. Something that they need has stopped them, or "
        f"nothing has started them again. Look at `journalctl {journal}` on the host, and "
        "`systemctl start` them, or set lost_units or ignore_units."
    )
    if options.lost_units == "warn":
        return {"warnings": [f"{host.name}: {sentence}"]}
    return {"failed": True, "msg": f"{sentence} {_truth(host, after)}"}


def _counted(
    host: Host, before: Facts, after: Facts, report: Report, ignored: tuple[str, ...]
) -> Report:
    """Return the report without the failures that are not for this task to answer for."""
    known = excuse(report, (*before.units.failed, *matching(all_failed(report), ignored)))
    if known.failed_snippets and before.running and after.running:
        # The old system's activation does the same, so that rolling back would not help.
        systems = (before.running, after.running)
        known = excuse_snippets(known, same_snippets(host, *systems, known.failed_snippets))
    users = known.user_units.failed_users
    units = (*all_failed(known), *(f"{user}/default.target" for user in users))
    looks = look_at(host, units) if units else ()
    return excuse_users(excuse(known, recovered(known, looks)), users_who_left(looks))


def _excuses(host: Host, before: Facts, report: Report) -> Result:
    """Say which parts of the activation script failed and do not count."""
    if not report.failed_snippets:
        return {}
    names = ", ".join(report.failed_snippets)
    return {
        "warnings": [
            f"{host.name}: its activation script failed in {names}, which is the same in "
            f"{before.running}, the system that ran before. It does not count. Mend it in "
            "system.activationScripts."
        ]
    }

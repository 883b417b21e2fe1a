# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What switch-to-configuration says. Private to the collection.

Decides what its text means, planned or done, and what its exit code and text together say about
the state the host is in. A line that no version of it is known to print is kept, never guessed at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any, Literal, NamedTuple, TypeVar

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class UserUnitPlan:
    """What dry-activate would announce for the units of logged in users.

    The words are in switch-to-configuration-ng of 26.05, but its dry-activate ends before them.
    """

    stop: tuple[str, ...] = ()
    not_restart: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    start: tuple[str, ...] = ()


#: the target that switch-to-configuration restarts each time (nixpkgs 24.05 and newer)
REACTIVATED = "sysinit-reactivation.target"


@dataclass(frozen=True)
class Expected:
    """What systemd will do beside that, by the dependencies that the unit files name."""

    stop: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    start: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitPlan:
    """What dry-activate announces. A service that is stopped and started again is in both.

    :param expected: what follows from it, and is not announced
    """

    stop: tuple[str, ...] = ()
    not_stop: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    user_units: UserUnitPlan = UserUnitPlan()
    expected: Expected = Expected()
    activate: bool = False
    restart_systemd: bool = False
    swap: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    raw: str = ""


class Inhibitor(NamedTuple):
    """What a switch inhibitor found: the value `key` has now, and the one it would have."""

    key: str
    old: str
    new: str


class FailedJob(NamedTuple):
    """A unit that could not be started, stopped, restarted or reloaded; `reason` may be ""."""

    verb: str
    unit: str
    reason: str


@dataclass(frozen=True)
class UserUnits:
    """What was done to the units of logged in users (NixOS 26.05 and newer), named USER/UNIT."""

    stopped: tuple[str, ...] = ()
    not_restarted: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    failed_units: tuple[str, ...] = ()
    failed_jobs: tuple[FailedJob, ...] = ()
    failed_users: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a run of switch-to-configuration says it did.

    `refused` are units that it says it stopped, and that systemd did not stop: no text tells that.
    """

    stopped: tuple[str, ...] = ()
    not_restarted: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    new_units: tuple[str, ...] = ()
    failed_units: tuple[str, ...] = ()
    failed_jobs: tuple[FailedJob, ...] = ()
    user_units: UserUnits = UserUnits()
    refused: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()
    failed_swap: tuple[str, ...] = ()
    activation_began: bool = False
    activation_failed: bool = False
    failed_snippets: tuple[str, ...] = ()
    restarted_systemd: bool = False
    failed_checks: tuple[str, ...] = ()
    inhibited: tuple[Inhibitor, ...] = ()
    reboot_needed: bool = False
    lock_busy: bool = False
    bootloader_failed: bool = False
    messages: tuple[str, ...] = ()


_Match = re.Match[str]


class _Rule(NamedTuple):
    """A line that switch-to-configuration prints, the field it belongs to, and what it adds."""

    pattern: re.Pattern[str]
    field: str
    values: Callable[[_Match], list[Any]]


def _units(match: _Match) -> list[Any]:
    return match[1].split(", ")


def _name(match: _Match) -> list[Any]:
    return [match[1]]


def _seen(match: _Match) -> list[Any]:
    return [True]


def _nothing(match: _Match) -> list[Any]:
    return []


def _job(match: _Match) -> list[Any]:
    return [FailedJob(match[1], match[2], match[3] or "")]


def _inhibitor(match: _Match) -> list[Any]:
    return [Inhibitor(match[1], match[2], match[3])]


def _rules(*rows: tuple[str, str, Callable[[_Match], list[Any]]]) -> tuple[_Rule, ...]:
    return tuple(_Rule(re.compile(pattern), field, values) for pattern, field, values in rows)


# nixpkgs: switch-to-configuration.pl of 2018 to 24.05, switch-to-configuration-ng main.rs of 24.11
# to 26.05. Some Perl versions turn swap off in a dry run, and say so.
_NOISE = (r"(?:C|Not c)hecking switch inhibitors.*", "messages", _nothing)

_PLAN_RULES = _rules(
    _NOISE,
    (r"would stop the following units: (.+)", "stop", _units),
    (r"would NOT stop the following changed units: (.+)", "not_stop", _units),
    (r"would restart the following units: (.+)", "restart", _units),
    (r"would reload the following units: (.+)", "reload", _units),
    (r"would start the following units: (.+)", "start", _units),
    (r"would activate the configuration\.\.\.", "activate", _seen),
    (r"would restart systemd", "restart_systemd", _seen),
    (r"(?:would stop|stopping) swap device: (.+)", "swap", _name),
)

_USER_PLAN_RULES = _rules(
    (r"would stop the following user units: (.+)", "stop", _units),
    (r"would NOT restart the following user units: (.+)", "not_restart", _units),
    (r"would restart the following user units: (.+)", "restart", _units),
    (r"would reload the following user units: (.+)", "reload", _units),
    (r"would start the following user units: (.+)", "start", _units),
)

_UNIT = r"\S+\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)"
_FAILED = r"Failed to (start|stop|restart|reload)"
_REASON = r"(?:: (.+))?"
# A unit of users that is not called one where it fails.
_OF_USERS = r"nixos-activation\.service"
# For units that came from home-manager.
_POST = r"(?: \(post-activation\))?"

_REPORT_RULES = _rules(
    _NOISE,
    (r"stopping the following units: (.+)", "stopped", _units),
    (r"NOT restarting the following changed units: (.+)", "not_restarted", _units),
    (r"reloading the following units: (.+)", "reloaded", _units),
    (r"restarting the following units: (.+)", "restarted", _units),
    (r"starting the following units: (.+)", "started", _units),
    (r"the following new units were started: (.+)", "new_units", _units),
    (r"warning: the following units failed: (.+)", "failed_units", _units),
    (rf"{_FAILED} (?!{_OF_USERS})({_UNIT}){_REASON}", "failed_jobs", _job),
    (r"stopping swap device: (.+)", "swap", _name),
    # The first is ng's, the other that of swapoff, which Perl calls.
    (r"Failed to stop swapping to (.+?): .+", "failed_swap", _name),
    (r"swapoff: (.+?): swapoff failed: .+", "failed_swap", _name),
    (r"activating the configuration\.\.\.", "activation_began", _seen),
    (r"Failed to run activate script", "activation_failed", _seen),
    (r"Activation script snippet '(.+)' failed \(\d+\)", "failed_snippets", _name),
    (r"restarting systemd\.\.\.", "restarted_systemd", _seen),
    (r"Pre-switch check '(.+)' failed", "failed_checks", _name),
    # Typographic quotes stand around the word init, if they survive the way.
    (r"Warning: the new NixOS configuration has an .+ that is", "reboot_needed", _seen),
    (r"Could not acquire lock(?: - .+)?", "lock_busy", _seen),
    # systemd-run, when a unit of this name is there (nixpkgs issue 319440).
    (r"Failed to start .*: Unit \S+ was already loaded or .*", "lock_busy", _seen),
    # Our own, when a job of this name runs (job.sh).
    (r"activation is already running on this host", "lock_busy", _seen),
    (r"Failed to install bootloader", "bootloader_failed", _seen),
)

_USER_RULES = _rules(
    (r"stopping the following user units: (.+)", "stopped", _units),
    (rf"NOT restarting{_POST} the following user units: (.+)", "not_restarted", _units),
    (rf"reloading{_POST} the following user units: (.+)", "reloaded", _units),
    (rf"restarting{_POST} the following user units: (.+)", "restarted", _units),
    (rf"starting{_POST} the following user units: (.+)", "started", _units),
    (r"warning: the following user units failed: (.+)", "failed_units", _units),
    (rf"{_FAILED} user unit ({_UNIT}){_REASON}", "failed_jobs", _job),
    (rf"{_FAILED} ({_OF_USERS}){_REASON}", "failed_jobs", _job),
    (r"warning: user activation for (.+) failed", "failed_users", _name),
)

_INHIBITORS_BEGIN = "There are changes to critical components of the system:"
_INHIBITORS_END = "Switching into this system is not recommended."
_INHIBITOR_RULES = _rules((r"(\S+) : (.*) -> (.*)", "inhibited", _inhibitor))


class _Found(defaultdict[str, list[Any]]):
    """What a text says, field by field."""

    def __init__(self) -> None:
        super().__init__(list)

    def take(self, line: str, rules: tuple[_Rule, ...], user: str = "") -> bool:
        """Add what the first rule that knows `line` makes of it; say whether there is one.

        :param user: whose units the line names, "" for the system's
        """
        for rule in rules:
            if match := rule.pattern.fullmatch(line):
                values = rule.values(match)
                whose = user if rule.field != "failed_users" else ""
                self[rule.field] += [_of(whose, value) for value in values] if whose else values
                return True
        return False

    def fields(self) -> dict[str, Any]:
        found = {name: values for name, values in self.items() if values}
        return {n: True if values[0] is True else tuple(values) for n, values in found.items()}


def _of(user: str, value: Any) -> Any:
    """Name whose unit it is."""
    if isinstance(value, FailedJob):
        return value._replace(unit=f"{user}/{value.unit}")
    return f"{user}/{value}"


def _plain(text: str) -> str:
    return _ANSI.sub("", text).replace("\r\n", "\n")


def _lines(text: str) -> Iterator[str]:
    # Not splitlines(), which also splits at characters that may stand within a line.
    return (line for line in _plain(text).split("\n") if line.strip())


def parse_unit_plan(stderr: str, stdout: str = "") -> UnitPlan:
    """What dry-activate announces, by the text it prints. Fails for no text.

    `messages` has every line that is no part of the plan but blank ones, stderr's first: what
    activation snippets say they would do. Source: nixpkgs, switch-to-configuration, Perl and ng.
    """
    own, users = _Found(), _Found()
    for line in (*_lines(stderr), *_lines(stdout)):
        if not own.take(line, _PLAN_RULES) and not users.take(line, _USER_PLAN_RULES):
            own["messages"].append(line)
    return UnitPlan(**own.fields(), user_units=UserUnitPlan(**users.fields()), raw=_plain(stderr))


def show_plan(plan: UnitPlan) -> str:
    """The plan's units for people, a line for each verb that has some."""
    verbs = ("stop", "not_stop", "restart", "reload", "start")
    own = {verb: getattr(plan, verb) for verb in verbs}
    expected = {
        f"{verb} by dependency": [
            unit for unit in getattr(plan.expected, verb) if unit != REACTIVATED
        ]
        for verb in ("stop", "restart", "start")
    }
    return _show("would ", own | expected, vars(plan.user_units))


def show_report(report: Report) -> str:
    """What was done to units, for people, a line for each verb that has some."""
    verbs = ("stopped", "not_restarted", "restarted", "reloaded", "started", "failed_units")
    done = [{verb: getattr(of, verb) for verb in verbs} for of in (report, report.user_units)]
    return _show("", *done)


def _show(would: str, units: Mapping[str, Any], users: Mapping[str, Any]) -> str:
    said = {**units, **{f"{verb} for users": of for verb, of in users.items()}}
    words = {
        verb.replace("not_", "NOT ").replace("failed_units", "failed"): of
        for verb, of in said.items()
    }
    return "".join(f"{would}{verb}: {', '.join(of)}\n" for verb, of in words.items() if of)


def parse_report(stderr: str, stdout: str) -> Report:
    """What switch, boot, test or check did, by the text it prints. Fails for no text.

    Its own words are on stderr, its children's on either (nixpkgs, switch-to-configuration, Perl
    and ng). `messages` has every line that is none of its own but blank ones, stderr's first.
    """
    own, users = _Found(), _Found()
    for stream in (stderr, stdout):
        rules, user = _REPORT_RULES, ""
        for line in _lines(stream):
            rules, user = _rules_after(line, rules), _user_after(line, user)
            if not own.take(line, rules) and not users.take(line, _USER_RULES, user):
                own["messages"].append(line)
    own["swap"] = [device for device in own["swap"] if device not in own["failed_swap"]]
    return Report(**own.fields(), user_units=UserUnits(**users.fields()))


def _user_after(line: str, user: str) -> str:
    """Whose units the lines after this one are about, until another user's turn comes."""
    match = re.fullmatch(r"reloading user units for (\S+)\.\.\.", line)
    return match[1] if match else user


def _rules_after(line: str, rules: tuple[_Rule, ...]) -> tuple[_Rule, ...]:
    """Only between these two lines does "a : b -> c" name an inhibitor (nixpkgs PR 473282)."""
    if line == _INHIBITORS_BEGIN:
        return (*_REPORT_RULES, *_INHIBITOR_RULES)
    return _REPORT_RULES if line == _INHIBITORS_END else rules


OutcomeName = Literal[
    "ok",
    "failed-units",
    "activation-failed",
    "locked",
    "reboot-required",
    "inhibited",
    "not-activated",
    "bootloader-failed",
    "unknown",
]


@dataclass(frozen=True)
class Outcome:
    """How a run of switch-to-configuration ended.

    `activated` is None where the text does not tell; then the links in /run must. `sentence` says
    what happened and what to do now.
    """

    name: OutcomeName
    activated: bool | None
    sentence: str


def outcome(exit_code: int | None, report: Report) -> Outcome:
    """How the run ended, by its exit code (None if it left none) and its text together.

    One code means several things, and a failed unit's 4 replaces the 2 of a failed activation, so
    the text decides where it can (nixpkgs, switch-to-configuration, Perl and ng).
    """
    if exit_code == 0:
        return _succeeded(report)
    if report.activation_began:
        return _activated(exit_code, report)
    return _refused(exit_code, report) or _not_begun(exit_code, report)


def _succeeded(report: Report) -> Outcome:
    if report.activation_began:
        return Outcome("ok", True, "The configuration was activated.")
    return Outcome("ok", False, "switch-to-configuration succeeded, and activated nothing.")


def _activated(exit_code: int | None, report: Report) -> Outcome:
    failures = " and ".join(_failures(exit_code, report))
    sentence = f"The configuration was activated, but {failures}. {_look(report)}"
    if exit_code in (2, 3) or (exit_code == 4 and _script_failed(report)):
        return Outcome("activation-failed", True, sentence)
    if exit_code == 4:
        return Outcome("failed-units", True, sentence)
    return _unknown(exit_code, report)


def _script_failed(report: Report) -> bool:
    # Perl has no words of its own for it, and leaves only those of the snippets.
    return report.activation_failed or bool(report.failed_snippets)


def _failures(exit_code: int | None, report: Report) -> Iterator[str]:
    if exit_code == 3:
        yield "systemd did not reload its units or set up its temporary files"
    elif _script_failed(report):
        snippets = ", ".join(report.failed_snippets)
        yield f"its activation script failed{f' in {snippets}' if snippets else ''}"
    elif exit_code == 2:
        # Perl has this code for both, and words for neither.
        yield "its activation script or the restart of systemd failed"
    if units := failed_units(report):
        yield f"these units failed: {', '.join(units)}"
    if of_users := failed_user_units(report):
        yield f"these units of users failed: {', '.join(of_users)}"
    named = {_user(unit) for unit in of_users}
    if users := [user for user in report.user_units.failed_users if user not in named]:
        yield f"the units of these users failed: {', '.join(users)}"
    elif exit_code == 4 and not units and not of_users:
        yield "systemd could not start, stop, restart or reload something"


def failed_units(report: Report | UserUnits) -> tuple[str, ...]:
    """The system's units that failed, whether in the end or in a job, each once."""
    return tuple(dict.fromkeys((*report.failed_units, *(job.unit for job in report.failed_jobs))))


def failed_user_units(report: Report) -> tuple[str, ...]:
    """The same of users' units."""
    return failed_units(report.user_units)


def all_failed(report: Report) -> tuple[str, ...]:
    """The failed units of the system, then those of users."""
    return (*failed_units(report), *failed_user_units(report))


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit; `restarts` is how often it started it again by itself."""

    active: str
    sub: str
    restarts: str


def parse_looks(text: str) -> tuple[dict[str, UnitState], ...]:
    """The looks at some units that ``settled_units`` in ``system.sh`` took, in their order."""
    looks = (block.splitlines() for block in text.strip("\n").split("\n\n"))
    return tuple(dict(map(_parse_look, lines)) for lines in looks)


def _parse_look(line: str) -> tuple[str, UnitState]:
    name, active, sub, restarts = line.split(" ")
    return name, UnitState(active, sub, restarts)


def parse_logs(text: str) -> dict[str, list[str]]:
    """What units have logged, by ``unit_logs`` in ``units.sh``; what is no text is shown as ?."""
    logs: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, said = line.partition("=")
        if equals:
            shown = "".join(each if each.isprintable() else "?" for each in said)
            logs.setdefault(name, []).append(shown)
    return logs


def last_lines(logs: Mapping[str, list[str]]) -> str:
    """The last line of each unit, as sentences; of the first three units."""
    return "".join(f" {unit} said: {lines[-1]!r}." for unit, lines in [*logs.items()][:3])


def excuse(report: Report, units: Collection[str]) -> Report:
    """The report without the failures of these units, of the system or of users.

    Where nothing else of a user failed, that user's activation did not either.
    """
    users = _without(report.user_units, units)
    had, left = ({*map(_user, failed_units(of))} for of in (report.user_units, users))
    failed = tuple(user for user in users.failed_users if user in left or user not in had)
    return replace(_without(report, units), user_units=replace(users, failed_users=failed))


def excuse_users(report: Report, users: Collection[str]) -> Report:
    """The report without what failed for these users."""
    units = tuple(unit for unit in failed_user_units(report) if _user(unit) in users)
    known = excuse(report, units)
    failed = tuple(user for user in known.user_units.failed_users if user not in users)
    return replace(known, user_units=replace(known.user_units, failed_users=failed))


def users_who_left(looks: Collection[Mapping[str, UnitState]]) -> frozenset[str]:
    """Those whose manager has ended, which ends all their units; the next login starts these."""
    states = (pair for look in looks for pair in look.items())
    return frozenset(_user(unit) for unit, state in states if state.active == "gone")


def _user(unit: str) -> str:
    """Whose unit it is, "" for the system's."""
    return unit.rpartition("/")[0]


_Failing = TypeVar("_Failing", Report, UserUnits)


def _without(report: _Failing, units: Collection[str]) -> _Failing:
    return replace(
        report,
        failed_units=tuple(unit for unit in report.failed_units if unit not in units),
        failed_jobs=tuple(job for job in report.failed_jobs if job.unit not in units),
    )


def excuse_snippets(report: Report, names: Collection[str]) -> Report:
    """The report without the failures of these parts of the activation script.

    A failure that is nobody's, as of the script itself, stays.
    """
    left = tuple(name for name in report.failed_snippets if name not in names)
    nobodys = report.activation_failed and not report.failed_snippets
    return replace(report, failed_snippets=left, activation_failed=bool(left) or nobodys)


def is_excused(exit_code: int | None, report: Report, counted: Report) -> bool:
    """Whether what failed explains an exit code of 2 or 4, and none of it counts."""
    of_users = report.user_units.failed_users
    explained = {2: report.failed_snippets, 4: all_failed(report) + of_users}.get(exit_code or 0)
    counts = all_failed(counted) or counted.user_units.failed_users or _script_failed(counted)
    return bool(explained and not counts)


def matching(units: Collection[str], patterns: Collection[str]) -> tuple[str, ...]:
    """The units whose names fit a pattern, with the wildcards that systemctl takes.

    A user's unit fits by its own name, and by USER/UNIT.
    """
    return tuple(unit for unit in units if any(_fits(unit, each) for each in patterns))


def _fits(unit: str, pattern: str) -> bool:
    return fnmatchcase(unit, pattern) or fnmatchcase(unit.rpartition("/")[2], pattern)


def recovered(report: Report, looks: Collection[Mapping[str, UnitState]]) -> tuple[str, ...]:
    """The units that failed and run after all, which systemd has started again since then.

    A unit that could not be stopped or reloaded has not recovered because it runs.
    """
    jobs = (*report.failed_jobs, *report.user_units.failed_jobs)
    stuck = {job.unit for job in jobs if job.verb in ("stop", "reload")}
    return tuple(unit for unit in all_failed(report) if unit not in stuck and _runs(unit, looks))


def _runs(unit: str, looks: Collection[Mapping[str, UnitState]]) -> bool:
    states = {look[unit] for look in looks if unit in look}
    return len(states) == 1 and all(state.active == "active" for state in states)


def _look(report: Report) -> str:
    by_user: dict[str, list[str]] = {}
    for unit in all_failed(report):
        by_user.setdefault(_user(unit), []).append(unit.rpartition("/")[2])
    commands = [f"`{_command(user, units)}`" for user, units in by_user.items()]
    return (
        f"Look at {' and '.join(commands)} on the host." if commands else "The output tells more."
    )


def _command(user: str, units: Collection[str]) -> str:
    if user:  # --user-unit would be of root's own
        return f"systemctl --user --machine={user}@ status {' '.join(units)}"
    # The journal has them also when the host was rolled back and they are gone.
    return f"journalctl {' '.join(f'-u {unit}' for unit in units)}"


def _refused(exit_code: int | None, report: Report) -> Outcome | None:
    if report.lock_busy:
        return _refusal(
            "locked",
            "another switch runs on the host. Wait until it has ended and run the task again",
        )
    if report.reboot_needed or exit_code == 100:
        return _refusal(
            "reboot-required",
            "its init is not compatible with the running one. Make the configuration the boot "
            "default, with the action boot, and reboot the host",
        )
    if report.inhibited or "switchInhibitors" in report.failed_checks:
        return _refusal(
            "inhibited",
            f"a running host cannot change {_inhibited(report)} safely. Make the configuration "
            "the boot default, with the action boot, and reboot the host",
        )
    if report.bootloader_failed:
        return _refusal("bootloader-failed", f"the boot loader could not be {_why_not(report)}")
    return None


def _why_not(report: Report) -> str:
    if any("any previously installed systemd-boot" in line for line in report.messages):
        return "updated, because it is not installed. Set install_bootloader: true for this task"
    return f"installed{_in_brackets(last_words(report))}. Often /boot is full"


def _refusal(name: OutcomeName, reason: str) -> Outcome:
    return Outcome(name, False, f"The configuration was not activated: {reason}.")


def _inhibited(report: Report) -> str:
    changes = [f"{key} from {old} to {new}" for key, old, new in report.inhibited]
    return " and ".join(changes) or "what its switch inhibitors guard"


def _not_begun(exit_code: int | None, report: Report) -> Outcome:
    # 4 belongs to a switch that is done, 101 to a panic, and 128 and more to a signal: in all of
    # them the text cannot be complete. Units are stopped first, before the activation begins.
    if report.stopped or exit_code is None or exit_code in (4, 101) or exit_code not in range(128):
        return _unknown(exit_code, report)
    if report.failed_checks:
        checks = ", ".join(report.failed_checks)
        return _refusal("not-activated", f"the pre-switch check {checks} failed")
    reason = f"switch-to-configuration ended with exit code {exit_code}"
    return _refusal("not-activated", f"{reason}{_in_brackets(last_words(report))}")


def _unknown(exit_code: int | None, report: Report) -> Outcome:
    how = "without an exit code" if exit_code is None else f"with exit code {exit_code}"
    how += _in_brackets(last_words(report))
    return Outcome(
        "unknown",
        None,
        f"switch-to-configuration ended {how}. The host may be switched, in "
        "part or not at all: compare its /run/current-system with the system, and switch again.",
    )


def last_words(report: Report) -> str:
    """What the run said about its end: ng's error with its causes, or else the last."""
    for index, line in enumerate(report.messages):
        if line.startswith("Error: "):
            causes = takewhile(_is_cause, report.messages[index + 1 :])
            return " ".join(text.strip() for text in (line, *causes))
    # What it began to do is no end: "updating GRUB 2 menu...".
    ends = (line.strip() for line in reversed(report.messages) if not line.endswith("..."))
    return next(ends, "")


def _in_brackets(words: str) -> str:
    return f" ({words})" if words else ""


def _is_cause(line: str) -> bool:
    return line == "Caused by:" or line.startswith(" ")

# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to the collection: what became of a host in a deployment, as data and as a line.

A host was deployed when its own results say so. That nothing failed would not do: a task may have
been skipped (``--step``), or the host may have left the play.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
import time
import typing as t

from ansible_collections.closure.nixos.plugins.module_utils._deploy.action import Action
from ansible_collections.closure.nixos.plugins.module_utils._store.store_path import format_bytes

Vars = t.Mapping[str, t.Any]

_COLUMNS = 80
# `standing` of _activate says it of a host whose trial has failed.
_ON_TRIAL = re.compile(r"\.? \S+ runs \S+ on trial and boots \S+$")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a host.

    :param status: unchanged, built, copied, checked, deployed, planned (in check mode, where it
        would be one of these), held, skipped, failed or unreachable
    :param what: that in words: switched 41 -> 42
    :param why: why it was not deployed or is left out, and where the host is now
    :param units: how many units were started and so on
    """

    host: str
    status: str
    what: str
    why: str = ""
    units: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: int = 0

    @property
    def failed(self) -> bool:
        """Whether the host did not get what it was to get."""
        return self.status in ("failed", "unreachable")


def outcome_of(
    host: str, variables: Vars, check: bool, now: float, cause: str | None = None
) -> Outcome:
    """Return what became of a host, by the results that the role has registered.

    :param now: seconds since the epoch
    :param cause: why it was not deployed, if nothing was kept of that
    """
    taken = _result(variables, "taken")
    seconds = round(now - taken["started"]) if taken else 0
    if (left_out := _left_out(variables)) and was_deployed(variables):
        return Outcome(host, *left_out)
    if _result(variables, "host").get("unreachable"):
        return Outcome(host, "unreachable", "unreachable", _result(variables, "host")["msg"])
    if not was_deployed(variables):
        return Outcome(host, "failed", "FAILED", _why(variables, cause), seconds=seconds)
    if _only_checks(variables):
        return Outcome(host, "checked", "checked", seconds=seconds)
    if status := _without_activation(variables, taken["options"]["stop_after"]):
        if check and status != "unchanged":
            return Outcome(host, "planned", f"would be {status}", seconds=seconds)
        return Outcome(host, status, status, seconds=seconds)
    report = report_of(variables)
    kinds = ("started", "stopped", "restarted", "reloaded")
    units = {kind: len(_units(report, kind)) for kind in kinds}
    return Outcome(
        host,
        "planned" if check else "deployed",
        _what(variables, check),
        units={kind: number for kind, number in units.items() if number},
        seconds=seconds,
    )


def was_deployed(variables: Vars) -> bool:
    """Whether a host got what it was to get, by what its own tasks said.

    One that is left out was to get nothing.
    """
    taken = _result(variables, "taken")
    if failure_of(variables):
        return False
    if _left_out(variables):
        return True
    if _only_checks(variables):
        return _succeeded(_result(variables, "checked"))
    if not taken or not (path := system_of(variables)):
        return False
    if taken["options"]["stop_after"] == "build" or _was_there(variables):
        return True
    if taken["options"]["stop_after"] == "copy":
        return _succeeded(_result(variables, "copy"))
    return any(_is_of(result, path) for result in _last(variables))


def has_failed(variables: Vars) -> bool:
    """Whether this deployment of a host has failed, as far as that was kept."""
    return failure_of(variables) is not None


def play_of(uuid: str) -> str:
    """Return which play that is; all batches are of one.

    ansible-runner, and so AWX, numbers the batches: ``UUID``, ``UUID_2`` ...
    """
    return uuid.partition("_")[0]


def is_of(variables: Vars, play: str) -> bool:
    """Whether a host's deployment has begun in a play."""
    return bool(_result(variables, "taken").get("play") == play)


def has_run(step: str, variables: Vars) -> bool:
    """Whether a file of tasks was begun for a host."""
    return step in _steps(variables)


def has_begun(variables: Vars) -> bool:
    """Whether a host was to get another system, and that was built."""
    return has_run("copy.yml", variables)


def ends_play(failed: int, size: int, most: float | None, any_fatal: bool) -> bool:
    """Whether Ansible ends a play after a batch because of those that failed in it.

    :param failed: how many of the batch have failed or cannot be reached
    :param size: how many the batch has
    :param most: the play's ``max_fail_percentage``
    :param any_fatal: the play's ``any_errors_fatal``
    """
    too_many = most is not None and failed / size * 100 > most
    return failed == size or too_many or bool(failed and any_fatal)


def line(outcome: Outcome, width: int) -> str:
    """Return the line of a host, of 80 columns; what takes more goes on below it.

    :param width: of the longest host's name
    """
    start = f"{outcome.host:<{width}}  "
    if outcome.why:
        rest = " ".join(f"{outcome.what}  {outcome.why}".split(" "))
        return textwrap.fill(
            rest,
            _COLUMNS,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
    if outcome.status == "unchanged":
        return f"{start}{outcome.what}"
    units = ", ".join(f"{number} {kind}" for kind, number in outcome.units.items())
    told = f"{outcome.what:<20}  {units}"
    return f"{start}{told:<58} {outcome.seconds:>4} s"


def sentence(outcome: Outcome) -> str:
    """Return the message of a host's result."""
    if outcome.status == "unreachable":
        return f"{outcome.host} was not deployed: {outcome.why}"
    return f"{outcome.host}: {outcome.why or outcome.what}"


def system_of(variables: Vars) -> str | None:
    """Return the system that a host is to get, if that is known."""
    options = _result(variables, "taken")["options"]
    if options["path"]:
        return str(options["path"])
    result = _result(variables, "copy" if options["archive"] else "build")
    return result.get("path") if _succeeded(result) else None


def _last(variables: Vars) -> t.Iterator[Vars]:
    """Return the results of which each would be the last of a deployment."""
    yield _result(variables, "done")
    switch = _result(variables, "switch")
    # With auto, a system that waits for a reboot is not confirmed.
    if "boot" in (switch.get("actions") or ()) or _result(variables, "taken").get("confirms"):
        yield switch


def _is_of(result: Vars, path: str) -> bool:
    return _succeeded(result) and result.get("path") == path


def on_trial_until(moment: float) -> str:
    """Say what happens to a host whose trial nobody attends any more."""
    at = time.strftime("%H:%M:%S", time.localtime(moment))
    return (
        f"it rolls back by itself at about {at}. To end it now: "
        "ansible-playbook closure.nixos.rollback --limit HOST"
    )


def _without_activation(variables: Vars, stop_after: str | None) -> str:
    if stop_after == "build":
        return "built"
    if _was_there(variables):
        return "" if _profiles(variables) else "unchanged"
    return "copied" if stop_after == "copy" else ""


def _only_checks(variables: Vars) -> bool:
    """Say whether the tags of the run asked for nothing but the checks."""
    return bool(_result(variables, "taken").get("options", {}).get("only_checks"))


def _was_there(variables: Vars) -> bool:
    """Say whether a host had its system: nothing to bring but secrets and other profiles."""
    if not _result(variables, "change"):
        return False
    return _steps(variables) <= {it[-1] for it in _result(variables, "taken")["steps_there"]}


def _steps(variables: Vars) -> set[str]:
    results = _result(variables, "change").get("results", ())
    return {it["__deploy_step"][-1] for it in results if "__deploy_step" in it}


def _what(variables: Vars, check: bool) -> str:
    action = Action(_result(variables, "taken")["options"]["action"])
    if _result(variables, "reboot").get("changed"):
        action = Action.REBOOT
    profiles = _profiles(variables)
    if _was_there(variables):
        return f"{'would activate' if check else 'activated'} {profiles}"
    if check:
        return f"would {action.value}{_missing(_result(variables, 'copy'))}"
    return ", ".join(filter(None, [_switched(variables, action), profiles]))


def _profiles(variables: Vars) -> str:
    """Say how many profiles but the system's were activated; empty when none was."""
    results = _result(variables, "profiles_done").get("results", ())
    started = _result(variables, "taken").get("started")
    done = [it for it in results if it.get("changed") and _succeeded(it)]
    count = sum(1 for it in done if it["__deploy_profile"]["started"] == started)
    return f"{count} profile{'s' * (count != 1)}" if count else ""


def _switched(variables: Vars, action: Action) -> str:
    old, new = generations_of(variables)
    if action is Action.TEST:
        return f"{action.verb} beside {old}" if old else action.verb
    if action is Action.AUTO and (_activation(variables).get("actions") or ())[:1] == ["boot"]:
        action = Action.BOOT
    return f"{action.verb} {old or 'none'} -> {new}" if new else action.verb


def _missing(copied: Vars) -> str:
    """Say how much a host does not have of its system, as far as anybody knows."""
    if not (paths := copied.get("missing_paths")):
        return ""
    return f", {len(paths)} paths missing, {format_bytes(copied['missing_bytes'])}"


def report_of(variables: Vars) -> dict[str, t.Any]:
    """Return which units an activation has started, stopped and so on, or would."""
    switch = _activation(variables)
    return switch.get("units") or switch.get("report") or switch.get("plan") or {}


def _activation(variables: Vars) -> dict[str, t.Any]:
    return _result(variables, "switch") or _result(variables, "done")


def generations_of(variables: Vars) -> tuple[int | None, int | None]:
    """Return the generation before the deployment, and the one that it made."""
    facts = _result(variables, "host").get("ansible_facts", {}).get("nixos", {})
    before = [entry["number"] for entry in facts.get("generations", ()) if entry["current"]]
    done, switch = _result(variables, "done"), _result(variables, "switch")
    if _result(variables, "taken").get("confirms") and _succeeded(switch):
        done = switch
    after = done.get("generation") or {}
    return (before[0] if before else None), after.get("number")


def _units(report: Vars, kind: str) -> t.Sequence[str]:
    return report.get(kind) or report.get({"started": "start"}.get(kind, ""), ()) or ()


def _why(variables: Vars, cause: str | None) -> str:
    why = failure_of(variables) or cause or _unseen(variables)
    first, *more = why.splitlines()
    if more and _result(variables, "build").get("failed"):
        # Ansible has shown all of it, twice. Nothing was done to the host since.
        return f"{first} (and {len(more)} lines more, see there)"
    back = _way_back(variables)
    # Where it stood when it failed is not where it stands now.
    return f"{_ON_TRIAL.sub('', why)}{back}" if back else why


def _left_out(variables: Vars) -> tuple[str, str, str] | None:
    """Return the status of a host that is left as it is, in words too, and why."""
    if hold := _result(variables, "taken").get("options", {}).get("hold"):
        return "held", "held", str(hold)
    if skip := _result(variables, "preflight").get("skip"):
        return "skipped", "skipped", str(skip)
    return None


def failure_of(variables: Vars) -> str | None:
    """Return why this deployment of the host failed; an earlier one in the same run is over."""
    kept, taken = _result(variables, "failure"), _result(variables, "taken")
    return kept.get("why") if kept.get("started") == taken.get("started") else None


def _unseen(variables: Vars) -> str:
    """Say why a host is not where it should be though nothing has failed, as after ``--step``."""
    if not _result(variables, "switch").get("unconfirmed"):
        return "a task was skipped, so that it did not get its system"
    return (
        "its system is on trial, and nobody has confirmed it: it rolls back by itself when the "
        "time for its checks is over"
    )


def _way_back(variables: Vars) -> str:
    """Say how the host was rolled back, in the words of who did it; empty when nobody did.

    The failure itself may say that the host was rolled back, or that nothing was activated.
    """
    told = any(_is_back(_result(variables, name)) for name in ("switch", "done"))
    results = [_result(variables, name) for name in ([] if told else ["back"]) + ["old_boot"]]
    said = [it["msg"] for it in results if it.get("msg") and not it.get("skipped")]
    return f" ({'. '.join(said)})" if said else ""


def _is_back(result: Vars) -> bool:
    """Whether a result says that the host is where it was."""
    stayed = result.get("failed") and not result.get("unconfirmed") and "system_before" in result
    same = result.get("system_before") == result.get("system_after")
    return bool(result.get("rolled_back") or (stayed and same))


def _result(variables: Vars, name: str) -> dict[str, t.Any]:
    return t.cast(dict[str, t.Any], variables.get(f"__deploy_{name}") or {})


def _succeeded(result: Vars) -> bool:
    return bool(result) and not any(
        result.get(word) for word in ("failed", "unreachable", "skipped")
    )

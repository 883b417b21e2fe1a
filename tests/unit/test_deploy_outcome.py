# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of a host, by the results that the role has registered, and its line."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    Outcome,
    ends_play,
    has_begun,
    is_of,
    line,
    outcome_of,
    play_of,
    sentence,
    was_deployed,
)

OLD, NEW = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "ab")
TAKEN = {
    "started": 1000.0,
    "options": {"action": "switch", "stop_after": None, "path": None, "archive": None},
    "steps_there": [["put_secrets.yml"], ["profiles_copy.yml"], ["profiles_activate.yml"]],
}
FACTS = {"generations": [{"number": 41, "current": True}, {"number": 40, "current": False}]}
REPORT = {"restarted": ["a", "b", "c"], "reloaded": ["d"], "started": [], "stopped": []}
DEPLOYED: dict[str, t.Any] = {
    "__deploy_taken": TAKEN,
    "__deploy_host": {"ansible_facts": {"nixos": FACTS}},
    "__deploy_build": {"path": NEW},
    "__deploy_change": {"results": [{"__deploy_step": ["copy.yml"]}]},
    "__deploy_copy": {"path": NEW},
    "__deploy_switch": {"path": NEW, "actions": ["test"], "report": REPORT, "unconfirmed": True},
    "__deploy_done": {"path": NEW, "generation": {"number": 42}},
}
SKIPPED = {"skipped": True}
WHY = {"why": "Check the health: HTTP 502", "started": 1000.0}
BACK = {"msg": "rolled back to generation 41"}


def with_options(**options: object) -> dict[str, t.Any]:
    return {"__deploy_taken": TAKEN | {"options": TAKEN["options"] | options}}  # type: ignore[operator]


def without(*names: str) -> dict[str, t.Any]:
    return {key: it for key, it in DEPLOYED.items() if key.removeprefix("__deploy_") not in names}


UNCHANGED = without("switch", "done", "copy") | {"__deploy_change": SKIPPED}


def profiles(*results: dict[str, t.Any], started: float = 1000.0) -> dict[str, t.Any]:
    """What is registered of activated profiles."""
    item = {"__deploy_profile": {"started": started}}
    return {"__deploy_profiles_done": {"results": [item | it for it in results]}}


ITS_PROFILES = {
    "__deploy_change": {
        "results": [
            {"__deploy_step": ["profiles_copy.yml"]},
            {"__deploy_step": ["profiles_copy.yml", "profiles_activate.yml"]},
        ]
    }
}
ACTIVATED, AS_IT_WAS = {"changed": True}, {"changed": False, "skipped": True}
LATER = {"__deploy_switch": {"path": NEW, "actions": ["boot"]}}
# The task that activates a system has confirmed it as well.
AT_ONCE = without("done") | {
    "__deploy_taken": TAKEN | {"confirms": True},
    "__deploy_switch": {
        "path": NEW,
        "actions": ["test", "boot"],
        "report": REPORT,
        "unconfirmed": False,
        "generation": {"number": 42},
    },
}
CASES: dict[str, tuple[dict[str, t.Any], str]] = {
    "unchanged": (UNCHANGED, "web1  unchanged"),
    "unchanged with secrets": (
        UNCHANGED | {"__deploy_change": {"results": [{"__deploy_step": ["put_secrets.yml"]}]}},
        "web1  unchanged",
    ),
    "deployed and confirmed at once": (AT_ONCE, "web1  switched 41 -> 42"),
    "with auto": (
        AT_ONCE
        | {"__deploy_taken": with_options(action="auto")["__deploy_taken"] | {"confirms": True}},
        "web1  switched 41 -> 42",
    ),
    "not confirmed at once": (
        AT_ONCE | {"__deploy_switch": AT_ONCE["__deploy_switch"] | {"failed": True}},
        "web1  FAILED",
    ),
    "deployed": (
        DEPLOYED,
        "web1  switched 41 -> 42     3 restarted, 1 reloaded                12 s",
    ),
    "deployed with profiles": (
        DEPLOYED | profiles(ACTIVATED, AS_IT_WAS, ACTIVATED),
        "web1  switched 41 -> 42, 2 profiles",
    ),
    "nothing but a profile": (
        UNCHANGED | ITS_PROFILES | profiles(ACTIVATED, AS_IT_WAS),
        "web1  activated 1 profile ",
    ),
    "the profiles of an earlier deployment": (
        UNCHANGED | ITS_PROFILES | profiles(ACTIVATED, started=1.0),
        "web1  unchanged",
    ),
    "profiles as they were": (UNCHANGED | ITS_PROFILES | profiles(AS_IT_WAS), "web1  unchanged"),
    "built": (UNCHANGED | with_options(stop_after="build"), "web1  built"),
    "copied": (
        without("switch", "done") | with_options(stop_after="copy"),
        "web1  copied",
    ),
    "built, and the tag copy is skipped": (
        without("switch", "done", "copy", "change") | with_options(stop_after="build"),
        "web1  built",
    ),
    "not even built": (
        without("switch", "done", "copy", "build") | with_options(stop_after="build"),
        "web1  FAILED  a task was skipped",
    ),
    "checked": (
        without("switch", "done", "copy", "build", "change")
        | with_options(only_checks=True)
        | {"__deploy_checked": {"results": []}},
        "web1  checked",
    ),
    "not even checked": (
        without("switch", "done", "copy", "build", "change")
        | with_options(only_checks=True)
        | {"__deploy_checked": SKIPPED},
        "web1  FAILED  a task was skipped",
    ),
    "a finished system": (
        without("build") | with_options(path=NEW),
        "web1  switched 41 -> 42",
    ),
    "an archive": (
        without("build") | with_options(archive="/media/web1.tar"),
        "web1  switched 41 -> 42",
    ),
    "auto that waits": (
        without("done") | LATER | with_options(action="auto"),
        "web1  will boot",
    ),
    "rebooted": (DEPLOYED | {"__deploy_reboot": {"changed": True}}, "web1  rebooted 41 -> 42"),
    "failed": (
        without("done") | {"__deploy_failure": WHY, "__deploy_back": BACK},
        "web1  FAILED  Check the health: HTTP 502 (rolled back to generation 41)",
    ),
    "a failure that says it": (
        without("done", "switch")
        | {"__deploy_failure": WHY, "__deploy_back": BACK}
        | {"__deploy_switch": {"failed": True, "rolled_back": True}},
        "web1  FAILED  Check the health: HTTP 502\n",
    ),
    "refused on trial": (
        without("done", "switch")
        | {"__deploy_failure": WHY, "__deploy_back": BACK}
        | {"__deploy_switch": {"failed": True, "system_before": OLD, "system_after": OLD}},
        "web1  FAILED  Check the health: HTTP 502\n",
    ),
    "rolled back with others": (DEPLOYED | {"__deploy_failure": WHY}, "web1  FAILED  Check the"),
    "an earlier failure": (
        DEPLOYED | {"__deploy_failure": WHY | {"started": 1.0}},
        "web1  switched 41 -> 42",
    ),
    "an earlier success": (
        DEPLOYED | {"__deploy_done": {"path": OLD}, "__deploy_switch": {}},
        "web1  FAILED  a task was skipped",
    ),
    "rolled back from a trial": (
        DEPLOYED
        | {
            "__deploy_back": BACK,
            "__deploy_failure": WHY
            | {"why": f"Units failed. web1 runs {NEW} on trial and boots {OLD}"},
        },
        "web1  FAILED  Units failed (rolled back to generation 41)",
    ),
    "not confirmed": (without("done"), "web1  FAILED  its system is on trial, and nobody"),
    "not built": (
        without("copy", "switch", "done", "change")
        | {"__deploy_build": {"failed": True, "msg": "no"}},
        "web1  FAILED  a task was skipped",
    ),
    "a mistake that Ansible has shown": (
        without("copy", "switch", "done", "change")
        | {"__deploy_build": {"failed": True, "msg": "a\nb\nc"}}
        | {"__deploy_failure": WHY | {"why": "Build: a\nb\nc"}},
        "web1  FAILED  Build: a (and 2 lines more, see there)",
    ),
    "unreachable": (
        {"__deploy_taken": TAKEN, "__deploy_host": {"unreachable": True, "msg": "timed out"}},
        "web1  unreachable  timed out",
    ),
    "refused": ({}, "web1  FAILED  a task was skipped"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_outcome_and_its_line(case: str) -> None:
    variables, expected = CASES[case]
    outcome = outcome_of("web1", variables, check=False, now=1012.4)
    shown = line(outcome, 4)
    assert f"{shown}\n".startswith(expected), shown
    assert all(len(it) <= 80 for it in shown.splitlines())
    assert outcome.failed == ("FAILED" in expected or "unreachable" in expected)
    assert was_deployed(variables) != outcome.failed


def test_check_mode_says_would() -> None:
    assert outcome_of("web1", DEPLOYED, check=True, now=1012).what == "would switch"
    copied = {"path": NEW, "missing_paths": [OLD, NEW], "missing_bytes": 3 * 1024**2}
    there = {"path": NEW, "missing_paths": [], "missing_bytes": 0}
    unknown = {"path": NEW, "missing_paths": None, "missing_bytes": None}
    for result, rest in (copied, ", 2 paths missing, 3.0 MiB"), (there, ""), (unknown, ""):
        variables = without("switch") | {"__deploy_copy": result}
        found = outcome_of("web1", variables, check=True, now=1012)
        assert found.what == f"would switch{rest}"
        assert line(found, 4).split() == f"web1 would switch{rest} 12 s".split()
        assert len(line(found, 4)) <= 80


@pytest.mark.parametrize(
    ("case", "status", "what"),
    [
        ("deployed", "planned", "would switch"),
        ("nothing but a profile", "planned", "would activate 1 profile"),
        ("built", "planned", "would be built"),
        ("copied", "planned", "would be copied"),
        ("unchanged", "unchanged", "unchanged"),
        ("failed", "failed", "FAILED"),
    ],
)
def test_check_mode_calls_nothing_done_that_was_not(case: str, status: str, what: str) -> None:
    """The custom stats of the run have the status, and AWX hands them to the next job."""
    found = outcome_of("web1", CASES[case][0], check=True, now=1012)
    assert (found.status, found.what) == (status, what)


def test_a_long_reason_goes_on_below_itself() -> None:
    shown = line(Outcome("web1", "failed", "FAILED", "word " * 40), 6).splitlines()
    assert len(shown) > 2
    assert all(it.startswith(" " * 8) for it in shown[1:])


def test_a_sentence_names_the_host() -> None:
    outcome = outcome_of("web1", CASES["failed"][0], check=False, now=1012)
    assert sentence(outcome) == ("web1: Check the health: HTTP 502 (rolled back to generation 41)")


@pytest.mark.parametrize(
    ("failed", "size", "most", "fatal", "expected"),
    [
        (0, 3, None, True, False),
        (0, 3, 0, False, False),
        (1, 3, None, False, False),
        (1, 3, None, True, True),
        (1, 3, 0, False, True),
        # More than the percentage, as Ansible has it.
        (1, 4, 25, False, False),
        (2, 4, 25, False, True),
        (3, 3, None, False, True),
    ],
)
def test_when_ansible_ends_a_play(
    failed: int, size: int, most: float | None, fatal: bool, expected: bool
) -> None:
    assert ends_play(failed, size, most, fatal) is expected


def test_the_batches_of_a_play_are_of_it() -> None:
    # ansible-runner gives the second batch a number.
    taken = {"__deploy_taken": {"play": play_of("02fc0000-0001-0ea2-2be3-000000000004")}}
    assert is_of(taken, play_of("02fc0000-0001-0ea2-2be3-000000000004_2"))
    assert not is_of(taken, play_of("02fc0000-0001-0ea2-2be3-000000000005"))
    assert not is_of({}, play_of("02fc0000-0001-0ea2-2be3-000000000004"))


def test_a_host_that_only_gets_secrets_has_not_begun() -> None:
    assert not has_begun({})
    for step, begun in (("put_secrets.yml", False), ("copy.yml", True)):
        assert has_begun({"__deploy_change": {"results": [{"__deploy_step": [step]}]}}) is begun

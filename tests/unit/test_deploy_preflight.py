# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts may be deployed, by what they say of themselves."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.closure.nixos.plugins.module_utils._deploy.outcome import (
    line,
    outcome_of,
    was_deployed,
)
from ansible_collections.closure.nixos.plugins.module_utils._deploy.preflight import (
    check_dirty,
    preflight,
    require_healthy,
    specialisation_of,
    system_there,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError

OLD, NEW, HAND = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "abc")
FACTS: dict[str, t.Any] = {
    "is_nixos": True,
    "profile": NEW,
    "deployment": {"from": OLD, "to": NEW},
    "updaters": [],
    "system_state": "running",
}
OPTIONS: dict[str, t.Any] = {
    "unknown_profile": "refuse",
    "updaters": "warn",
    "skip_foreign": False,
    "min_healthy": 2,
}


@pytest.mark.parametrize("profile", [NEW, OLD, None])
def test_a_profile_of_ours_or_none_is_no_stranger(profile: str | None) -> None:
    found = preflight("web1", FACTS | {"profile": profile}, OPTIONS)
    assert found.notes == (
        () if profile else ("web1 has no system profile yet, and gets its first one",)
    )


@pytest.mark.parametrize("facts", [{"profile": HAND}, {"deployment": None}])
def test_a_profile_of_somebody_else_is_refused_or_adopted(facts: dict[str, t.Any]) -> None:
    with pytest.raises(ClosureError, match=r"not deployed from here.*profile: adopt"):
        preflight("web1", FACTS | facts, OPTIONS)
    assert preflight("web1", FACTS | facts, OPTIONS | {"unknown_profile": "adopt"}).skip == ""


def test_what_works_against_us_is_said() -> None:
    facts = FACTS | {"updaters": ["nixos-upgrade.timer", "comin.service", "nix-gc.timer"]}
    found = preflight("web1", facts, OPTIONS).warnings
    for warning, words in zip(found, ("system.autoUpgrade", "comin", "nix.gc"), strict=True):
        assert warning.startswith("web1: ") and words in warning
    assert preflight("web1", facts, OPTIONS | {"updaters": "ignore"}).warnings == ()


def test_a_host_that_is_not_nixos_is_refused_by_name_or_left_out() -> None:
    with pytest.raises(ClosureError, match=r"^web1 is not NixOS.*deploy_skip_foreign: true"):
        preflight("web1", FACTS | {"is_nixos": False}, OPTIONS)
    options = OPTIONS | {"skip_foreign": True}
    assert preflight("web1", FACTS | {"is_nixos": False}, options).skip == "it is not NixOS"


THERE: dict[str, t.Any] = {
    **dict.fromkeys(("running", "profile", "boots", "booted"), NEW),
    "specialisation": None,
    "left_failed_units": [],
    "reboot_required": False,
}
BRING: dict[str, t.Any] = {
    "archive": None,
    "action": "switch",
    "reboot": "never",
    "specialisation": "keep",
}


@pytest.mark.parametrize(
    ("facts", "options", "system"),
    [
        ({}, {}, NEW),
        ({"running": OLD, "booted": OLD}, {}, ""),
        ({"running": OLD, "boots": OLD}, {}, OLD),
        ({"boots": OLD}, {}, ""),
        ({"boots": OLD}, {"action": "test"}, NEW),
        ({"running": None, "boots": None}, {}, ""),
        ({}, {"archive": "/srv/web1.tar"}, ""),
        ({"left_failed_units": ["web.service"]}, {}, ""),
        ({"booted": OLD}, {}, NEW),
        ({"booted": OLD}, {"action": "reboot"}, ""),
        ({"booted": OLD}, {"reboot": "always"}, ""),
        ({}, {"reboot": "always"}, NEW),
        ({"reboot_required": True}, {}, NEW),
        ({"reboot_required": True}, {"reboot": "required"}, ""),
        # With one, what runs is another path than the profile.
        ({"running": HAND, "specialisation": "blue"}, {}, NEW),
        ({"running": HAND, "specialisation": "blue"}, {"specialisation": "blue"}, NEW),
        ({"running": HAND, "specialisation": "blue"}, {"specialisation": "green"}, ""),
        ({"running": HAND, "specialisation": "blue"}, {"specialisation": "none"}, ""),
        ({}, {"specialisation": "blue"}, ""),
    ],
)
def test_a_host_is_there_when_it_runs_and_boots_its_system(
    facts: dict[str, t.Any], options: dict[str, t.Any], system: str
) -> None:
    assert system_there(THERE | facts, BRING | options) == system


@pytest.mark.parametrize(
    ("options", "specialisation"),
    [
        ({}, "blue"),
        ({"action": "test"}, "blue"),
        ({"action": "boot"}, ""),
        ({"specialisation": "none"}, ""),
        ({"specialisation": "green"}, "green"),
    ],
)
def test_a_host_keeps_its_specialisation_unless_it_boots(
    options: dict[str, t.Any], specialisation: str
) -> None:
    assert specialisation_of(THERE | {"specialisation": "blue"}, BRING | options) == specialisation


HELD = {"__deploy_taken": {"started": 0.0, "options": {"hold": "Ann debugs it"}, "batch": []}}
SKIPPED = {"__deploy_taken": {"started": 0.0, "options": {}}, "__deploy_preflight": {"skip": "no"}}


@pytest.mark.parametrize(
    ("variables", "expected"), [(HELD, "web1  held  Ann debugs it"), (SKIPPED, "web1  skipped  no")]
)
def test_one_that_is_left_out_has_not_failed(variables: dict[str, t.Any], expected: str) -> None:
    outcome = outcome_of("web1", variables, check=False, now=1.0)
    assert line(outcome, 4) == expected
    assert was_deployed(variables) and not outcome.failed


OWN = {"__deploy_taken": {"batch": ["web1"], "started": 1.0, "options": OPTIONS}}
DOWN: dict[str, dict[str, t.Any]] = {
    "unreachable": {"__deploy_host": {"unreachable": True}},
    "in maintenance": {
        "__deploy_host": {"ansible_facts": {"nixos": FACTS | {"system_state": "maintenance"}}}
    },
    "failed": {
        "__deploy_taken": {"started": 1.0, "options": OPTIONS},
        "__deploy_failure": {"started": 1.0, "why": "HTTP 502"},
    },
    "lost on the way": {"__deploy_taken": {"started": 1.0, "options": OPTIONS | {"path": NEW}}},
}


@pytest.mark.parametrize("case", DOWN)
def test_no_host_is_changed_when_too_few_others_are_up(case: str) -> None:
    variables = DOWN[case]
    if case == "lost on the way":
        variables["__deploy_taken"]["options"] |= {"archive": None, "stop_after": None}
    require_healthy("web1", {"web1": OWN, "web2": {}, "web3": variables}, OPTIONS)
    with pytest.raises(ClosureError, match=r"web1: 1 of 2 hosts are up.* 2\. Not up: web3\."):
        require_healthy("web1", {"web1": OWN, "web3": variables}, OPTIONS)


@pytest.mark.parametrize(
    ("word", "dirty", "expected"),
    [
        ("allow", True, None),
        ("warn", True, "warning"),
        ("warn", None, None),
        ("warn", False, None),
        ("refuse", False, None),
        ("refuse", True, "Commit them, or set deploy_dirty: allow"),
        ("refuse", None, "needs a configuration in a Git tree"),
    ],
)
def test_uncommitted_changes(word: str, dirty: bool | None, expected: str | None) -> None:
    origin = {"source": "/infra/nixos.nix", "dirty": dirty}
    if word == "refuse" and expected:
        with pytest.raises(ClosureError, match=expected):
            check_dirty(word, origin)
    else:
        assert bool(check_dirty(word, origin)) == bool(expected)
    assert check_dirty(word, {"source": "", "dirty": None}) == ""

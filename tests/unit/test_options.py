# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module's arguments become."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.closure.nixos.plugins.module_utils._activate.options import (
    Action,
    ConfirmOptions,
    ProfileOptions,
    RollbackOptions,
    SwitchOptions,
    TrialOptions,
    check_confirm,
    options_of,
)
from ansible_collections.closure.nixos.plugins.module_utils._activate.result import (
    is_to_confirm,
    with_confirmation,
)
from ansible_collections.closure.nixos.plugins.module_utils._errors import ClosureError
from ansible_collections.closure.nixos.plugins.module_utils._specs import (
    NIX_PROFILE_SET,
    NIXOS_CONFIRM,
    NIXOS_ROLLBACK,
    NIXOS_SWITCH,
    Spec,
)

SYSTEM = "/nix/store/593xx3l8wi9pcchklvs46qxa76w6x4dq-nixos-system-a-1"
PROFILE = "/nix/var/nix/profiles/system"


def arguments(spec: Spec, **given: t.Any) -> dict[str, t.Any]:
    result = ArgumentSpecValidator(**spec).validate(given)
    assert not result.error_messages
    return dict(result.validated_parameters)


def test_a_switch_has_types_once() -> None:
    found = options_of(SwitchOptions, arguments(NIXOS_SWITCH))
    assert found == SwitchOptions(Action.SWITCH, "", PROFILE)
    given = {"path": SYSTEM, "action": "test", "profile": "x", "ignore_units": ["a", "b"]}
    found = options_of(SwitchOptions, arguments(NIXOS_SWITCH, specialisation="night", **given))
    assert (found.action, found.path, found.specialisation) == (Action.TEST, SYSTEM, "night")
    assert (found.profile, found.ignore_units) == (f"{PROFILE}-profiles/x", ("a", "b"))
    trial = options_of(TrialOptions, arguments(NIXOS_SWITCH, confirm_timeout="60"))
    assert trial == TrialOptions(60, 900, confirm=False, on_rollback_failure="reboot")


@pytest.mark.parametrize(
    ("kind", "spec", "given"),
    [
        (SwitchOptions, NIXOS_SWITCH, {}),
        (TrialOptions, NIXOS_SWITCH, {}),
        (ConfirmOptions, NIXOS_CONFIRM, {}),
        (RollbackOptions, NIXOS_ROLLBACK, {}),
        (ProfileOptions, NIX_PROFILE_SET, {"keep": 3}),
    ],
)
def test_a_module_has_an_argument_for_each_option(
    kind: type[t.Any], spec: Spec, given: dict[str, t.Any]
) -> None:
    assert isinstance(options_of(kind, arguments(spec, **given)), kind)


@pytest.mark.parametrize(
    ("kind", "spec", "given", "said"),
    [
        (SwitchOptions, NIXOS_SWITCH, {"path": "/etc"}, "'/etc' is not a store path"),
        (SwitchOptions, NIXOS_SWITCH, {"profile": "a/b"}, "cannot name a system profile"),
        (ProfileOptions, NIX_PROFILE_SET, {"keep": 0}, "keep: 0 would delete all generations"),
        *(
            (
                SwitchOptions,
                NIXOS_SWITCH,
                {"action": action, "specialisation": "a"},
                f"action: {action} knows no specialisation",
            )
            for action in ("boot", "auto")
        ),
    ],
)
def test_what_cannot_be_is_refused(
    kind: type[t.Any], spec: Spec, given: dict[str, t.Any], said: str
) -> None:
    with pytest.raises(ClosureError, match=said):
        options_of(kind, arguments(spec, **given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs a confirm_timeout"),
        ({"confirm_timeout": 60, "action": "boot"}, "cannot confirm what only the next boot"),
    ],
)
def test_what_is_not_on_trial_now_is_not_confirmed(given: dict[str, t.Any], said: str) -> None:
    found = arguments(NIXOS_SWITCH, confirm=True, **given)
    with pytest.raises(ClosureError, match=f"confirm: true {said}"):
        check_confirm(options_of(TrialOptions, found), Action(found["action"]))


@pytest.mark.parametrize("action", ["switch", "test", "auto"])
def test_what_is_on_trial_now_may_be_confirmed(action: str) -> None:
    found = arguments(NIXOS_SWITCH, confirm=True, confirm_timeout=60, action=action)
    check_confirm(options_of(TrialOptions, found), Action(action))


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"path": SYSTEM}, SYSTEM),
        ({"generation": 3}, f"{PROFILE}-3-link"),
        ({"keep": 2}, PROFILE),
    ],
)
def test_what_a_profile_is_to_hold(given: dict[str, t.Any], asked: str) -> None:
    assert options_of(ProfileOptions, arguments(NIX_PROFILE_SET, **given)).asked == asked


@pytest.mark.parametrize(
    ("action", "switched", "expected"),
    [
        ("switch", {"unconfirmed": True, "actions": ["test"]}, True),
        # Whoever has tested a system before deploys it with nothing to activate.
        ("switch", {"unconfirmed": False, "actions": []}, True),
        ("test", {"unconfirmed": True, "actions": ["test"]}, True),
        ("test", {"unconfirmed": False, "actions": []}, False),
        ("auto", {"unconfirmed": False, "actions": [], "system_after": SYSTEM}, True),
        # It waits for a reboot.
        ("auto", {"unconfirmed": False, "actions": ["boot"], "system_after": "old"}, False),
        ("auto", {"unconfirmed": False, "actions": [], "system_after": "old"}, False),
    ],
)
def test_what_is_to_be_confirmed(action: str, switched: dict[str, t.Any], expected: bool) -> None:
    result = {"path": SYSTEM, "system_after": ""} | switched
    assert is_to_confirm(Action(action), result) is expected


SWITCHED = {"msg": "switched", "actions": ["test"], "changed": True, "unconfirmed": True}
CONFIRMED = {"msg": "boots", "changed": True, "boots": True, "generation": {"number": 2}}


@pytest.mark.parametrize(
    ("switched", "confirmed", "expected"),
    [
        ({}, {}, {"msg": "boots", "actions": ["test", "boot"], "changed": True}),
        # Tested before: only the boot default is left.
        (
            {"actions": [], "changed": False, "unconfirmed": False},
            {},
            {"msg": "boots", "actions": ["boot"], "changed": True},
        ),
        (
            {"actions": [], "changed": False, "unconfirmed": False},
            {"changed": False},
            {"actions": [], "changed": False},
        ),
        # Check mode.
        (
            {"unconfirmed": False},
            {"boots": False},
            {"msg": "switched", "actions": ["test"], "changed": True, "unconfirmed": False},
        ),
        ({}, {"failed": True}, {"failed": True, "unconfirmed": True, "actions": ["test"]}),
        (
            {},
            {"failed": True, "rolled_back": True},
            {"failed": True, "unconfirmed": False, "rolled_back": True},
        ),
    ],
)
def test_a_switch_and_its_confirmation_are_one_result(
    switched: dict[str, t.Any], confirmed: dict[str, t.Any], expected: dict[str, t.Any]
) -> None:
    found = with_confirmation(SWITCHED | switched, CONFIRMED | confirmed)
    assert {key: found[key] for key in expected} == expected
